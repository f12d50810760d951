"""What a run does beside its epochs: from the command to its first cell, and in a small cell.

Run it from the repository:

    python scripts/bench/overhead.py [--rounds 3] [--cells 10] [--only start] [--json FILE]

The first part runs the demo until its first cell is committed, and looks at its processes meanwhile: CPU seconds
of each kind until then, which other work on the machine stretches less than wall time. Least of all rounds.

The second part runs cells of 42 exposures of 64 x 64 and 25 epochs as a worker does, in a child of this process that
stays, and times their parts (`small_cell/`): median, least and most of what a cell takes beside its epochs, and the
median of each part. The parts are in both processes: their sum is compared with cells that are not timed inside.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from measuring import ROOT, Bar, as_worker, machine, rows_table, tell
from small_cell import cells

from fly64dask.store import RunLayout

LOOK_S = 0.02
# What a process's command line has in it, and what it is then.
PROCESSES = {
    "multiprocessing.forkserver": "workers, and what forks them",
    "isolation.fork_server": "engines, and what forks them",
    "fly64dask run": "driver",
}


def main() -> None:
    """Run both parts and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times that a run is started [default: 3]")
    parser.add_argument("--cells", type=int, default=10, help="small cells of each kind [default: 10]")
    parser.add_argument("--only", choices=("start", "cell"), help="one of the two parts alone")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    as_worker()
    facts = machine()
    found: dict[str, Any] = {}
    text, bars = "", []
    with tempfile.TemporaryDirectory() as folder:
        if arguments.only != "cell":
            starts = [start_of_run(Path(folder) / f"run-{number}") for number in range(arguments.rounds)]
            start = {name: min(one[name] for one in starts) for name in starts[0]}
            found["starts"] = [{"start of a run": name, "s": value} for name, value in start.items()]
            text += rows_table(found["starts"])
            bars.append(at_most("first cell starts after", start["first cell starts"], 4))
        if arguments.only != "start":
            rows = cells.measure(Path(folder), arguments.cells)
            found |= rows
            text += cells.tables(rows)
            bars += [
                at_most(f"small cell beside its epochs, {row['cell']}", row["median_s"], 0.25)
                for row in rows["cells"]
                if row["figure"] == cells.BESIDE
            ]
    tell(facts, found, f"{text}\n", bars, arguments.json)


def at_most(name: str, seconds: float, needed: float) -> Bar:
    """Make the bar of a time."""
    return Bar(name=name, value=seconds, needed=needed, unit="s", at_least=False)


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


if __name__ == "__main__":
    main()
