"""A built LSQML task runs on faster steps where these are tested and give equal results.

pty-chi is not changed: functions of one task's own objects are replaced, for as long as a block
lasts. Each keeps pty-chi's signature, so that the order of steps, options and state stay its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from ptychi.api.enums import BatchingModes
from ptychi.metrics import MSELossOfSqrt

from fly64dask.reconstruction.interface import ACCELERATED
from fly64dask.reconstruction.lsqml.state import algorithm_of, copied, copy_state, put_back
from fly64dask.reconstruction.lsqml.steps.fast_steps import FastSteps
from fly64dask.reconstruction.lsqml.valid_pixels import LossOfValid
from fly64dask.reconstruction.lsqml.versions import untested

if TYPE_CHECKING:
    from ptychi.api.task import PtychographyTask
    from ptychi.reconstructors.base import LossTracker
    from torch import Tensor

try:
    # Here, so that the server of a machine's engines loads the compiled code once for all of them.
    from fly64dask.reconstruction.lsqml.steps.fused_steps import FusedSteps

    NO_KERNELS = None
except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: Numba finds no folder for what it compiles
    NO_KERNELS = f"none can be compiled here ({error})"

log = logging.getLogger(__name__)
# Of a quantity's largest value, after one minibatch.
TOLERANCE = 1e-4
# Dark pixels that counts are divided by can carry rounding further than that. Then allowed is what a relative change of
# the object by EPS does to pty-chi's own result, this many times (as tests/reconstruction/test_lsqml_acceleration.py
# measured it on random minibatches), but never over a hundred times the tolerance: a fault is more than rounding.
EPS = float(torch.finfo(torch.float32).eps)
A_FEW = 10
WIDEST_TOLERANCE = 1e-2
CHECKED_EXPOSURES = 3
MISSING = object()

Replacement = tuple[Any, str, Any]
if TYPE_CHECKING:
    Steps = FastSteps | FusedSteps


@contextmanager
def accelerated(task: PtychographyTask, *, enabled: bool) -> Iterator[str]:
    """Let a task run on the faster steps while the block lasts; yields `accelerated`, or `unmodified: ` and why.

    It is a task of one slice, as `lsqml` builds it, and its state stays what it is. `enabled` is what the recipe says;
    any other reason is logged as well, unless it is that the task's algorithm has no faster steps. On a CPU the faster
    steps are compiled; where these cannot be used, or disagree, it yields `accelerated without compiled loops: ` and
    why.
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
            steps, way, reason = _fastest(task)
        if reason is None:
            stack.enter_context(replaced(replacements(task, steps)))
            stack.enter_context(plain_loss_table(task.reconstructor.loss_tracker))
            yield way
            return
        stack.close()
        if enabled:
            log.warning("engine=unmodified reason=%s", reason)
        yield f"unmodified: {reason}"


def _fastest(task: PtychographyTask) -> tuple[Steps, str, str | None]:
    """Choose the fastest steps that agree with a task's own: them, what the record says of them, and why none does."""
    on_torch = FastSteps(task.reconstructor)
    compiled, shortfall = compiled_steps(task, on_torch)
    if compiled is not None:
        shortfall = disagreement(task, compiled)
        if shortfall is None:
            return compiled, ACCELERATED, None
    if shortfall is None:
        return on_torch, ACCELERATED, disagreement(task, on_torch)
    # Numba's absence and other numbers are faults of this machine; what has no compiled steps by design is none.
    is_fault = compiled is not None or shortfall == NO_KERNELS
    log.log(logging.WARNING if is_fault else logging.INFO, "engine=accelerated compiled=no reason=%s", shortfall)
    return on_torch, f"{ACCELERATED} without compiled loops: {shortfall}", disagreement(task, on_torch)


