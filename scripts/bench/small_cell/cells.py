"""The time of a small cell by part, in the process of its worker and in that of its engine; `overhead.py` runs it.

A cell of 42 exposures of 64 x 64 is run over and over as a worker runs it, in a process of its engine that stays. In
every other cell the functions of `WORKER` and `ENGINE` are timed while they run: each instant belongs to the innermost
one. So the epochs of a cell are taken off what the same cell took, and not off another one. The cells in between are
not timed inside: they tell what the timing costs, and whether the parts add up to a whole cell.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from matrix import publish, write_demo
from measuring import rows_table

import fly64dask.cells.cell as running_cells
from fly64dask.cells import Caller, CellRequest, engine_modules, new_run_id, run_cell
from fly64dask.cells.isolation import ForkServer, call_in_child, share_server
from fly64dask.reconstruction import LSQML
from fly64dask.records import read_record
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Study
from small_cell.parts import EPOCHS, PROCESS, Seconds, TimedCall, Watch, now, time_functions, watching

CELL = Cell(dose=1e5, view="baseline", split="train")
SMALL = {"n_exposures": 84, "n_epochs": 25, "device": '"cpu"'}
STUDIES = {
    "one task": SMALL | {"noise_model": '"gaussian"', "stop": '"epochs"'},
    "half sets": SMALL,
}
LOOK_S = 0.02
BESIDE = "CPU beside epochs"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTimes:
    """What one cell took: `cpu` of both processes, `wall`, and seconds of the parts if it was timed inside."""

    cpu: float
    wall: float
    parts: dict[tuple[str, str], Seconds]

    @property
    def beside(self) -> Seconds:
        """What it took beside its epochs."""
        epochs = self.parts["engine", EPOCHS]
        return self.cpu - epochs[0], self.wall - epochs[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallCells:
    """Runs a cell over and over; `server` forks its engine's processes."""

    study: Study
    layout: RunLayout
    server: psutil.Process

    @property
    def parts_file(self) -> Path:
        """Where an engine's process writes the seconds of its parts."""
        return self.layout.root.with_suffix(".json")

    def run(self, *, timed: bool) -> CellTimes:
        """Run the cell as if it had not been run."""
        with suppress(FileNotFoundError):
            os.rename(self.layout.cell_directory(CELL), self.layout.root / f"earlier-{time.monotonic_ns()}")
        request = CellRequest(study=self.study, cell=CELL, run_id=new_run_id(self.layout))
        with self._watched(timed) as watch:
            theirs, ours = cpu_of_engines(self.server), now()
            run_cell(request, Caller())
            here = watch.seconds() if watch else {}
            cpu, wall = (after - before for after, before in zip(now(), ours, strict=True))
            there = cpu_of_engines(self.server) - theirs
        record = read_record(self.layout, CELL)
        if record is None or record.state != "completed":
            raise SystemExit(f"{CELL.name}: {record and record.error}")
        return CellTimes(cpu=cpu + there, wall=wall, parts=self._parts(here, there) if watch else {})

    def run_in_new_process(self) -> CellTimes:
        """Run the cell in a process that has run none; the one before ends, and its end is counted here."""
        os.environ["FLY64DASK_BENCH_CELL"] = str(time.monotonic_ns())  # no process that waits has this environment
        return self.run(timed=True)

    @contextmanager
    def _watched(self, timed: bool) -> Iterator[Watch | None]:
        """Time both processes inside while the block lasts, or leave them alone."""
        if not timed:
            yield None
            return
        time_functions("worker")
        vars(running_cells)["call_in_child"] = self._call_timed_child
        try:
            with watching() as watch:
                yield watch
        finally:
            vars(running_cells)["call_in_child"] = call_in_child

    def _call_timed_child(self, function: Callable[..., Any], **keywords: Any) -> Any:
        return call_in_child(TimedCall(call=function, file=self.parts_file), **keywords)

    def _parts(self, here: Mapping[str, Seconds], cpu_there: float) -> dict[tuple[str, str], Seconds]:
        """Seconds of each part of both processes; those of the engine's own are what is left of its CPU time."""
        there: dict[str, Seconds] = {
            part: (cpu, wall) for part, (cpu, wall) in json.loads(self.parts_file.read_text()).items()
        }
        there[PROCESS] = cpu_there - sum(cpu for cpu, _ in there.values()), 0.0
        return {("worker", part): here[part] for part in here} | {("engine", part): there[part] for part in there}


