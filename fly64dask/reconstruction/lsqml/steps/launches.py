"""Minibatches of several tasks that a GPU gets by one launch (a CUDA graph), each to the bits that it has alone.

A minibatch of few small patterns leaves most of a GPU idle: its kernels wait for each other longer than they compute.
The tasks of a cell do not depend on each other within an epoch, so the kernels of their minibatches are recorded as
branches that run side by side. Each branch has memory of its own; what they share they only read.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch

from fly64dask.reconstruction.lsqml.steps.recorded_steps import Minibatch
from fly64dask.reconstruction.lsqml.steps.step_arithmetic import naming_devices

if TYPE_CHECKING:
    from fly64dask.reconstruction.lsqml.steps.recorded_steps import RecordedSteps, Results

Work = Callable[[], None]
Recorder = Callable[[Sequence[Work]], Work]

# A minibatch whose waves take more fills the GPU by itself, and side by side its tasks would only take more memory.
SIDE_BY_SIDE_BYTES = 2**24

# The graphs of this process that there are. They run one after the other, so that all have one memory.
_graphs: weakref.WeakSet[torch.cuda.CUDAGraph] = weakref.WeakSet()


def record_on_gpu(works: Sequence[Work]) -> Work:
    """Record the kernels that functions launch, which must not wait for the GPU; gives what launches all again.

    Each function is a branch of its own, which must not write what another reads. The functions must have run before,
    as what libraries prepare at a first call cannot be recorded.
    """
    graph, streams = torch.cuda.CUDAGraph(), [_recording_stream(branch) for branch in range(len(works))]
    first, *others = streams
    torch.cuda.empty_cache()  # what the call before has left is no use to a recording, whose memory is its own
    first.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(first):
        # Not `torch.cuda.graph`, which looks for garbage first: longer than all the rest takes.
        graph.capture_begin(pool=next((other.pool() for other in _graphs), None), capture_error_mode="thread_local")
        with ExitStack() as failed:
            failed.callback(_end_in_vain, graph)
            for other in others:
                other.wait_stream(first)
            for stream, work in zip(streams, works, strict=True):
                with torch.cuda.stream(stream):
                    work()
            for other in others:
                first.wait_stream(other)
            failed.pop_all()
        graph.capture_end()
    _graphs.add(graph)
    torch.cuda.current_stream().wait_stream(first)
    return graph.replay


def _end_in_vain(graph: torch.cuda.CUDAGraph) -> None:
    """End a recording whose work has failed, perhaps for want of memory: that is to be seen, not what comes of it."""
    with suppress(RuntimeError):
        graph.capture_end()


@functools.cache
def _recording_stream(branch: int) -> torch.cuda.Stream:
    """Give the stream that a branch is recorded on: each one has memory of its own, and 32 MB for matrix products."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


@dataclass(slots=True, kw_only=True)
class _Recording:
    """One kind of launch: called the first time, recorded the second, launched from then on.

    `together` is what minibatches are copied to, and `parts` are the views of it that each task reads. `addresses` are
    those of the tensors that were recorded, and `results` what is left for pty-chi.
    """

    together: Minibatch
    parts: dict[str, Minibatch]
    addresses: tuple[tuple[int, ...], ...]
    was_called: bool = False
    launch: Work | None = None
    results: dict[str, Results] = field(default_factory=dict)


class Launches:
    """Launches of the recorded steps of tasks, by the names of these; `record` makes one function of several."""

    def __init__(self, steps: Mapping[str, RecordedSteps], record: Recorder = record_on_gpu) -> None:
        self.steps, self._record = steps, record
        self._recordings: dict[tuple[Any, ...], _Recording] = {}

    @torch.no_grad()
    def run_epoch(self, minibatches: Mapping[str, Sequence[Minibatch]]) -> None:
        """Run the minibatches of an epoch of some of the tasks."""
        for name in minibatches:
            self.steps[name].begin_epoch()
        for some in self._side_by_side(minibatches):
            self.launch(some)
        for name, of_task in minibatches.items():
            self.steps[name].end_epoch(len(of_task))

    def launch(self, minibatches: Mapping[str, Minibatch]) -> None:
        """Run a minibatch of each of some tasks, in an epoch that was begun."""
        joined = _joined(minibatches.values())
        recording = self._recording(minibatches, joined)
        _copy_in(recording.together, joined)
        works = [functools.partial(self.steps[name].work, part) for name, part in recording.parts.items()]
        if not recording.was_called:
            for work in works:
                work()
            recording.was_called = True
            return
        if recording.launch is None:
            recording.launch = self._record(works)
            recording.results = {name: self.steps[name].results for name in recording.parts}
        recording.launch()
        for name, results in recording.results.items():
            self.steps[name].results = results

    def forget(self) -> None:
        """Forget all recordings; the memory of their results is given back."""
        self._recordings.clear()

    def _recording(self, minibatches: Mapping[str, Minibatch], joined: Minibatch) -> _Recording:
        """Find the recording of such minibatches at this epoch, or begin one."""
        kind = tuple((name, len(of.indices), self.steps[name].moves) for name, of in minibatches.items())
        addresses = tuple(self.steps[name].addresses for name in minibatches)
        found = self._recordings.get(kind)
        if found is None or found.addresses != addresses:
            device = next(iter(self.steps.values())).expected.device
            together = Minibatch(indices=joined.indices.to(device), normals=joined.normals.to(device))
            parts = _parts(together, minibatches)
            found = self._recordings[kind] = _Recording(parts=parts, together=together, addresses=addresses)
        return found

    def _side_by_side(self, minibatches: Mapping[str, Sequence[Minibatch]]) -> Iterator[dict[str, Minibatch]]:
        """Divide an epoch of tasks into launches: of as many tasks as have a minibatch left, or of one where these fill
        a GPU.
        """
        largest = max(self.steps[name].wave_bytes * len(of[0].indices) for name, of in minibatches.items())
        if largest > SIDE_BY_SIDE_BYTES:
            yield from ({name: minibatch} for name, of in minibatches.items() for minibatch in of)
            return
        for some in zip_longest(*minibatches.values()):
            yield {name: of for name, of in zip(minibatches, some, strict=True) if of is not None}


@naming_devices
def _joined(minibatches: Iterable[Minibatch]) -> Minibatch:
    """Put minibatches one behind the other."""
    indices, normals = zip(*((of.indices, of.normals) for of in minibatches), strict=True)
    return Minibatch(indices=torch.cat(indices), normals=torch.cat(normals))


def _parts(joined: Minibatch, minibatches: Mapping[str, Minibatch]) -> dict[str, Minibatch]:
    """View minibatches that were joined, each under its name."""
    indices = torch.split(joined.indices, [len(of.indices) for of in minibatches.values()])
    normals = torch.split(joined.normals, [len(of.normals) for of in minibatches.values()])
    return {
        name: Minibatch(indices=some_indices, normals=some_normals)
        for name, some_indices, some_normals in zip(minibatches, indices, normals, strict=True)
    }


@naming_devices
def _copy_in(place: Minibatch, minibatch: Minibatch) -> None:
    """Copy a minibatch from the CPU to where a recording reads it, and do not wait until it is there."""
    for to, numbers in ((place.indices, minibatch.indices), (place.normals, minibatch.normals)):
        if len(numbers):
            # Memory that is not pinned would be waited for; torch keeps what is pinned until it has been copied.
            to.copy_(numbers.pin_memory() if to.is_cuda else numbers, non_blocking=True)