def compiled_steps(task: PtychographyTask, on_torch: FastSteps) -> tuple[FusedSteps | None, str | None]:
    """Make the compiled steps of a task; None, and why, if it has none, and no reason on a GPU, which needs none."""
    if task.object.tensor.data.device.type != "cpu":
        return None, None
    if task.opr_mode_weights.n_opr_modes > 1:
        return None, "the probe has several OPR modes"
    if task.reconstructor.options.exclude_measured_pixels_below is not None:
        return None, "pixels with few photons are left out"
    if NO_KERNELS is not None:
        return None, NO_KERNELS
    return FusedSteps(on_torch), None


def replacements(task: PtychographyTask, steps: Steps) -> list[Replacement]:
    """List what takes the place of a task's own, (owner, name, value): of its own objects, never of a class or a
    module.
    """
    reconstructor, dataset = task.reconstructor, task.dataset
    weights = reconstructor.parameter_group.opr_mode_weights
    changes: list[Replacement] = [
        (reconstructor.forward_model, "forward", steps.forward),
        (reconstructor, "update_fourier_error", steps.update_fourier_error),
        (reconstructor, "compute_reconstruction_parameter_updates", steps.compute_reconstruction_parameter_updates),
        (reconstructor, "apply_reconstruction_parameter_updates", steps.apply_reconstruction_parameter_updates),
        (task.object, "calculate_illumination_map", steps.calculate_illumination_map),
        # A minibatch in one read, not exposure by exposure; which ones is still drawn by pty-chi's loader.
        (dataset, "__getitems__", steps.read),
        (reconstructor.dataloader, "collate_fn", list),
    ]
    metric = reconstructor.loss_tracker.metric_function
    if type(metric.own if isinstance(metric, LossOfValid) else metric) is MSELossOfSqrt:
        changes.append((reconstructor.loss_tracker, "metric_function", steps.loss))
    if not weights.optimizable and bool((weights.tensor == 1).all()):
        changes.append((weights, "remove_outliers", lambda: None))  # weights that all stay 1 have none
    return changes


@contextmanager
def replaced(replacements: list[Replacement]) -> Iterator[None]:
    """Give objects attributes of their own while the block lasts, and then those of before."""
    before = [(owner, name, vars(owner).get(name, MISSING)) for owner, name, _ in replacements]
    try:
        for owner, name, value in replacements:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            delattr(owner, name)
            if value is not MISSING:
                setattr(owner, name, value)


@contextmanager
def plain_loss_table(tracker: LossTracker) -> Iterator[None]:
    """Keep the loss of each epoch in lists: a row of a data frame takes 2 ms, a third of an epoch of 8 exposures."""
    frame = tracker.table
    rows = {name: column.tolist() for name, column in frame.items()}

    def conclude_epoch(epoch: int) -> None:
        regularisation = tracker.epoch_reg_loss / max(tracker.accumulated_num_reg_batches, 1)
        rows["epoch"].append(epoch)
        rows["loss"].append(float(tracker.epoch_loss / tracker.accumulated_num_batches))
        rows["reg_loss"].append(float(regularisation))
        tracker.epoch = epoch + 1
        tracker.epoch_loss = tracker.epoch_reg_loss = 0.0
        tracker.accumulated_num_batches = tracker.accumulated_num_reg_batches = 0

    try:
        with replaced([(tracker, "conclude_epoch", conclude_epoch), (tracker, "print_latest", lambda: None)]):
            tracker.table = rows
            yield
    finally:
        tracker.table = type(frame)(rows) if rows["loss"] else frame


