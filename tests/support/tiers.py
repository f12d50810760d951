"""The tier of a test: what it starts, read from the code that it reaches, and watched while a fast test runs."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# A test carries a mark if it names one of these, or something in it, itself or in a fixture or helper of the tests.
STARTS = {
    "process": (
        *("subprocess", "multiprocessing", "running", "command_line", "forked_python"),
        *("fly64dask.cells.isolation", "fly64dask.cells.cell.run_cell"),
        "fly64dask.deploy.slurm.commands.how_it_ended",
    ),
    "engine": ("ptychi", "fly64dask.reconstruction.lsqml"),
    "cluster": ("distributed", "fly64dask.runs.run.run_study", "fly64dask.deploy.local.connect"),
    "browser": ("browser",),
    "slurm": ("slurm_lab",),
}
PROCESS_EVENTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}


def marks_of(test: pytest.Function) -> list[str]:
    """Marks of what a test starts; none makes it a fast one."""
    names = set(_names_reached(test))
    return [
        mark for mark, starters in STARTS.items() if any(f"{n}.".startswith(f"{s}.") for n in names for s in starters)
    ]


def _names_reached(test: pytest.Function) -> Iterator[str]:
    of_hypothesis = getattr(test.obj, "hypothesis", None)
    fixtures = [found[-1].func for found in test._fixtureinfo.name2fixturedefs.values()]
    left = [of_hypothesis.inner_test if of_hypothesis else test.obj, *fixtures]
    seen = set()
    while left:
        function = inspect.unwrap(left.pop())
        if function in seen or not isinstance(function, types.FunctionType):
            continue
        seen.add(function)
        names = set(_names_in(function.__code__))
        for value in filter(callable, (function.__globals__.get(name) for name in names)):
            yield f"{value.__module__}.{getattr(value, '__qualname__', '')}"
            if _is_ours(value):
                left.append(value)
        for module in filter(inspect.ismodule, (function.__globals__.get(name) for name in names)):
            yield module.__name__
            if module.__name__.startswith("fly64dask"):
                values = [getattr(module, name) for name in names if hasattr(module, name)]
                yield from (f"{value.__module__}.{value.__qualname__}" for value in values if inspect.isfunction(value))


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
