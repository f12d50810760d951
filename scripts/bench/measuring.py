"""What benchmarks share: this machine in words, ways measured in turns, bars met or missed, how figures are kept."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import shlex
import statistics
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fly64dask.base import KEEP_MEMORY, SINGLE_THREAD, installed_gpus, software_versions

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One figure and what it should be: at least so much, or at most."""

    name: str
    value: float
    needed: float
    unit: str = "x"
    at_least: bool = True

    @property
    def is_met(self) -> bool:
        """Whether the figure is on the right side."""
        return self.value >= self.needed if self.at_least else self.value <= self.needed

    def words(self) -> dict[str, str]:
        """Give what was measured, the bar and the verdict, as tables show them."""
        sign, unit = (">=" if self.at_least else "<="), f" {self.unit}" if self.unit != "x" else "x"
        return {
            "measured": f"{self.value:.3g}{unit}",
            "bar": f"{sign} {self.needed:g}{unit}",
            "verdict": "met" if self.is_met else "**missed**",
        }


@dataclass(slots=True)
class Notes:
    """The figures and bars that a part of a benchmark has found so far, written down as they come.

    Parameters
    ----------
    path : Path
        Where they are written.
    device : "cpu" or "cuda"
        What is measured.
    smoke : bool
        Whether sizes are tiny.
    """

    path: Path
    device: str
    smoke: bool
    rows: list[dict[str, Any]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)

    def row(self, **figures: Any) -> None:
        """Add a row of figures."""
        self.rows.append(figures)
        self.write()

    def most(self, name: str, value: float, needed: float, unit: str = "") -> None:
        """Expect a figure to be at most so much."""
        self.bars.append(Bar(name=name, value=float(value), needed=needed, unit=unit, at_least=False))
        self.write()

    def least(self, name: str, value: float, needed: float, unit: str = "x") -> None:
        """Expect a figure to be at least so much."""
        self.bars.append(Bar(name=name, value=float(value), needed=needed, unit=unit))
        self.write()

    def holds(self, name: str, holds: bool) -> None:
        """Expect something to be true."""
        self.bars.append(Bar(name=name, value=float(holds), needed=1, unit="(1: yes)"))
        self.write()

    def write(self, **more: Any) -> None:
        """Write all of it down, as JSON."""
        self.path.write_text(json.dumps({"rows": self.rows, "bars": bars_json(self.bars), **more}))


def in_turns(ways: Mapping[str, Callable[[], float]], n_rounds: int | Mapping[str, int]) -> dict[str, list[float]]:
    """Measure several ways in turns, so that a machine's slow minutes fall on all of them.

    Parameters
    ----------
    ways : mapping of str to callable
        Each does its work and returns what it took, in seconds.
    n_rounds : int or mapping of str to int
        Rounds, or the first so many of them that each way takes part in. Every other one goes through them backwards.

    Returns
    -------
    dict of str to list of float
        Seconds of each round.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    rounds_of = n_rounds if isinstance(n_rounds, Mapping) else dict.fromkeys(ways, n_rounds)
    n_all = max(rounds_of.values())
    for round_ in range(n_all):
        taking_part = [name for name in ways if round_ < rounds_of[name]]
        for name in taking_part[:: -1 if round_ % 2 else 1]:
            found[name].append(ways[name]())
            print(f"round {round_ + 1} of {n_all}: {name} {found[name][-1]:.3g} s", file=sys.stderr, flush=True)
    return found


def median_ratio(seconds: Mapping[str, Sequence[float]], slow: str, fast: str) -> float:
    """How many times as long one way takes as another: the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def cpu_seconds_of(work: Callable[[], object]) -> float:
    """CPU time of a call that uses this thread alone: what other work on the machine adds least to."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def as_worker() -> None:
    """Start anew with the environment of a worker, which glibc reads when a process begins."""
    wanted = SINGLE_THREAD | KEEP_MEMORY
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})


def machine() -> dict[str, Any]:
    """Describe where figures come from, and how busy it was."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": tuple(gpu.name for gpu in installed_gpus()),
        "system": platform.platform(terse=True),
        "load_average": round(os.getloadavg()[0], 2),
        "versions": software_versions(),
    }


