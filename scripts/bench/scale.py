"""What a run costs beside its reconstructions: cells that do nothing, by the thousand, through the real driver.

From the repository:

    python scripts/bench/scale.py                # 1 000 and 10 000 cells; --cells 100000 takes its time
    python scripts/bench/scale.py --quick        # 200 cells: does it still run?

Every number of cells is done four times, each time in a process and with a cluster of its own:

`dask`      as many tasks that return at once, by Dask's own `Client.map`, 1024 at a time: the floor
`bare`      a worker's task returns at once: Dask, the driver, the board and the manifest alone
`refused`   a degenerate scan, refused before the engine: as `bare`, and a record committed to disk for each cell
`kept`      the same again: each worker finds the cell's record, and that it is of the same inputs

A fifth, `isolated`, is done for a few cells only: an engine that returns at once, in a child of its own, and its
arrays are written.

`driver_cpu_ms` is the CPU time of the process with driver, client and scheduler for each cell, `grown_mb` by how much
that process grew at its peak. `files_per_cell` and `inodes_per_cell` are of the finished run without its exposures. A
busy machine stretches all times: the ratio to `dask` is what can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

WAYS = ("dask", "bare", "refused", "kept")
WINDOW = 1024
N_ISOLATED = 100
BARE = "FLY64DASK_BENCH_BARE"
ENGINE = "scale:return_at_once"


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, action="append", help="how many; may be given several times")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="200 cells, 10 of them isolated")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--profile", metavar="FILE", help="cProfile of the driver's thread; one way, one number")
    parser.add_argument("--one", nargs=4, metavar=("WAY", "CELLS", "WORKERS", "RUN"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, n_cells, n_workers, run = arguments.one
        found = floor(int(n_cells), int(n_workers)) if way == "dask" else None
        print(json.dumps(found or measure(way, int(n_cells), int(n_workers), Path(run), arguments.profile)))
        return
    from measuring import machine, write_measurement

    sizes = arguments.cells or ([200] if arguments.quick else [1000, 10000])
    facts, figures = machine(), []
    with tempfile.TemporaryDirectory(dir=os.environ.get("FLY64DASK_BENCH_DIR")) as folder:
        for n_cells in sizes:
            for way in arguments.ways:
                # A kept cell is one that was refused before.
                run = Path(folder, f"{way if way in ('dask', 'bare') else 'run'}-{n_cells}")
                figures.append(in_a_process(way, n_cells, arguments.workers, run, arguments.profile))
                show(figures[-1])
        n_isolated = 10 if arguments.quick else N_ISOLATED
        if not arguments.profile:
            figures.append(in_a_process("isolated", n_isolated, arguments.workers, Path(folder, "isolated"), None))
            show(figures[-1])
    if arguments.json:
        write_measurement(arguments.json, facts, {"scale": figures})


def show(found: Mapping[str, Any]) -> None:
    """One line for one measurement."""
    words = (f"{name} {value:.4g}" for name, value in found.items() if name not in ("way", "cells"))
    print(f"{found['way']:<9}{found['cells']:>7} cells  {'  '.join(words)}", flush=True)


def in_a_process(way: str, n_cells: int, n_workers: int, run: Path, profile: str | None) -> dict[str, Any]:
    """Measure in a process of its own, whose memory nobody else has used."""
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths}
    if way == "bare":
        environment["DASK_DISTRIBUTED__WORKER__PRELOAD"] = '["scale"]'
    command = [sys.executable, __file__, "--one", way, str(n_cells), str(n_workers), str(run)]
    command += ["--profile", profile] if profile else []
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if way in ("refused", "kept"):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "fly64dask", "status", run], stdout=subprocess.DEVNULL, check=True)
        found["status_s"] = time.perf_counter() - began
    return found


def measure(way: str, n_cells: int, n_workers: int, run: Path, profile: str | None) -> dict[str, Any]:
    """Run a study of so many cells; gives seconds and memory of this process: driver, client and scheduler."""
    from fly64dask.deploy import Placement
    from fly64dask.runs import run as driver
    from fly64dask.store import RunLayout
    from fly64dask.study import cells

    study = study_of(n_cells, degenerate=way != "isolated")
    marks: dict[str, float] = {}
    memory: dict[str, float] = {}
    for name in ("run_windows", "write_manifest"):
        setattr(driver, name, timed(getattr(driver, name), name, marks))
    began = time.perf_counter()
    with watched_memory(memory), profiled(profile):
        driver.run_study(
            study,
            run,
            placement=Placement(n_workers=n_workers),
            engine=ENGINE,
        )
    total = time.perf_counter() - began
    n = len(cells(study))
    document = RunLayout(run).manifest_file
    return {
        "way": way,
        "cells": n,
        "ms_per_cell": 1e3 * (marks["run_windows"] + marks["write_manifest"]) / n,
        "driver_cpu_ms": 1e3 * (marks["run_windows cpu"] + marks["write_manifest cpu"]) / n,
        "run_s": marks["run_windows"],
        "manifest_s": marks["write_manifest"],
        "manifest_mb": document.stat().st_size / 1e6,
        "total_s": total,
        **inodes(RunLayout(run), n),
        **memory,
    }


def inodes(layout: Any, n_cells: int) -> dict[str, float]:
    """Count what a run has on disk beside its exposures: files, and inodes with the directories, for each cell."""
    found = [path for path in layout.root.rglob("*") if layout.store not in (path, *path.parents)]
    n_files = sum(path.is_file() for path in found)
    return {"files_per_cell": n_files / n_cells, "inodes_per_cell": len(found) / n_cells}


def floor(n_tasks: int, n_workers: int) -> dict[str, Any]:
    """Do as many tasks of nothing with Dask alone."""
    from fly64dask.deploy import connect

    marks: dict[str, float] = {}
    memory: dict[str, float] = {}
    with connect("local", device="cpu", n_workers=n_workers, n_cells=n_tasks) as connected, watched_memory(memory):
        client: Any = connected

        def do_all() -> None:
            for start in range(0, n_tasks, WINDOW):
                some = range(start, min(start + WINDOW, n_tasks))
                client.gather(client.map(nothing, some, key=[f"nothing-{number}" for number in some]))

        timed(do_all, "all", marks)()
    return {
        "way": "dask",
        "cells": n_tasks,
        "ms_per_cell": 1e3 * marks["all"] / n_tasks,
        "driver_cpu_ms": 1e3 * marks["all cpu"] / n_tasks,
        "run_s": marks["all"],
        **memory,
    }


def nothing(number: int) -> int:
    """End at once."""
    return number


def study_of(n_cells: int, *, degenerate: bool) -> Any:
    """A study with so many cells and few groups to prepare: doses and views in equal parts."""
    from fly64dask.study import parse_study

    n_views = max(1, round((n_cells / 10) ** 0.5))
    n_doses = max(1, round(n_cells / (2 * n_views)))
    # Exposures on one line along y span nothing along x.
    step_px = 0.0 if degenerate else 3.0
    positions = [[12.0 + 4.0 * i, 20.0 + step_px * i] for i in range(8)]
    views = "\n".join(f'[[views]]\nname = "v{k}"\nrule = "baseline"' for k in range(n_views))
    return parse_study(
        f"""
