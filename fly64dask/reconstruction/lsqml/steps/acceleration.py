"""A built LSQML task runs on faster steps where these are tested and give equal results.

pty-chi is not changed: functions of one task's own objects are replaced, for as long as a block
lasts. Each keeps pty-chi's signature, so that the order of steps, options and state stay its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fly64dask.reconstruction.interface import ACCELERATED, COMPILED
from fly64dask.reconstruction.lsqml.state import algorithm_of
from fly64dask.reconstruction.lsqml.steps.fast_steps import FastSteps
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
except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: Numba finds no folder for what it compiles
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
        if isinstance(self.steps, RecordedSteps):
            return RecordedSteps(on_torch)
        return FusedSteps(on_torch, self.steps.library, None if moving else self.steps.places)


@contextmanager
def accelerated(task: PtychographyTask, *, enabled: bool, choices: list[Choice] | None = None) -> Iterator[str]:
    """Let a task run on the faster steps while the block lasts; yields how, or `unmodified: ` and why.

    It is a task of one slice, as `lsqml` builds it, and its state stays what it is. `enabled` is what the recipe says;
    any other reason is logged as well, unless it is that the task's algorithm has no faster steps. On a CPU the faster
    steps are compiled, and it yields `accelerated by compiled loops with transforms of ` and a library; where these
    cannot be used, or disagree, `accelerated without compiled loops: ` and why. On a GPU a minibatch is recorded, and
    it yields `accelerated`, else `accelerated without recorded minibatches: ` and why. Of `choices`, made for other
    tasks of the same call, that of one which computes alike is taken; a new one is added.
    """
    with ExitStack() as stack:
        if algorithm_of(task) != "LSQML":
            yield f"unmodified: {algorithm_of(task)} has no faster steps"
            return
        reason = untested("the faster steps") if enabled else "the recipe says so"
        if reason is None:
            if task.object.tensor.data.device.type == "cpu":
                # pty-chi needs a default device to build; where it is set, each call of torch takes 8 us more.
                stack.callback(torch.set_default_device, "cpu")
                torch.set_default_device(None)
            choice = _choice(task, [] if choices is None else choices)
            reason = choice.reason
        if reason is None:
            stack.enter_context(replaced(replacements(task, choice.steps_of(task))))
            stack.enter_context(plain_loss_table(task.reconstructor.loss_tracker))
            yield choice.way
            return
        stack.close()
        if enabled:
            log.warning("engine=unmodified reason=%s", reason)
        yield f"unmodified: {reason}"


def _choice(task: PtychographyTask, choices: list[Choice]) -> Choice:
    """Take the choice of a task that computes alike, or make one and add it."""
    for choice in choices:
        if are_alike(task, choice.task):
            return choice
    on_cpu = task.object.tensor.data.device.type == "cpu"
    choices.append(_fastest(task) if on_cpu else _fastest_on_gpu(task))
    return choices[-1]


def _fastest(task: PtychographyTask) -> Choice:
    """Choose the compiled steps, where there are any and they agree with a task's own, or the steps on torch."""
    on_torch = FastSteps(task.reconstructor)
    compiled, shortfall = compiled_steps(task, on_torch)
    if compiled is not None:
        shortfall = disagreement(task, compiled)
        if shortfall is None:
            return Choice(task=task, steps=compiled, way=f"{COMPILED} with transforms of {compiled.library}")
    # Numba's absence and other numbers are faults of this machine; what has no compiled steps by design is none.
    is_fault = compiled is not None or shortfall == NO_KERNELS
    log.log(logging.WARNING if is_fault else logging.INFO, "engine=accelerated compiled=no reason=%s", shortfall)
    way = f"{ACCELERATED} without compiled loops: {shortfall}"
    return Choice(task=task, steps=on_torch, way=way, reason=disagreement(task, on_torch))


def _fastest_on_gpu(task: PtychographyTask) -> Choice:
    """Choose recorded minibatches, where they repeat what is recorded, or the steps on torch."""
    on_torch = FastSteps(task.reconstructor)
    if (reason := disagreement(task, on_torch)) is not None:
        return Choice(task=task, steps=on_torch, way=ACCELERATED, reason=reason)
    shortfall = obstacle(on_torch)
    if shortfall is None:
        recorded = RecordedSteps(on_torch)
        shortfall = recording_problem(task, recorded)
        if shortfall is None:
            return Choice(task=task, steps=recorded, way=ACCELERATED)
        log.warning("engine=accelerated recorded=no reason=%s", shortfall)
    return Choice(task=task, steps=on_torch, way=f"{ACCELERATED} without recorded minibatches: {shortfall}")


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