def machine_line(facts: Mapping[str, Any]) -> str:
    """The same in one line."""
    versions = ", ".join(f"{name} {facts['versions'][name]}" for name in ("ptychi", "torch", "zarr", "dask"))
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_bytes'] / 2**30:.0f} GiB, "
        f"{', '.join(facts['gpus']) or 'no GPU'}; {versions}; load average {facts['load_average']} at the start"
    )


def processor() -> str:
    """Name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def bars_table(bars: Sequence[Bar]) -> str:
    """Draw bars as a table in Markdown."""
    lines = ["| what | measured | bar | |", "|---|---|---|---|"]
    lines += [f"| {bar.name} | {' | '.join(bar.words().values())} |" for bar in bars]
    return "\n".join(lines)


def rows_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw rows of figures as tables in Markdown, a new one wherever the names of the columns change."""
    lines: list[str] = []
    columns: list[str] = []
    for row in rows:
        if columns != list(row):
            columns = list(row)
            lines += ["", f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        cells = [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def bars_json(bars: Sequence[Bar]) -> list[dict[str, Any]]:
    """Bars as JSON objects, with their words for a table."""
    return [asdict(bar) | {"is_met": bar.is_met} | bar.words() for bar in bars]


def tell(
    facts: Mapping[str, Any], found: Mapping[str, Any], text: str, bars: Sequence[Bar], json_file: Path | None
) -> None:
    """Print what a benchmark found, and write it down if a file is given.

    Parameters
    ----------
    facts : mapping
        The machine.
    found : mapping
        The figures.
    text : str
        The same for people.
    bars : sequence of Bar
        What they should be; empty if nothing was set.
    json_file : Path or None
        Gets machine, figures and bars.
    """
    print(machine_line(facts))
    print(text)
    if bars:
        print(bars_table(bars))
    if json_file:
        write_measurement(json_file, facts, {**found, "bars": bars_json(bars)})


def write_measurement(path: Path, facts: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Write down what a script found, for the tables of the documentation (`scripts/make_figures.py`).

    Parameters
    ----------
    path : Path
        `docs/measurements/NAME.json`, or another file.
    facts : mapping
        The machine before anything was measured, from `machine`.
    found : mapping
        The figures, by names that a table's columns can use: lists of rows, each a mapping.

    Notes
    -----
    Command, date and digests of the code that ran stand before them.
    """
    given = sys.argv[1:]
    words = [word for place, word in enumerate(given) if "--json" not in given[max(0, place - 1) : place + 1]]
    script = Path(sys.argv[0]).resolve().relative_to(ROOT).as_posix()
    made = {
        "command": f"python {shlex.join([script, *words])}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": facts,
        "code": {script: digest(code_content(ROOT / script))} | code_digests(),
    }
    path.write_text(json.dumps(made | dict(found), indent=1) + "\n", encoding="utf-8")


@cache
def code_digests() -> dict[str, str]:
    """Give a digest of each module of the package, whatever its comments and docstrings, and of what it requires."""
    modules = sorted((ROOT / "fly64dask").rglob("*.py"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = json.dumps([project["requires-python"], project["dependencies"], project["optional-dependencies"]])
    digests = {path.relative_to(ROOT).as_posix(): digest(code_content(path)) for path in modules}
    return digests | {"pyproject.toml": digest(required.encode())}


def code_content(path: Path) -> bytes:
    """Give what a module says, without its comments and docstrings."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.end_lineno:
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    code = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return "\n".join(code).encode()


def digest(text: bytes) -> str:
    """Shorten content to what tells it from another."""
    return hashlib.sha256(text).hexdigest()[:16]
