"""What a run does beside its epochs: from the command to its first cell, and in a small cell.

Run it from the repository:

    python scripts/bench/overhead.py [--rounds 3] [--json FILE]

The first part runs the demo until its first cell is committed, and looks at its processes meanwhile: CPU seconds
of each kind until then, which other work on the machine stretches less than wall time. The second part runs cells of
42 exposures of 64 x 64 in a child of this process, as a worker does: 25 epochs and 50, of which the difference
is that of 25 epochs. What is left of a cell is reading, checks, building, metrics, writing and the process itself: one
that has run such cells before and stayed, as a worker's does, or a new one for each cell. Least of all rounds.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from matrix import publish, write_demo
from measuring import ROOT, Bar, as_worker, machine, rows_table, tell

from fly64dask.cells import Caller, CellRequest, engine_modules, new_run_id, run_cell
from fly64dask.cells.isolation import ForkServer, Returned, call_in_child, share_server
from fly64dask.reconstruction import LSQML
from fly64dask.records import read_record
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Limits

LOOK_S = 0.02
N_CALLS = 6
# What a process's command line has in it, and what it is then.
PROCESSES = {
    "multiprocessing.forkserver": "workers, and what forks them",
    "isolation.fork_server": "engines, and what forks them",
    "fly64dask run": "driver",
}
SMALL = {"n_exposures": 84, "device": '"cpu"', "noise_model": '"gaussian"', "stop": '"epochs"'}
CELL = Cell(dose=1e5, view="baseline", split="train")


def main() -> None:
    """Run both parts and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times that each part is done [default: 3]")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    as_worker()
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        starts = [start_of_run(Path(folder) / f"run-{number}") for number in range(arguments.rounds)]
        cell = small_cell(Path(folder), arguments.rounds)
    start = {name: min(one[name] for one in starts) for name in starts[0]}
    found = {"start": start, "small_cell": cell, "rounds": arguments.rounds}
    text = rows_table([{"start of a run": name, "s": value} for name, value in start.items()])
    text += "\n" + rows_table([{"small cell": name, "CPU ms": value * 1e3} for name, value in cell.items()]) + "\n"
    bars = [
        Bar(name="first cell starts after", value=start["first cell starts"], needed=4, unit="s", at_least=False),
        Bar(name="small cell beside its epochs", value=cell["beside epochs"], needed=0.25, unit="s", at_least=False),
    ]
    tell(facts, found, text, bars, arguments.json)


