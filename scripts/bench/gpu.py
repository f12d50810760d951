"""Cells per hour on one GPU: 1, 2, 4 and 8 worker slots against a plain loop, and the floor.

Run it from the repository, on a machine with an NVIDIA GPU:

    python scripts/bench/gpu.py [--slots 1 2 4 8] [--rounds 3] [--json FILE]
    python scripts/bench/gpu.py --smoke        # on the CPU: that it runs; no figure of it is one of a GPU

Each way reconstructs the 18 cells of the matrix benchmark (`matrix.py`), whose exposures are
made before; the loop is one process that calls the engine for one cell after the other. The clock
runs from the start of the command to its end. Beside it two floors of the same work: bytes, what
`PASSES` passes over the waves of each minibatch take at the speed of a large copy; and launches,
what `OPERATIONS` calls of each minibatch take when each does nothing. Both counts were made on the
CPU (docs/reference/performance.md). Where no GPU is, everything that was not measured is said to be so.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matrix import FULL, QUICK, Bench, prepare, run_process
from measuring import in_turns, machine, seconds_of, tell

from fly64dask.cells import open_inputs
from fly64dask.store import RunLayout
from fly64dask.study import Study, cells

# Of a minibatch: passes over its waves, transforms among them, and calls of torch.
PASSES, OPERATIONS = 41, 207
BYTES_PER_PIXEL = 3 * 8  # two complex64 operands and a result
LOOP = "loop"


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
    parser.add_argument("--floor", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        reconstruct_all(*arguments.loop)
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
        ways: dict[str, Callable[[], float]] = {LOOP: partial(run_loop, bench)}
        ways |= {slots_name(k): partial(run_slots, bench, k) for k in slots}
        seconds = in_turns(ways, n_rounds)
        command = [sys.executable, __file__, "--floor", str(bench.study_file), str(bench.template.root)]
        least = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        n_cells = len(cells(bench.study))
    return {"device": device, "cells": n_cells, "seconds": seconds, "floor": least}


def slots_name(k: int) -> str:
    """Name of the way with so many slots."""
    return f"{k} slot{'s' if k > 1 else ''}"


def run_loop(bench: Bench) -> float:
    """One process, one cell after the other; seconds of the process."""
    command = [sys.executable, __file__, "--loop", str(bench.study_file), str(bench.template.root)]
    return run_process(command, bench.folder / "loop.log")


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


def reconstruct_all(study_file: Path, root: Path) -> None:
    """Call the engine for every cell of a study, in this process."""
    load_engine()
    from fly64dask.reconstruction.lsqml import reconstruct

    study, layout = Study.from_toml(study_file), RunLayout(root)
    for cell in cells(study):
        inputs = open_inputs(study, layout, cell)
        reconstruct(inputs.read(), study.recipe, seed=study.seeds.grouping, progress=lambda epoch, loss: None)


def floor(study_file: Path, root: Path) -> Floor:
    """Work out the floors from the speed of a large copy and of an empty call on the study's device."""
    study, layout = Study.from_toml(study_file), RunLayout(root)
    bytes_per_s, launch_s = speeds(study.recipe.device)
    n_minibatches, n_waves = 0, 0
    for cell in cells(study):
        inputs = open_inputs(study, layout, cell)
        n = len(inputs.read_kept())
        n_waves += n
        n_minibatches += math.ceil(n / study.recipe.exposures_in_batch(n))
    pixels = int(np.prod(study.source.probe_shape_px))  # type: ignore[union-attr]
    epochs = study.recipe.n_epochs
    return Floor(
        bytes_s=epochs * n_waves * pixels * PASSES * BYTES_PER_PIXEL / bytes_per_s,
        launches_s=epochs * n_minibatches * OPERATIONS * launch_s,
    )


def speeds(device: str) -> tuple[float, float]:
    """Measure bytes that a large copy moves in a second on a device, and seconds of a call that does nothing."""
    import torch

    large = torch.empty(2 ** (26 if device == "cuda" else 22), dtype=torch.float32, device=device)
    small = torch.empty(1, device=device)

    def least(work: Callable[[], object]) -> float:
        def waited() -> None:
            work()
            if device == "cuda":
                torch.cuda.synchronize()

        return min(seconds_of(waited) for _ in range(10))

    return 2 * large.nbytes / least(large.clone), least(lambda: [small.add_(1) for _ in range(1000)]) / 1000


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
