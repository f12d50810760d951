"""Functions of the package are timed while they run, in a worker's process and in its engine's."""

from __future__ import annotations

import functools
import importlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What is timed, `module:name`, by part. The last part of each process is what is left.
CELLS, ENGINE_OF, STEPS = "fly64dask.cells", "fly64dask.reconstruction.lsqml", "fly64dask.reconstruction.lsqml.steps"
EPOCHS = "epochs"
WORKER = {
    "inputs opened, key, earlier record": (f"{CELLS}.cell:plan_attempt",),
    "inputs read and checked": (f"{CELLS}.cell:_reconstruct",),
    "prediction": (f"{CELLS}.cell:predict_identifiability",),
    "engine called and followed": (f"{CELLS}.cell:_call_engine",),
    "record": (f"{CELLS}.cell:commit_record", f"{CELLS}.cell:refuse_second"),
    "synced": ("fly64dask.store.atomic:_sync_tree", "fly64dask.store.atomic:_sync"),
    "journal": (f"{CELLS}.cell:note_event", f"{CELLS}.cell:conclude"),
}
ENGINE = {
    "inputs opened and read": (f"{CELLS}.engine_call:open_inputs", f"{CELLS}.inputs:CellInputs.read"),
    "photons divided, streams seeded": (f"{ENGINE_OF}.engine:begin",),
    "tasks built": (f"{ENGINE_OF}.running:build_task",),
    "faster steps made": (f"{STEPS}.acceleration:_fastest",),
    "self-checks": (f"{STEPS}.acceleration:disagreement",),
    EPOCHS: (
        f"{ENGINE_OF}.interleaved:InterleavedTasks.run_epoch",
        f"{ENGINE_OF}.stopping_rule:StoppingRule.add_epoch",
    ),
    "epochs checked and reported": (f"{ENGINE_OF}.running:RunningReconstruction.run",),
    "settings, result": (f"{ENGINE_OF}.engine:reconstruct",),
    "metrics against the truth": (f"{CELLS}.measuring:_compare_with_truth",),
    "metrics of the halves": (f"{CELLS}.measuring:_compare_halves",),
    "arrays written": (f"{CELLS}.engine_call:_store", f"{CELLS}.engine_call:_file_sha256"),
}
REST, PROCESS = "the rest", "process"

Seconds = tuple[float, float]  # of CPU, and on the wall


class Watch:
    """Adds up CPU time of this process and wall time by part: each instant is of the innermost part under way."""

    def __init__(self) -> None:
        self.cpu: defaultdict[str, float] = defaultdict(float)
        self.wall: defaultdict[str, float] = defaultdict(float)
        self.under_way = [REST]
        self.since = now()

    def note(self) -> None:
        """Add what has passed to the innermost part."""
        at = now()
        for total, after, before in zip((self.cpu, self.wall), at, self.since, strict=True):
            total[self.under_way[-1]] += after - before
        self.since = at

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Let a part be under way while the block lasts."""
        self.note()
        self.under_way.append(name)
        try:
            yield
        finally:
            self.note()
            self.under_way.pop()

    def seconds(self) -> dict[str, Seconds]:
        """Seconds of each part so far."""
        self.note()
        return {name: (self.cpu[name], self.wall[name]) for name in self.cpu}


_watches: list[Watch] = []  # at most one: that of the cell which runs and is timed


def now() -> Seconds:
    """The clocks of CPU time of this process and of the wall."""
    return time.process_time(), time.perf_counter()


@functools.cache
def time_functions(process: str) -> None:
    """Let the functions of `WORKER` or of `ENGINE` be timed in this process, once and for all."""
    for part, places in {"worker": WORKER, "engine": ENGINE}[process].items():
        for place in places:
            module, _, path = place.partition(":")
            *owners, name = path.split(".")
            owner = functools.reduce(getattr, owners, importlib.import_module(module))
            setattr(owner, name, _timed(getattr(owner, name), part))


def _timed(function: Callable[..., Any], part: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if not _watches:
            return function(*arguments, **keywords)
        with _watches[0].part(part):
            return function(*arguments, **keywords)

    return call


@contextmanager
def watching() -> Iterator[Watch]:
    """Time the functions of this process while the block lasts."""
    _watches.append(Watch())
    try:
        yield _watches[0]
    finally:
        _watches.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedCall:
    """A call in the engine's process that writes what its parts took into a file; picklable."""

    call: Callable[..., Any]
    file: Path

    def __call__(self, report: Callable[[int, float], None]) -> Any:
        """Make the call."""
        time_functions("engine")
        with watching() as watch:
            returned = self.call(report)
            seconds = watch.seconds()
        self.file.write_text(json.dumps(seconds))
        return returned
