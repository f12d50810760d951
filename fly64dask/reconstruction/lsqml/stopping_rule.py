"""An early-stopping rule estimates the error of each epoch of interleaved tasks and keeps snapshots of the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import torch

from fly64dask.reconstruction.best_epoch import BestEpoch, EpochEstimate
from fly64dask.reconstruction.half_sets import HELD_OUT_FRACTION
from fly64dask.reconstruction.lsqml.interleaved import InterleavedTasks, as_array, opr_weights, probe_in_photons
from fly64dask.reconstruction.lsqml.positions import drift_px

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from ptychi.api.task import PtychographyTask

# The most signal, rad^2, that grows with what is recovered: thicker objects wrap in so many places that they have much
# the same whatever their phases are (measured: docs/explanation/stopping.md).
LARGEST_SIGNAL = 1.0
DARK_PHOTONS = 1e-6  # expected in a pixel at least, so that a photon there is a great surprise and no infinite one


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The reconstruction after one epoch: object and probe of the full data, and what there is of the rest.

    `half_objects` are those of the halves, `drift_px` (n, 2) float32 how far positions were moved, `opr_weights`
    (n, n_opr) float32 the weights of several OPR modes.
    """

    object_recon: NDArray[np.complex64]
    probe_recon: NDArray[np.complex64]
    half_objects: NDArray[np.complex64] | None = None
    drift_px: NDArray[np.float32] | None = None
    opr_weights: NDArray[np.float32] | None = None


@dataclass(slots=True, kw_only=True)
class StoppingRule:
    """An early-stopping rule: estimates the error of each epoch, keeps the best and says when enough have run.

    `estimate` judges the epoch that has just been run; no more are run `patience` epochs after the best one.
    """

    tasks: InterleavedTasks
    estimate: Callable[[], EpochEstimate]
    patience: int | None
    course: BestEpoch[Snapshot] = field(default_factory=BestEpoch)

    def add_epoch(self) -> None:
        """Take in the epoch that has just been run."""
        self.course.add(self.estimate(), lambda: take_snapshot(self.tasks))

    def is_settled(self) -> bool:
        """Whether patience has run out."""
        n_epochs = len(self.course.estimates)
        return self.patience is not None and n_epochs > 0 and n_epochs - 1 - self.course.best >= self.patience

    def problem(self) -> str | None:
        """Say why the latest estimate tells nothing of what is still missing; None if it does."""
        signal = self.course.estimates[-1].signal
        if signal <= LARGEST_SIGNAL:
            return None
        return (
            f"the object's phase wraps (a mean square of {signal:.2g} rad², at most {LARGEST_SIGNAL:g}): its halves "
            "show the noise, and not how much is recovered"
        )

    def capture(self) -> dict[str, Any]:
        """Write down all estimates and snapshots, as numbers and tensors."""
        return {
            "estimates": [asdict(estimate) for estimate in self.course.estimates],
            "snapshots": {epoch: _as_tensors(snapshot) for epoch, snapshot in self.course.snapshots.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `capture` wrote."""
        self.course.estimates = [EpochEstimate(**estimate) for estimate in state["estimates"]]
        self.course.snapshots = {epoch: _from_tensors(tensors) for epoch, tensors in state["snapshots"].items()}


def take_snapshot(tasks: InterleavedTasks) -> Snapshot:
    """Copy what an epoch has made."""
    return Snapshot(
        object_recon=as_array(tasks.full, "object"),
        probe_recon=probe_in_photons(tasks.full),
        half_objects=tasks.half_objects() if tasks.has_halves else None,
        drift_px=drift_px(tasks.full),
        opr_weights=opr_weights(tasks.full),
    )


@torch.no_grad()
def held_out_deviance(full: PtychographyTask, companion: PtychographyTask) -> EpochEstimate:
    """Measure how badly a companion predicts the photons that it was not shown.

    `noise` is the Poisson deviance 2 mean(h log(h / m) - h + m) of held-out counts h, with m the companion's
    expectation of them; `signal` is 0, so that the held-out counts decide alone.
    """
    odds = HELD_OUT_FRACTION / (1 - HELD_OUT_FRACTION)
    shown, device = companion.dataset.patterns, companion.object.tensor.data.device
    valid = companion.dataset.valid_pixel_mask.to(device)
    total = 0.0
    batch_size = companion.reconstructor_options.batch_size
    for start in range(0, len(shown), batch_size):
        batch = slice(start, min(start + batch_size, len(shown)))
        held_out = (full.dataset.patterns[batch] - shown[batch]).to(device)
        indices = torch.arange(batch.start, batch.stop, device="cpu")
        expected = (companion.reconstructor.forward_model(indices) * odds).clamp_min(DARK_PHOTONS)
        surprise = torch.special.xlogy(held_out, held_out / expected) - held_out + expected
        total += 2 * float((surprise * valid).sum(dtype=torch.float64))
    return EpochEstimate(signal=0.0, noise=total / (len(shown) * int(valid.sum())))


def _as_tensors(snapshot: Snapshot) -> dict[str, torch.Tensor]:
    arrays = {of.name: getattr(snapshot, of.name) for of in fields(snapshot)}
    return {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}


def _from_tensors(tensors: dict[str, torch.Tensor]) -> Snapshot:
    return Snapshot(**{name: tensor.numpy() for name, tensor in tensors.items()})
