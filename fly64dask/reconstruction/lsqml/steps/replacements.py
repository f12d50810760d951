"""What faster steps put in the place of a task's own: attributes of its objects, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from ptychi.metrics import MSELossOfSqrt

from fly64dask.reconstruction.lsqml.valid_pixels import LossOfValid

if TYPE_CHECKING:
    from ptychi.api.task import PtychographyTask
    from ptychi.reconstructors.base import LossTracker

    from fly64dask.reconstruction.lsqml.steps.fast_steps import FastSteps
    from fly64dask.reconstruction.lsqml.steps.fused_steps import FusedSteps

    Steps = FastSteps | FusedSteps

# An object of a task, the name of one of its attributes, and what takes the place of that.
Replacement = tuple[Any, str, Any]
MISSING = object()


def replacements(task: PtychographyTask, steps: Steps) -> list[Replacement]:
    """List what takes the place of a task's own, (owner, name, value): of its own objects, never of a class or a
    module.
    """
    reconstructor = task.reconstructor
    weights = reconstructor.parameter_group.opr_mode_weights
    changes: list[Replacement] = [
        (reconstructor.forward_model, "forward", steps.forward),
        (reconstructor, "update_fourier_error", steps.update_fourier_error),
        (reconstructor, "compute_reconstruction_parameter_updates", steps.compute_reconstruction_parameter_updates),
        (reconstructor, "apply_reconstruction_parameter_updates", steps.apply_reconstruction_parameter_updates),
        (task.object, "calculate_illumination_map", steps.calculate_illumination_map),
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
    """Keep the loss of each epoch in lists: a row of a data frame takes 2 ms, a third of an epoch of 8 exposures.

    One that is on a GPU stays there until somebody reads it (`state.read_epochs`).
    """
    frame = tracker.table
    rows = {name: column.tolist() for name, column in frame.items()}

    def conclude_epoch(epoch: int) -> None:
        regularisation = tracker.epoch_reg_loss / max(tracker.accumulated_num_reg_batches, 1)
        rows["epoch"].append(epoch)
        loss = tracker.epoch_loss / tracker.accumulated_num_batches
        rows["loss"].append(loss if isinstance(loss, torch.Tensor) else float(loss))
        rows["reg_loss"].append(float(regularisation))
        tracker.epoch = epoch + 1
        tracker.epoch_loss = tracker.epoch_reg_loss = 0.0
        tracker.accumulated_num_batches = tracker.accumulated_num_reg_batches = 0

    try:
        with replaced([(tracker, "conclude_epoch", conclude_epoch), (tracker, "print_latest", lambda: None)]):
            tracker.table = rows
            yield
    finally:
        rows["loss"] = [float(loss) for loss in rows["loss"]]
        tracker.table = type(frame)(rows) if rows["loss"] else frame
