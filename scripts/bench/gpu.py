"""Cells per hour on one GPU: 1, 2, 4 and 8 worker slots against plain loops, and the floor.

Run it from the repository, on a machine with an NVIDIA GPU:

    python scripts/bench/gpu.py [--slots 1 2 4 8] [--rounds 3] [--json FILE]
    python scripts/bench/gpu.py --smoke        # on the CPU: that it runs; no figure of it is one of a GPU

Each way reconstructs the 18 cells of the matrix benchmark (`matrix.py`), whose exposures are
made before; a loop is one process that calls the engine for one cell after the other, with the faster steps or with
pty-chi's own. The clock runs from the start of the command to its end. Beside it two floors of the same work: bytes,
what `PASSES` passes over the waves of each minibatch take at the speed of a large copy; and launches, what `OPERATIONS`
recorded kernels of each minibatch take when each does nothing. Passes were counted on the CPU
(docs/reference/performance.md), kernels on a GPU (docs/reference/gpu.md). Where no GPU is, everything that was not
measured is said to be so.

`packed` is a section of `gpu_proof.py`: two studies in full, by 8 slots and by the loop on pty-chi's own steps.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matrix import FULL, QUICK, Bench, our_record, prepare, run_process
from measuring import ROOT, Notes, in_turns, machine, seconds_of, tell

from fly64dask.cells import open_inputs
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.records import CellRecord
from fly64dask.store import RunLayout
from fly64dask.study import Study, cells

# Of a minibatch: passes over its waves, transforms among them, and calls of torch.
PASSES, OPERATIONS = 41, 165
BYTES_PER_PIXEL = 3 * 8  # two complex64 operands and a result
LOOP, UNMODIFIED_LOOP = "loop", "loop, pty-chi's own steps"
PACKED_SLOTS = 8
# Of the canonical study, data/fly64.toml. The whole one has 10 of its 100 epochs here, as pty-chi's own steps need
# ten minutes for all. In the small one 72 cells have about 42 exposures of 128 x 128 each, and 100 epochs.
PACKED_STUDIES = {
    "canonical, 10 epochs": {"n_epochs": "10"},
    "small cells, 100 epochs": {"n_exposures": "84", "repeats": "12", "views": "baseline"},
}
LOOPED_CELLS = 18  # of either study: evenly spaced ones
PACKED_AT_LEAST = {"canonical, 10 epochs": 5.0, "small cells, 100 epochs": 8.0}
TINY = {"n_exposures": "16", "n_epochs": "2", "doses_photons": "[1e4]", "repeats": "1", "views": "baseline"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What 18 cells take at least, in seconds, if nothing but bytes or nothing but calls counted."""

    bytes_s: float
    launches_s: float


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4, 8], help="slots to try [default: 1 2 4 8]")
    parser.add_argument("--rounds", type=int, default=3, help="times that each way does the study [default: 3]")
    parser.add_argument("--smoke", action="store_true", help="on the CPU, a small study, one round, slots 1")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--loop", type=Path, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--unmodified", type=int, metavar="CELLS", help=argparse.SUPPRESS)
    parser.add_argument("--floor", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        reconstruct_all(*arguments.loop, unmodified_cells=arguments.unmodified)
        return
    if arguments.floor:
        print(json.dumps(asdict(floor(*arguments.floor))))
        return
    facts = machine()
    if not facts["gpus"] and not arguments.smoke:
        raise SystemExit("no GPU here (NVIDIA's driver lists none): nothing was measured; --smoke shows that this runs")
    slots, n_rounds = ([1], 1) if arguments.smoke else (arguments.slots, arguments.rounds)
    found = measure(slots, n_rounds, smoke=arguments.smoke)
    tell(facts, found, report(found), [], arguments.json)


def measure(slots: list[int], n_rounds: int, *, smoke: bool) -> dict[str, Any]:
    """Time the loop and every number of slots in turns."""
    device = "cpu" if smoke else "cuda"
    with tempfile.TemporaryDirectory() as folder:
        bench = prepare(Path(folder), (QUICK if smoke else FULL) | {"device": f'"{device}"'}, None)
        files = (bench.study_file, bench.template.root, bench.folder / "loop.log")
        ways: dict[str, Callable[[], float]] = {LOOP: partial(run_loop, *files)}
        ways[UNMODIFIED_LOOP] = partial(run_loop, *files, unmodified_cells=LOOPED_CELLS)
        ways |= {slots_name(k): partial(run_slots, bench, k) for k in slots}
        seconds = in_turns(ways, n_rounds)
        command = [sys.executable, __file__, "--floor", str(bench.study_file), str(bench.template.root)]
        least = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        n_cells = len(cells(bench.study))
    return {"device": device, "cells": n_cells, "seconds": seconds, "floor": least}


def slots_name(k: int) -> str:
    """Name of the way with so many slots."""
    return f"{k} slot{'s' if k > 1 else ''}"


def run_loop(study_file: Path, root: Path, log: Path, *, unmodified_cells: int | None = None) -> float:
    """One process, one cell after the other, or so many of them on pty-chi's own steps; seconds of the process."""
    command = [sys.executable, __file__, "--loop", str(study_file), str(root)]
    return run_process([*command, *([] if unmodified_cells is None else ["--unmodified", str(unmodified_cells)])], log)


def run_slots(bench: Bench, k: int) -> float:
    """`fly64dask run` on one GPU with k slots; seconds of the process."""
    out = bench.folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(bench.template.root, out)
    command = [sys.executable, "-m", "fly64dask", "run", str(bench.study_file), "--out", str(out)]
    # As many workers as one GPU has slots, on the CPU as well.
    return run_process([*command, "--slots-per-gpu", str(k), "--workers", str(k)], bench.folder / "run.log")


def load_engine() -> None:
    """Load pty-chi as the children of workers do: without what no reconstruction uses."""
    importlib.import_module("fly64dask.reconstruction.lsqml.lazy_imports")


def reconstruct_all(study_file: Path, root: Path, *, unmodified_cells: int | None) -> None:
    """Call the engine for every cell of a study, or for so many on pty-chi's own steps, in this process.

    Prints the seconds that all cells took.
    """
    load_engine()
    from fly64dask.reconstruction.lsqml import reconstruct

    study, layout = Study.from_toml(study_file), RunLayout(root)
    recipe, every = study.recipe.model_copy(update={"accelerated": unmodified_cells is None}), cells(study)
    wanted = every if unmodified_cells is None else every[:: max(1, len(every) // unmodified_cells)]
    began = time.perf_counter()
    for cell in wanted:
        inputs = open_inputs(study, layout, cell)
        reconstruct(inputs.read(), recipe, seed=study.seeds.grouping, progress=lambda epoch, loss: None)
    print(json.dumps({"cells": len(wanted), "cells_s": time.perf_counter() - began}))


def floor(study_file: Path, root: Path) -> Floor:
    """Work out the floors from the speed of a large copy and of an empty call on the study's device."""
    study, layout = Study.from_toml(study_file), RunLayout(root)
    bytes_per_s, launch_s = speeds(study.recipe.device)
    n_minibatches, n_waves = 0, 0
    for cell in cells(study):
        inputs = open_inputs(study, layout, cell)
        n = len(inputs.kept_indices)
        n_waves += n
        n_minibatches += math.ceil(n / study.recipe.exposures_in_batch(n))
    pixels = int(np.prod(study.source.probe_shape_px))  # type: ignore[union-attr]
    epochs = study.recipe.n_epochs
    return Floor(
        bytes_s=epochs * n_waves * pixels * PASSES * BYTES_PER_PIXEL / bytes_per_s,
        launches_s=epochs * n_minibatches * OPERATIONS * launch_s,
    )


def speeds(device: str) -> tuple[float, float]:
    """Measure bytes that a large copy moves in a second on a device, and seconds of a call that does nothing, recorded
    on a GPU.
    """
    import torch

    large = torch.empty(2 ** (26 if device == "cuda" else 22), dtype=torch.float32, device=device)
    small = torch.empty(1, device=device)

    def least(work: Callable[[], object]) -> float:
        def waited() -> None:
            work()
            if device == "cuda":
                torch.cuda.synchronize()

        return min(seconds_of(waited) for _ in range(10))

    def call_often() -> None:
        for _ in range(1000):
            small.add_(1)

    call_often()
    if device == "cuda":
        from fly64dask.reconstruction.lsqml.steps.launches import record_on_gpu

        torch.cuda.synchronize()
        return 2 * large.nbytes / least(large.clone), least(record_on_gpu([call_often])) / 1000
    return 2 * large.nbytes / least(large.clone), least(call_often) / 1000


def packed(notes: Notes, folder: Path) -> None:
    """Time two studies by slots that share a GPU, and by a loop of pty-chi's own steps that has it alone."""
    for name, changes in PACKED_STUDIES.items():
        study_file, root = folder / f"{name}.toml", folder / name
        study = write_canonical(study_file, changes | (TINY if notes.smoke else {}), notes.device)
        seconds_of(partial(publish_by_many, study, RunLayout(root)))
        out = folder / f"{name}, run"
        shutil.copytree(root, out)
        log = folder / "packed.log"
        loop = {"seconds": run_loop(study_file, root, log, unmodified_cells=LOOPED_CELLS)}
        loop |= json.loads(log.read_text().splitlines()[-1])
        command = [sys.executable, "-m", "fly64dask", "run", str(study_file), "--out", str(out)]
        share = ["--slots-per-gpu", str(PACKED_SLOTS)] if notes.device == "cuda" else ["--workers", "2"]
        run = {"seconds": run_process([*command, *share], log)}
        records = [our_record(RunLayout(out), cell) for cell in cells(study)]
        times = [[datetime.fromisoformat(when) for when in (one.started_at, one.finished_at)] for one in records]
        between = max(end for _, end in times) - min(begin for begin, _ in times)
        run |= {"cells": len(records), "cells_s": between.total_seconds()}
        notes.row(study=name, way="loop", **loop)
        notes.row(study=name, way="packed", **run, **parts_of_cells(RunLayout(out), records))
        ratio = {key: loop[key] / loop["cells"] / (run[key] / run["cells"]) for key in ("seconds", "cells_s")}
        notes.row(study=name, way="ratio, of a cell", **ratio)
        if notes.device == "cuda":
            what = f"{name}: a cell of the loop over one of {PACKED_SLOTS} slots"
            notes.least(what, ratio["cells_s"], PACKED_AT_LEAST[name])


def parts_of_cells(layout: RunLayout, records: Iterable[CellRecord]) -> dict[str, float]:
    """Mean seconds of cells: all, until the first epoch was done, from there to the last, and after that."""
    parts = []
    for record in records:
        lines = [line for line in layout.log_file(record.cell).read_text().splitlines() if " epoch=" in line]
        stamps = [line.partition(" INFO ")[0] for line in (lines[0], lines[-1])]
        done = [datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f").astimezone() for stamp in stamps]
        times = [datetime.fromisoformat(record.started_at), *done, datetime.fromisoformat(record.finished_at)]
        parts.append([record.seconds, *((after - before).total_seconds() for before, after in pairwise(times))])
    names = ("cell_s", "to_first_epoch_s", "epochs_s", "after_s")
    return dict(zip(names, np.mean(parts, axis=0).tolist(), strict=True))


def write_canonical(path: Path, changes: dict[str, str], device: str) -> Study:
    """Write the canonical study with other values of some of its keys, for a device."""
    text = (ROOT / "data" / "fly64.toml").read_text()
    changes = changes | {"device": f'"{device}"'}
    if "views" in changes:
        others = rf'\[\[views\]\]\nname = "(?!{changes.pop("views")}")[^\[]*'
        text = re.sub(others, "", text)
    text = f"repeats = {changes.pop('repeats', '1')}\n" + text
    for key, value in changes.items():
        text, n_found = re.subn(rf"^{key} = [^#\n]+", f"{key} = {value}", text, flags=re.MULTILINE)
        assert n_found == 1, key
    path.write_text(text)
    return Study.from_toml(path)


def publish_by_many(study: Study, layout: RunLayout) -> None:
    """Make all exposures and selections of a study, each dose and split by a process of its own."""
    prepare_scan(study, layout)
    every = cells(study)
    exposed = {(cell.dose, cell.split, cell.repeat) for cell in every}
    with ProcessPoolExecutor() as pool:
        for done in [pool.submit(expose_split, study, dose, split, layout, repeat=k) for dose, split, k in exposed]:
            done.result()
    for view, split in {(cell.view, cell.split) for cell in every}:
        select_view(study, view, split, layout)


def report(found: dict[str, Any]) -> str:
    """The ways as a table in Markdown."""
    loop = statistics.median(found["seconds"][LOOP])
    lines = ["", "| way | seconds, median | cells per hour | against the loop |", "|---|---|---|---|"]
    for name, seconds in found["seconds"].items():
        median = statistics.median(seconds)
        lines.append(f"| {name} | {median:.1f} | {3600 * found['cells'] / median:.0f} | {loop / median:.2f} |")
    for name, seconds in (("bytes", found["floor"]["bytes_s"]), ("launches", found["floor"]["launches_s"])):
        lines.append(
            f"| floor: {name} | {seconds:.2f} | {3600 * found['cells'] / seconds:.0f} | {loop / seconds:.1f} |"
        )
    if found["device"] == "cpu":
        lines += ["", "On the CPU: a check that this runs. Unmeasured: every figure of a GPU, slots beyond 1, memory."]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