schema_version = 1
name = "scale"
doses_photons = {[1000.0 + k for k in range(n_doses)]}
overlap = {{diameter_px = 5.0}}
recipe = {{n_epochs = 1, device = "cpu"}}
[source]
kind = "synthetic"
object_shape_px = [64, 64]
probe_shape_px = [16, 16]
seed_pair = 1
scan = {{kind = "listed", positions_px = {positions}}}
{views}
""",
        origin="scale",
    )


def timed(work: Any, name: str, marks: dict[str, float]) -> Any:
    """The same function; its wall time and the CPU time of this process are noted, s."""

    def call(*values: Any, **named: Any) -> Any:
        began, used = time.perf_counter(), time.process_time()
        try:
            return work(*values, **named)
        finally:
            marks[name] = time.perf_counter() - began
            marks[f"{name} cpu"] = time.process_time() - used

    return call


@contextmanager
def watched_memory(found: dict[str, float]) -> Iterator[None]:
    """Note by how much this process grows, at its peak, from the moment its cluster stands."""
    process = psutil.Process()
    sizes: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            if len(process.children(recursive=True)) > 1 or sizes:
                sizes.append(process.memory_info().rss)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        done.set()
        looking.join()
        found["grown_mb"] = (max(sizes) - sizes[0]) / 1e6


@contextmanager
def profiled(path: str | None) -> Iterator[None]:
    """Profile this thread, if a file is given."""
    if path is None:
        yield
        return
    import cProfile

    profile = cProfile.Profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        profile.dump_stats(path)


def dask_setup(worker: Any) -> None:
    """Called in each worker of `bare`, as Dask's preload: a cell is done as soon as it is begun."""
    from fly64dask.monitoring import CellOutcome
    from fly64dask.scheduling import tasks

    def run_cell(request: Any, caller: Any) -> CellOutcome:
        return CellOutcome(cell=request.cell, failure=None, seconds=0.0)

    setattr(tasks, "run_cell", run_cell)  # noqa: B010


def return_at_once(exposures: Any, recipe: Any, *, seed: int, progress: Any, checkpoint: Any = None) -> Any:
    """An engine: the empty object that others begin with."""
    import numpy as np

    from fly64dask.reconstruction import Reconstruction
    from fly64dask.scan import object_frame

    progress(1, 1.0)
    shape, origin = object_frame(exposures.positions_px, exposures.counts.shape[1:])
    return Reconstruction(
        object_recon=np.ones((1, *shape), np.complex64),
        probe_recon=exposures.probe_guess,
        loss=np.ones(1),
        object_origin_px=origin,
        device="cpu",
        guarded=False,
        acceleration="unmodified: this engine has none",
    )


if __name__ == "__main__":
    main()