def cpu_of_engines(server: psutil.Process) -> float:
    """CPU seconds of a server and of all that it has forked; those that have ended are told in steps of 10 ms."""
    while len(children := server.children()) > 1:  # of which one is ending
        time.sleep(LOOK_S)
    ended = server.cpu_times()
    return ended.children_user + ended.children_system + sum(map(_cpu_of, (server, *children)))


def _cpu_of(process: psutil.Process) -> float:
    """CPU seconds of another process, to the nanosecond: Linux has a clock of each, whose number is made of its own."""
    return time.clock_gettime(~process.pid << 3 | 2)


def measure(folder: Path, n_cells: int) -> dict[str, list[dict[str, Any]]]:
    """Run cells of each of `STUDIES`, timed inside and not, in turns; then some whose process is new.

    Parameters
    ----------
    folder : Path
        Empty directory for studies and runs.
    n_cells : int
        Cells of each kind. One more comes before them, and does not count.

    Returns
    -------
    dict of list of dict
        Rows of `cells`, seconds of a cell of each study: median, least and most; and of `parts`, the median of each
        part of those that were timed inside, by study.
    """
    rows, parts = [], {}
    with ForkServer(engine_modules(LSQML)) as server:
        share_server(server.address)
        (process,) = psutil.Process().children()
        for number, (name, changes) in enumerate(STUDIES.items()):
            study, layout = write_demo(folder / f"{number}.toml", changes), RunLayout(folder / str(number))
            publish(study, layout, [CELL])
            cells = SmallCells(study=study, layout=layout, server=process)
            cells.run(timed=True)
            pairs = [(cells.run(timed=True), cells.run(timed=False)) for _ in range(n_cells)]
            new = [cells.run_in_new_process() for _ in range(1 + n_cells)][1:]
            timed, whole = zip(*pairs, strict=True)
            rows += [{"cell": name, **row} for row in rows_of_cells(timed, whole, new)]
            parts[name] = medians_of_parts(timed)
    return {"cells": rows, "parts": rows_of_parts(parts)}


def rows_of_cells(
    timed: Sequence[CellTimes], whole: Sequence[CellTimes], new: Sequence[CellTimes]
) -> list[dict[str, Any]]:
    """Median, least and most seconds of cells, whole and beside their epochs."""
    figures = {
        BESIDE: [cell.beside[0] for cell in timed],
        "... in a new process": [cell.beside[0] for cell in new],
        "wall time beside epochs": [cell.beside[1] for cell in timed],
        "CPU of the epochs": [cell.cpu - cell.beside[0] for cell in timed],
        "CPU, timed inside": [cell.cpu for cell in timed],
        "CPU, not timed inside": [cell.cpu for cell in whole],
    }
    return [
        {"figure": name, "median_s": statistics.median(of), "least_s": min(of), "most_s": max(of)}
        for name, of in figures.items()
    ]


def medians_of_parts(timed: Sequence[CellTimes]) -> dict[tuple[str, str], Seconds]:
    """Median of each part, and their sums."""
    medians = {}
    for name in {part for cell in timed for part in cell.parts}:
        cpu, wall = zip(*(cell.parts.get(name, (0.0, 0.0)) for cell in timed), strict=True)
        medians[name] = statistics.median(cpu), statistics.median(wall)
    cpu, wall = zip(*medians.values(), strict=True)
    return medians | {("both", "sum of the parts"): (sum(cpu), sum(wall))}


def rows_of_parts(parts: Mapping[str, Mapping[tuple[str, str], Seconds]]) -> list[dict[str, Any]]:
    """One row for each part, with its seconds in each study; what takes most CPU time first."""
    names = sorted(
        {name for of in parts.values() for name in of},
        key=lambda name: -max(of.get(name, (0.0, 0.0))[0] for of in parts.values()),
    )
    return [
        {"process": process, "part": part}
        | {
            study: dict(zip(("cpu_s", "wall_s"), of.get((process, part), (0.0, 0.0)), strict=True))
            for study, of in parts.items()
        }
        for process, part in names
    ]


def tables(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The rows as tables, in ms."""
    cells = [
        {name.replace("_s", ", ms"): value if isinstance(value, str) else value * 1e3 for name, value in row.items()}
        for row in rows["cells"]
    ]
    parts = [
        {"process": row["process"], "part": row["part"]}
        | {f"{study}: {clock}, ms": row[study][f"{clock}_s"] * 1e3 for study in STUDIES for clock in ("cpu", "wall")}
        for row in rows["parts"]
    ]
    return rows_table([*cells, *parts])
