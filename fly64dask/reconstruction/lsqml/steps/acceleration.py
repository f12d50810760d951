"""Built LSQML tasks run on faster steps where these are tested and give equal results.

pty-chi is not changed: functions of a task's own objects are replaced, for as long as a block
lasts. Each keeps pty-chi's signature, so that the order of steps, options and state stay its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fly64dask.reconstruction.interface import ACCELERATED, COMPILED
from fly64dask.reconstruction.lsqml.state import algorithm_of
from fly64dask.reconstruction.lsqml.steps.fast_steps import FastSteps
from fly64dask.reconstruction.lsqml.steps.launches import Launches
from fly64dask.reconstruction.lsqml.steps.recorded_steps import RecordedSteps, obstacle
from fly64dask.reconstruction.lsqml.steps.replacements import plain_loss_table, replaced, replacements
from fly64dask.reconstruction.lsqml.steps.self_check import are_alike, disagreement, recording_problem
from fly64dask.reconstruction.lsqml.versions import untested

if TYPE_CHECKING:
    from ptychi.api.task import PtychographyTask

    from fly64dask.reconstruction.lsqml.steps.replacements import Steps

try:
    # Here, so that the server of a machine's engines loads the compiled code once for all of them.
    from fly64dask.reconstruction.lsqml.steps.compiled import library_for
    from fly64dask.reconstruction.lsqml.steps.fused_steps import FusedSteps

    NO_KERNELS = None
except (ImportError, OSError, RuntimeError) as error:  # no Numba, or one that does not work here
    NO_KERNELS = f"none can be compiled here ({error})"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The fastest steps that agree with a task's own, what the record says of them, and the reason if none agree."""

    task: PtychographyTask
    steps: Steps
    way: str
    reason: str | None = None

    def steps_of(self, task: PtychographyTask) -> Steps:
        """Give the steps, or make the same for a task that computes alike, with the same ramps and corners."""
        if task is self.task:
            return self.steps
        moving = self.steps.scan.moving
        on_torch = FastSteps(task.reconstructor, None if moving else self.steps.scan)
        if isinstance(self.steps, FastSteps):
            return on_torch
        return FusedSteps(on_torch, self.steps.library, None if moving else self.steps.places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceleration:
    """How tasks run: `ways` by the name of each, the steps of those that have faster ones, and the launches of their
    minibatches if those of all of them are recorded for a GPU.
    """

    ways: Mapping[str, str]
    steps: Mapping[str, Steps]
    launches: Launches | None = None


@contextmanager
def accelerated(tasks: Mapping[str, PtychographyTask], *, enabled: bool) -> Iterator[Acceleration]:
    """Let the tasks of a reconstruction, the full data's first, run on the faster steps while the block lasts.

    They are tasks of one slice on one device, as `lsqml` builds them, and their state stays what it is. The way of a
    task is `unmodified: ` and why, if it has no faster steps; `enabled` is what the recipe says, and any other reason
    is logged as well, unless it is that the algorithm has none. On a CPU the faster steps are compiled, and the way is
    `accelerated by compiled loops with transforms of ` and a library; where these cannot be used, or disagree,
    `accelerated without compiled loops: ` and why. On a GPU minibatches are recorded, and the way is `accelerated`,
    else `accelerated without recorded minibatches: ` and why.
    """
    with ExitStack() as stack:
        reason = _no_faster_steps(tasks, enabled=enabled)
        if reason is not None:
            yield Acceleration(ways={name: f"unmodified: {reason}" for name in tasks}, steps={})
            return
        on_gpu = all(is_on_gpu(task) for task in tasks.values())
        if not on_gpu:
            # pty-chi needs a default device to build; where it is set, each call of torch takes 8 us more.
            stack.callback(torch.set_default_device, "cpu")
            torch.set_default_device(None)
        ways, steps = _take_steps(tasks, stack)
        if not steps:
            stack.close()
        launches = _launches(tasks, ways, steps, stack) if on_gpu else None
        yield Acceleration(ways=ways, steps=steps, launches=launches)


def _no_faster_steps(tasks: Mapping[str, PtychographyTask], *, enabled: bool) -> str | None:
    """Say why no task has faster steps, whatever a self-check would find; None if they have some."""
    (algorithm,) = {algorithm_of(task) for task in tasks.values()}
    if algorithm != "LSQML":
        return f"{algorithm} has no faster steps"
    if not enabled:
        return "the recipe says so"
    reason = untested("the faster steps")
    if reason is not None:
        log.warning("engine=unmodified reason=%s", reason)
    return reason


def _take_steps(tasks: Mapping[str, PtychographyTask], stack: ExitStack) -> tuple[dict[str, str], dict[str, Steps]]:
    """Give each task the fastest steps that agree with its own while the stack lasts; gives ways and steps."""
    ways: dict[str, str] = {}
    steps: dict[str, Steps] = {}
    choices: list[Choice] = []
    for name, task in tasks.items():
        choice = _choice(task, choices)
        if choice.reason is not None:
            log.warning("engine=unmodified reason=%s", choice.reason)
            ways[name] = f"unmodified: {choice.reason}"
            continue
        of_task = choice.steps_of(task)
        ways[name], steps[name] = choice.way, of_task
        if not isinstance(of_task, FastSteps):
            stack.callback(of_task.passes.close)
        stack.enter_context(replaced(replacements(task, steps[name])))
        stack.enter_context(plain_loss_table(task.reconstructor.loss_tracker))
    return ways, steps


def _choice(task: PtychographyTask, choices: list[Choice]) -> Choice:
    """Take the choice of a task that computes alike, or make one and add it."""
    for choice in choices:
        if are_alike(task, choice.task):
            return choice
    choices.append(_fastest(task))
    return choices[-1]


def _fastest(task: PtychographyTask) -> Choice:
    """Choose the compiled steps, where there are any and they agree with a task's own, or the steps on torch."""
    on_torch = FastSteps(task.reconstructor)
    if is_on_gpu(task):
        shortfall = obstacle(on_torch)
        way = ACCELERATED if shortfall is None else unrecorded(shortfall)
        return Choice(task=task, steps=on_torch, way=way, reason=disagreement(task, on_torch))
    compiled, shortfall = compiled_steps(task, on_torch)
    if compiled is not None:
        shortfall = disagreement(task, compiled)
        if shortfall is None:
            return Choice(task=task, steps=compiled, way=f"{COMPILED} with transforms of {compiled.library}")
        compiled.passes.close()
    # Numba's absence and other numbers are faults of this machine; what has no compiled steps by design is none.
    is_fault = compiled is not None or shortfall == NO_KERNELS
    log.log(logging.WARNING if is_fault else logging.INFO, "engine=accelerated compiled=no reason=%s", shortfall)
    way = f"{ACCELERATED} without compiled loops: {shortfall}"
    return Choice(task=task, steps=on_torch, way=way, reason=disagreement(task, on_torch))


def _launches(
    tasks: Mapping[str, PtychographyTask], ways: dict[str, str], steps: Mapping[str, Steps], stack: ExitStack
) -> Launches | None:
    """Record the minibatches of all tasks, unless those of one are not; where they cannot be, or are repeated
    otherwise, the ways say so.
    """
    recorded = {
        name: RecordedSteps(of) for name, of in steps.items() if isinstance(of, FastSteps) and ways[name] == ACCELERATED
    }
    if recorded.keys() != tasks.keys():
        ways.update({name: unrecorded("those of a reconstruction beside it are not") for name in recorded})
        return None
    for of in recorded.values():
        stack.enter_context(replaced(of.replacements()))
    launches = Launches(recorded)
    shortfall = recording_problem(tasks, launches)
    if shortfall is None:
        return launches
    log.warning("engine=accelerated recorded=no reason=%s", shortfall)
    ways.update({name: unrecorded(shortfall) for name in ways})
    return None


def is_on_gpu(task: PtychographyTask) -> bool:
    """Tell whether a task computes on a GPU."""
    return bool(task.object.tensor.data.is_cuda)


def unrecorded(reason: str) -> str:
    """Say that minibatches are called one by one on a GPU, and why."""
    return f"{ACCELERATED} without recorded minibatches: {reason}"


def compiled_steps(task: PtychographyTask, on_torch: FastSteps) -> tuple[FusedSteps | None, str | None]:
    """Make the compiled steps of a task on a CPU; None, and why, if it has none."""
    if task.opr_mode_weights.n_opr_modes > 1:
        return None, "the probe has several OPR modes"
    if task.reconstructor.options.exclude_measured_pixels_below is not None:
        return None, "pixels with few photons are left out"
    if NO_KERNELS is not None:
        return None, NO_KERNELS
    library = library_for(on_torch.expected.shape_px)
    if library is None:
        shape = " x ".join(map(str, on_torch.expected.shape_px))
        return None, f"no library here transforms waves of {shape} pixels"
    return FusedSteps(on_torch, library), None
