"""LSQML tasks that take turns and a stopping rule -> which epoch is best, and its objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from fly64dask.reconstruction.best_epoch import BestEpoch, Look
from fly64dask.reconstruction.half_sets import HELD_OUT_FRACTION
from fly64dask.reconstruction.lsqml.interleaved import Turns, as_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from ptychi.api.task import PtychographyTask

DARK_PHOTONS = 1e-6  # expected in a pixel at least, so that a photon there is a great surprise and no infinite one


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of an epoch: the full data's object and probe, and the halves' objects if there are halves."""

    object_recon: NDArray[np.complex64]
    probe_recon: NDArray[np.complex64]
    half_objects: NDArray[np.complex64] | None


@dataclass(slots=True, kw_only=True)
class Rule:
    """Looks at each epoch of tasks that take turns, and keeps the best.

    Parameters
    ----------
    turns : Turns
        The tasks.
    look : callable
        Measures the epoch that has just been run.
    patience : int or None
        Epochs after the best one that settle the matter.
    """

    turns: Turns
    look: Callable[[], Look]
    patience: int | None
    course: BestEpoch = field(default_factory=BestEpoch)

    def see_epoch(self) -> None:
        """Take in the epoch that has just been run."""
        self.course.add(self.look(), lambda: kept_of(self.turns))

    def is_settled(self) -> bool:
        """Whether patience has run out."""
        n_epochs = len(self.course.looks)
        return self.patience is not None and n_epochs > 0 and n_epochs - 1 - self.course.best >= self.patience

    def capture(self) -> dict[str, Any]:
        """Write down all looks and what is kept."""
        return {
            "looks": [[look.signal, look.noise] for look in self.course.looks],
            "snapshots": {epoch: _as_tensors(kept) for epoch, kept in self.course.snapshots.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `capture` wrote."""
        self.course.looks = [Look(signal=signal, noise=noise) for signal, noise in state["looks"]]
        self.course.snapshots = {epoch: _as_arrays(tensors) for epoch, tensors in state["snapshots"].items()}


def kept_of(turns: Turns) -> Kept:
    """Copy what an epoch has made."""
    return Kept(
        object_recon=as_array(turns.full, "object"),
        probe_recon=as_array(turns.full, "probe"),
        half_objects=turns.half_objects(),
    )


@torch.no_grad()
def held_out_deviance(full: PtychographyTask, companion: PtychographyTask) -> Look:
    """How badly a companion predicts the photons that it was not shown.

    Parameters
    ----------
    full, companion : PtychographyTask
        Tasks of all counts, and of those without the held-out ones.

    Returns
    -------
    Look
        `noise` is the Poisson deviance 2 mean(h log(h / m) - h + m) of held-out counts h, with m
        the companion's expectation of them; `signal` is 0, so that they decide alone.
    """
    odds = HELD_OUT_FRACTION / (1 - HELD_OUT_FRACTION)
    every, device = companion.dataset.patterns, companion.object.tensor.data.device
    total = 0.0
    batch_size = companion.reconstructor_options.batch_size
    for start in range(0, len(every), batch_size):
        batch = slice(start, min(start + batch_size, len(every)))
        held_out = (full.dataset.patterns[batch] - every[batch]).to(device)
        indices = torch.arange(batch.start, batch.stop, device="cpu")
        expected = (companion.reconstructor.forward_model(indices) * odds).clamp_min(DARK_PHOTONS)
        surprise = torch.special.xlogy(held_out, held_out / expected) - held_out + expected
        total += 2 * float(surprise.sum(dtype=torch.float64))
    return Look(signal=0.0, noise=total / every.numel())


def _as_tensors(kept: Kept) -> dict[str, torch.Tensor | None]:
    arrays = {"object_recon": kept.object_recon, "probe_recon": kept.probe_recon, "half_objects": kept.half_objects}
    return {name: None if array is None else torch.from_numpy(array) for name, array in arrays.items()}


def _as_arrays(tensors: dict[str, Any]) -> Kept:
    arrays: dict[str, Any] = {name: None if tensor is None else tensor.numpy() for name, tensor in tensors.items()}
    return Kept(**arrays)