def start_of_run(out: Path) -> dict[str, float]:
    """Run the demo until its first cell is committed; seconds until it starts and ends, CPU seconds of each process."""
    began, layout = time.time(), RunLayout(out)
    command = [sys.executable, "-m", "fly64dask", "run", str(ROOT / "data" / "demo.toml"), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        seen: dict[str, float] = {}
        cpu: dict[int, tuple[str, float]] = {}
        while "first cell is committed" not in seen:
            if process.poll() is not None:
                raise SystemExit(f"the demo ended with {process.returncode} before a cell was committed")
            look_at(process.pid, cpu)
            for event, pattern in (("starts", "journal/*/*/*"), ("is committed", "dose_*/*/*/record.json")):
                if (name := f"first cell {event}") not in seen and any(out.glob(pattern)):
                    seen[name] = time.time() - began
                    seen |= {f"... CPU of {kind}": used for kind, used in by_kind(cpu).items() if event == "starts"}
            time.sleep(LOOK_S)
        process.send_signal(signal.SIGTERM)
    assert layout.manifest_file.exists()
    return seen


def look_at(pid: int, cpu: dict[int, tuple[str, float]]) -> None:
    """Note the CPU time of a process and of all below it; ended ones keep what they had."""
    with suppress(psutil.NoSuchProcess):
        driver = psutil.Process(pid)
        for process in (driver, *driver.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                words, times = " ".join(process.cmdline()), process.cpu_times()
                kind = next((kind for mark, kind in PROCESSES.items() if mark in words), "others")
                cpu[process.pid] = kind, times.user + times.system


def by_kind(cpu: dict[int, tuple[str, float]]) -> dict[str, float]:
    """Add up CPU time by kind of process."""
    total: dict[str, float] = defaultdict(float)
    for kind, used in cpu.values():
        total[kind] += used
        total["all"] += used
    return dict(total)


def small_cell(folder: Path, n_rounds: int) -> dict[str, float]:
    """Run cells with 25 and with 50 epochs in turns; CPU seconds of a cell, in this process and in the child's."""
    studies = {n: write_demo(folder / f"{n}.toml", SMALL | {"n_epochs": n}) for n in (25, 50)}
    layouts = {n: RunLayout(folder / str(n)) for n in studies}
    for n, study in studies.items():
        publish(study, layouts[n], [CELL])
    with ForkServer(engine_modules(LSQML)) as server:
        share_server(server.address)
        (process,) = psutil.Process().children()

        def cell(n_epochs: int) -> None:
            again(CellRequest(study=studies[n_epochs], cell=CELL, run_id=new_run_id(layouts[n_epochs])))

        ways: dict[Any, Callable[[], None]] = {(n, "stayed"): partial(cell, n) for n in studies}
        ways |= {(n, "new"): partial(in_new_process, partial(cell, n)) for n in studies}
        ways |= {(0, "stayed"): partial(nothing, folder), (0, "new"): partial(in_new_process, partial(nothing, folder))}
        used: dict[Any, list[tuple[float, float]]] = defaultdict(list)
        for _ in range(1 + n_rounds):  # the first one waits for the server
            for way, work in ways.items():
                work()
                used[way].append(cpu_of(work, process))
    least = {way: tuple(min(column) for column in zip(*rounds[1:], strict=True)) for way, rounds in used.items()}
    beside = {
        way: [2 * a - b for a, b in zip(least[25, way], least[50, way], strict=True)] for way in ("stayed", "new")
    }
    return {
        "25 epochs": sum(least[50, "stayed"]) - sum(least[25, "stayed"]),
        "beside epochs": sum(beside["stayed"]),
        "... in the worker": beside["stayed"][0],
        "... in the engine's process": beside["stayed"][1],
        "... of it, a call that does nothing": least[0, "stayed"][1],
        "beside epochs, in a new process": sum(beside["new"]),
        "... of it, a call that does nothing in a new process": least[0, "new"][1],
    }


def in_new_process(work: Callable[[], object]) -> None:
    """Make a call that no process can make which has made another: none with this environment is there."""
    os.environ["FLY64DASK_BENCH_CALL"] = str(time.monotonic_ns())
    work()


def cpu_of(work: Callable[[], object], server: psutil.Process) -> tuple[float, float]:
    """CPU seconds of a call, mean of some, in this process, and in the server's and those that it has forked.

    A process's time is told in steps of 10 ms.
    """

    def now() -> tuple[float, float]:
        while len(children := server.children()) > 1:  # of which one is ending
            time.sleep(LOOK_S)
        times = server.cpu_times()
        there = times.user + times.system + times.children_user + times.children_system
        return time.process_time(), there + sum(sum(child.cpu_times()[:2]) for child in children)

    before = now()
    for _ in range(N_CALLS):
        work()
    here, there = ((after - was) / N_CALLS for after, was in zip(now(), before, strict=True))
    return here, there


def again(request: CellRequest) -> None:
    """Run a cell as if it had not been run."""
    layout = request.layout
    with suppress(FileNotFoundError):
        os.rename(layout.cell_directory(request.cell), layout.root / f"earlier-{time.monotonic_ns()}")
    run_cell(request, Caller())
    record = read_record(layout, request.cell)
    if record is None or record.state != "completed":
        raise SystemExit(f"{request.cell.name}: {record and record.error}")


def nothing(folder: Path) -> None:
    """Let a child make a call that does nothing."""
    # The child finds a function by its module, and this script is none to it.
    call = call_in_child(str, log_file=folder / "log", limits=Limits(), on_report=lambda *_: None, leaves_nothing=True)
    assert isinstance(call, Returned)


if __name__ == "__main__":
    main()