def disagreement(task: PtychographyTask, steps: Steps) -> str | None:
    """Compare the faster steps with the task's own: a few of its exposures, its probe, a random object.

    Gives what differs by more than rounding, and by how much; None if nothing does. The task, between two epochs, is
    afterwards as it was, generators included.
    """
    if not steps.scan.all.fit(task.object.lateral_shape):
        return "a patch reaches beyond the object"
    state, device = copy_state(task), task.object.tensor.data.device
    try:
        unmodified = _one_minibatch(task)
        put_back(task, copied(state, device))
        with replaced(replacements(task, steps)):
            ours = _one_minibatch(task)
        differences = _relative_differences(ours, unmodified)
        if all(difference <= TOLERANCE for difference in differences.values()):  # not if one is NaN
            return None
        put_back(task, copied(state, device))
        sensitivities = _relative_differences(_one_minibatch(task, changed_by=EPS), unmodified)
    finally:
        put_back(task, state)
    for name, difference in differences.items():
        allowed = min(max(TOLERANCE, A_FEW * sensitivities[name]), WIDEST_TOLERANCE)
        if not difference <= allowed:
            largest = float(unmodified[name].abs().max())
            return (
                f"self-check: {name} differs by {difference * largest:.2g}, allowed are {allowed:.1g} of {largest:.2g}"
            )
    return None


def _relative_differences(results: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """Largest difference of each quantity over its largest value; NaN where one of them is NaN."""
    smallest = torch.finfo(torch.float32).tiny  # nothing differs from nothing by nothing
    return {
        name: float((results[name] - values).abs().max()) / max(float(values.abs().max()), smallest)
        for name, values in expected.items()
    }


@torch.no_grad()
def _one_minibatch(task: PtychographyTask, *, changed_by: float = 0.0) -> dict[str, Tensor]:
    """Compute what a task makes of its first exposures, by name; twice if minibatches add to each other.

    The object is a random one, each pixel of it `changed_by` at most, relatively.
    """
    reconstructor, object_, device = task.reconstructor, task.object, task.object.tensor.data.device
    indices = torch.arange(min(CHECKED_EXPOSURES, len(task.dataset)), device="cpu")
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.rand((2, *object_.shape), generator=generator, device="cpu").to(device)
    change = torch.rand(object_.shape, generator=generator, device="cpu").to(device)
    object_.set_data(torch.polar(1 + noise[0], noise[1]) * (1 + changed_by * (2 * change - 1)))
    positions = SimpleNamespace(tensor=task.probe_positions.tensor[indices.to(device)])
    object_.preconditioner = object_.calculate_illumination_map(task.probe, positions)
    measured = task.dataset.patterns[indices].to(device)
    reconstructor.accumulated_fourier_error = 0.0
    reconstructor.current_epoch = task.reconstructor_options.num_epochs - 1  # whatever starts late has started
    # Number -1 is neither the first of an epoch nor the last.
    for reconstructor.current_minibatch in (0, 1) if _adds_up(task) else (-1,):
        expected = reconstructor.forward_model(indices)
        results = {"illumination": object_.preconditioner, "intensity": expected.clone()}
        reconstructor.update_fourier_error(expected, measured)
        reconstructor.compute_reconstruction_parameter_updates(expected, measured, indices)
        results |= {"object direction": object_.get_grad(), "probe direction": task.probe.get_grad()}
        reconstructor.apply_reconstruction_parameter_updates(indices)
    buffers, momentum = reconstructor.reconstructor_buffers, reconstructor.probe_momentum_params
    if reconstructor.options.momentum_acceleration_gain > 0:
        results["probe momentum"] = momentum.accumulated_update_direction
    return results | {
        "fourier error": torch.as_tensor(reconstructor.accumulated_fourier_error),
        "object": object_.data,
        "probe": task.probe.data,
        "object step": buffers.alpha_object_all_pos_all_slices[indices],
        "probe step": buffers.alpha_probe_all_pos[indices],
        "loss": reconstructor.loss_tracker.metric_function(expected, measured),
        "positions": task.probe_positions.data,
        "OPR weights": task.opr_mode_weights.data,
    }


def _adds_up(task: PtychographyTask) -> bool:
    """Whether a task's minibatches add to what those before them in the epoch have left."""
    return task.reconstructor_options.batching_mode == BatchingModes.COMPACT
