"""What pty-chi sums over all pixels of a detector is summed over the valid ones, in a task that has a mask.

pty-chi 2.2.0 leaves masked pixels out of the updates of object and probe. It counts them, as dark, in the scale that
the first epoch gives to the probe, in the Fourier error and in the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from ptychi.reconstructors.lsqml import LSQMLReconstructor

from fly64dask.base import InputError
from fly64dask.reconstruction.lsqml.versions import REMEDY, untested

if TYPE_CHECKING:
    from ptychi.api.task import PtychographyTask
    from ptychi.io_handles import PtychographyDataset
    from torch import Tensor

OfIntensities = Callable[["Tensor", "Tensor"], "Tensor"]


def pixel_weights(dataset: PtychographyDataset, device: torch.device) -> Tensor | None:
    """Make the weights with which a mean over all pixels is one over the valid pixels: (H, W) float32, 0 where masked.

    They have the zero frequency at the corner. None if all pixels are valid.
    """
    valid = dataset.valid_pixel_mask
    if bool(valid.all()):
        return None
    weights: Tensor = valid.to(device, torch.float32).mul_(valid.numel() / int(valid.sum()))
    return weights


@dataclass(frozen=True, slots=True)
class LossOfValid:
    """A loss that is a mean over pixels, taken over the valid ones; `own` is pty-chi's, `weights` (H, W)."""

    own: OfIntensities
    weights: Tensor

    def __call__(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """Compute the loss of expected and measured intensities, (n, H, W), of which masked ones are taken as equal."""
        valid = self.weights > 0
        return self.own(y_pred * valid, y_true * valid) * self.weights.max()


def count_valid_alone(task: PtychographyTask) -> None:
    """Let a task that has not run yet leave masked pixels out of its loss, Fourier error and first scale of the probe.

    Functions of its own objects are replaced; LSQML alone has the last two. Raises InputError for a pty-chi that is not
    tested: it may count masked pixels otherwise, and nothing in the result would show it.
    """
    problem = untested("the sums over valid pixels")
    if problem is not None:
        raise InputError(f"reconstruct exposures with masked pixels: {problem}", remedy=REMEDY)
    reconstructor, weights = task.reconstructor, pixel_weights(task.dataset, task.object.data.device)
    assert weights is not None, "a task with masked pixels"
    tracker = reconstructor.loss_tracker
    if tracker.metric_function is not None:  # the difference map's error is one of exit waves
        tracker.metric_function = LossOfValid(tracker.metric_function, weights)
    if not isinstance(reconstructor, LSQMLReconstructor):
        return
    fourier_error, intensities = reconstructor.update_fourier_error, reconstructor.update_accumulated_intensities

    # The error is a mean of squared amplitudes, so that weights of intensities are its weights.
    def update_fourier_error(y_pred: Tensor, y_true: Tensor) -> None:
        fourier_error(y_pred * weights, y_true * weights)

    def update_accumulated_intensities(y_true: Tensor, y_pred: Tensor) -> None:
        intensities(y_true * weights, y_pred * weights)

    reconstructor.update_fourier_error = update_fourier_error
    reconstructor.update_accumulated_intensities = update_accumulated_intensities
