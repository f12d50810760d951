"""What the supervised child costs: cells of a study reconstructed in one, and in the process itself, in turns.

Run it on a quiet machine, from the repository:

    python scripts/bench/isolation.py data/demo.toml --rounds 3

It prints the added time per cell, and its share of the wall time of the cells. Both ways write the
same files; importing pty-chi is paid once by each way before the clock starts, as a worker pays it
once with and without a child.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measuring import as_worker

from fly64dask.base import Failure
from fly64dask.cells import CellRequest, EngineCall, engine_modules, new_run_id
from fly64dask.cells.isolation import Returned, Work, call_in_child
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.reconstruction import LSQML, Progress, load_engine
from fly64dask.store import LOG_NAME, RunLayout
from fly64dask.study import Cell, Limits, Study, cells

CELLS = 6
WAYS = ("child", "direct")
# A child imports the main module again: this script, where a worker's costs nothing. So its imports are made before.
MAIN_IMPORTS = ("fly64dask.deploy.local", "fly64dask.datasets.exposures")


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="times that each way does all cells [default: 3]")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    arguments = parser.parse_args()
    as_worker()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Study.from_toml(arguments.study), Path(folder), arguments.rounds)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:<28}{value:.4g}")


def measure(study: Study, folder: Path, n_rounds: int) -> dict[str, float]:
    """Time both ways in turns."""
    layout = RunLayout(folder / "run")
    chosen = cells(study)[:CELLS]
    prepare_scan(study, layout)
    for dose, split in {(cell.dose, cell.split) for cell in chosen}:
        expose_split(study, dose, split, layout)
    for view, split in {(cell.view, cell.split) for cell in chosen}:
        select_view(study, view, split, layout)
    load_engine(LSQML)
    in_child(nothing, folder)
    # Each cell both ways in turn, and the least of several rounds: a busy machine only ever adds.
    least = dict.fromkeys([(way, cell) for way in WAYS for cell in chosen], float("inf"))
    for round_ in range(n_rounds):
        for number, cell in enumerate(chosen):
            for way in WAYS:
                started = time.perf_counter()
                run(way, study, cell, layout, folder / f"{way}-{round_}-{number}")
                least[way, cell] = min(least[way, cell], time.perf_counter() - started)
    in_children, here = (sum(least[way, cell] for cell in chosen) for way in WAYS)
    empty = min(timed(lambda: in_child(nothing, folder)) for _ in range(20))
    return {
        "cells": len(chosen),
        "rounds": n_rounds,
        "seconds_in_children": in_children,
        "seconds_in_this_process": here,
        "ratio": in_children / here,
        "seconds_of_an_empty_child": empty,
        "empty_children_in_percent": 100 * len(chosen) * empty / here,
    }


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run(way: str, study: Study, cell: Cell, layout: RunLayout, directory: Path) -> None:
    """Do one cell in one of the ways."""
    directory.mkdir()
    request = CellRequest(study=study, cell=cell, run_id=new_run_id(layout))
    work = EngineCall(request=request, directory=directory, cell_key="bench")
    result = work(report) if way == "direct" else in_child(work, directory)
    if isinstance(result, Failure):
        raise SystemExit(f"{cell.name}: {result.kind}: {result.message}")


def in_child(work: Work[object], directory: Path) -> object:
    """Call it as a worker does."""
    outcome = call_in_child(
        work,
        log_file=directory / LOG_NAME,
        limits=Limits(),
        on_report=report,
        preload=(*engine_modules(LSQML), *MAIN_IMPORTS),
    )
    if isinstance(outcome, Returned):
        return outcome.value
    raise SystemExit(f"{directory}: {outcome}")


def report(epoch: int, loss: float) -> None:
    """Take no notice of an epoch."""


def nothing(report: Progress) -> str:
    """End at once."""
    return "done"


if __name__ == "__main__":
    main()
