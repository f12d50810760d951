"""The tier of a test: what it starts, read from the code that it reaches, and watched while a fast test runs."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# A test carries a mark if it names one of these, or something in it, itself or in a fixture or helper of the tests.
STARTS = {
    "process": (
        *("subprocess", "multiprocessing", "running", "command_line", "forked_python"),
        *("fly64dask.cells.isolation", "fly64dask.cells.cell.run_cell"),
        "fly64dask.deploy.slurm.batch.commands.how_it_ended",
    ),
    "engine": ("ptychi", "fly64dask.reconstruction.lsqml"),
    "cluster": ("distributed", "fly64dask.runs.run.run_study", "fly64dask.deploy.local.connect"),
    "browser": ("browser",),
    "slurm": ("slurm_lab",),
}
PROCESS_EVENTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}


def marks_of(test: pytest.Function) -> list[str]:
    """Marks of what a test starts; none makes it a fast one."""
    of_hypothesis = getattr(test.obj, "hypothesis", None)
    fixtures = [found[-1].func for found in test._fixtureinfo.name2fixturedefs.values()]
    left = [of_hypothesis.inner_test if of_hypothesis else test.obj, *fixtures]
    seen, marks = set(), set()
    while left:
        function = inspect.unwrap(left.pop())
        if function not in seen and isinstance(function, types.FunctionType):
            seen.add(function)
            found, called = _reached_from(function)
            marks |= found
            left += called
    return [mark for mark in STARTS if mark in marks]


@functools.cache
def _reached_from(function: types.FunctionType) -> tuple[frozenset[str], tuple[Callable[..., object], ...]]:
    """Marks of what a function itself names, and those functions of the tests that it names."""
    names = set(_names_in(function.__code__))
    values = [function.__globals__[name] for name in names if name in function.__globals__]
    called = tuple(value for value in values if callable(value) and _is_ours(value))
    reached = set(_full_names(values, names))
    marks = (
        mark
        for mark, starters in STARTS.items()
        if any(f"{name}.".startswith(f"{start}.") for name in reached for start in starters)
    )
    return frozenset(marks), called


def _full_names(values: Iterable[object], names: set[str]) -> Iterator[str]:
    for value in values:
        if inspect.ismodule(value):
            yield value.__name__
            if value.__name__.startswith("fly64dask"):
                inner = [getattr(value, name) for name in names if hasattr(value, name)]
                yield from (f"{one.__module__}.{one.__qualname__}" for one in inner if inspect.isfunction(one))
        elif callable(value):
            yield f"{value.__module__}.{getattr(value, '__qualname__', '')}"


def _is_ours(value: object) -> bool:
    code = getattr(inspect.unwrap(value), "__code__", None)
    return code is not None and Path(code.co_filename).is_relative_to(TESTS)


def _names_in(code: types.CodeType) -> Iterator[str]:
    """Names that a code object and those nested in it use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


class Watch:
    """What the process starts, noted while a test is watched. Python offers no way to remove such a hook again."""

    def __init__(self) -> None:
        self.started: list[str] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        # Git is asked for a commit, and uname by hdf5plugin for the processor: once a process, in milliseconds.
        if self.started is None or arguments[:1] in (("git",), ("uname",)):
            return
        if event in PROCESS_EVENTS or (event == "import" and arguments[0] == "ptychi"):
            self.started.append(f"{event} {arguments[0]}")
