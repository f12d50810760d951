"""What a run at an object store costs beside its reconstructions: cells that are refused, by the thousand.

From the repository:

    python scripts/bench/large/cells_at_store.py                 # 1 000 cells at moto's S3 server, which it starts
    python scripts/bench/large/cells_at_store.py --quick         # 40 cells: does it still run?
    AWS_ENDPOINT_URL=http://127.0.0.1:8333 ... cells_at_store.py --cells 1000 --cells 10000 --url s3://bucket/new

The last is at another server, in a folder with nothing in it.

Each step is a process of its own. The cells have a degenerate scan, which is refused before the engine, so that each
commits a record and a log and no arrays:

`directory`   into a directory of this machine, without a store: what the others are compared with
`store`       the same with `--out s3://...`
`again`       the same command once more: all is there, in the cache too
`elsewhere`   the same command with an empty cache, as on another machine: the records are brought
`status`      `fly64dask status` of the store with an empty cache
`look`        the same once more: what a second look takes

`requests` are those that the process made for each cell, by kind; `lists` are whole ones of all keys. CPU seconds are
those of this process and of all that it started, without the server.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCH), str(BENCH.parents[1] / "tests" / "support")]
from measuring import machine, write_measurement  # noqa: E402

STEPS = ("directory", "store", "again", "elsewhere", "status", "look")
CACHES = {"elsewhere": "second", "status": "third", "look": "third"}
METHODS = ("read_tagged", "download", "write", "create", "replace", "tags", "delete")


def main() -> None:
    """Do all steps, each in a process of its own, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, action="append", help="how many; may be given several times")
    parser.add_argument("--quick", action="store_true", help="40 cells")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--url", help="of a new folder at a server that runs; else moto's is started")
    parser.add_argument("--json", type=Path, metavar="FILE", dest="json_file")
    parser.add_argument("--one", nargs=3, metavar=("STEP", "CELLS", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        step, n_cells, out = arguments.one
        print(json.dumps(measured(step, int(n_cells), out)))
        return
    facts, rows = machine(), list[dict[str, Any]]()
    sizes = arguments.cells or [40 if arguments.quick else 1000]
    with server(arguments.url) as (url, variables), tempfile.TemporaryDirectory() as folder:
        for n_cells, step in itertools.product(sizes, arguments.steps):
            out = f"{folder}/run-{n_cells}" if step == "directory" else f"{url}/{n_cells}"
            environment = {**os.environ, **variables, "FLY64DASK_CACHE": str(Path(folder, CACHES.get(step, "first")))}
            command = [sys.executable, __file__, "--one", step, str(n_cells), out]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if arguments.json_file:
        write_measurement(arguments.json_file, facts, {"cells_at_store": rows})


@contextmanager
def server(url: str | None) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Give the URL of a folder at an S3 server, and the variables by which it is reached."""
    if url is not None:
        yield url, {}
        return
    with import_module("object_store").s3_server() as variables:
        yield "s3://bucket/runs", variables


def measured(step: str, n_cells: int, out: str) -> dict[str, Any]:
    """Do one step in this process; times for each cell in ms, memory at the peak of this process in MB."""
    from scale import study_of

    from fly64dask.deploy import Placement
    from fly64dask.runs import has_run, read_place, run_study
    from fly64dask.store import ObjectPlace

    if step == "store" and has_run(out):
        sys.exit(f"{out} holds a run already: nothing would be committed; give the URL of a new folder")
    study = study_of(n_cells, degenerate=True)
    requests = Counter[str]()
    for name in METHODS:
        setattr(ObjectPlace, name, counted(getattr(ObjectPlace, name), name, requests))
    began, n = time.perf_counter(), len(cells_of(study))
    if step in ("status", "look"):
        from fly64dask.monitoring import OverviewReader
        from fly64dask.records import read_run_study

        layout = read_place(out, files=False)
        found = OverviewReader(read_run_study(layout), layout).read().counts
    else:
        found = run_study(study, out, placement=Placement(n_workers=2)).counts
    assert found == {"failed": n}, found
    wall_s = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    by_kind = {name: round(number / n, 2) for name, number in requests.items() if name != "tags"}
    return {
        "step": step,
        "cells": n,
        "ms_per_cell": round(1e3 * wall_s / n, 1),
        "cpu_ms_per_cell": round(1e3 * sum(each.ru_utime + each.ru_stime for each in used) / n, 1),
        "peak_mb": round(used[0].ru_maxrss / 1e3),
        "requests_per_cell": round((requests.total() - requests["tags"]) / n, 2),
        "lists": requests["tags"],
        "requests": " ".join(f"{name}={number}" for name, number in by_kind.items()),
    }


def cells_of(study: Any) -> tuple[Any, ...]:
    """All cells of a study."""
    from fly64dask.study import cells

    return cells(study)


def counted(method: Any, name: str, requests: Counter[str]) -> Any:
    """The same method; its calls are counted, from whatever thread."""
    lock = threading.Lock()

    def call(*values: Any, **named: Any) -> Any:
        with lock:
            requests[name] += 1
        return method(*values, **named)

    return call


if __name__ == "__main__":
    main()
