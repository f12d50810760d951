"""The best epoch is chosen from the signal and noise of each, with snapshots of those that may still become the best.

A reconstruction's error is what it has not recovered yet and the noise it has taken up already. The
first falls from epoch to epoch, the second rises, and the loss tells neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

S = TypeVar("S")

# Snapshots in memory at most (our choice). More epochs may still become best; those are then so
# close to each other that the best of eight costs next to nothing. To keep each epoch's objects on disk instead would
# take 0.5 GB a cell (100 epochs of three objects of 464 x 464 pixels and a probe), and files to resume and remove.
MAX_SNAPSHOTS = 8


# How much more signal there is than any epoch has shown (our choice, by docs/explanation/stopping.md: from 1.25 to
# 3 all choose well; 1, nothing is missing, stops too early where photons are few but not too few).
UNSEEN = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEstimate:
    """The estimates of a stopping rule for one epoch: the mean squares of an object's signal and of its noise."""

    signal: float
    noise: float


def scores(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the error power of each epoch, (n_epochs,) float64, as all epochs so far tell it.

    N + (sqrt(2 P_max) - sqrt(P))^2: the noise N, and what is missing of a signal that is twice the largest P so far. An
    object c t + e, with the truth t and noise e, has the error <e^2> + (1 - c)^2 <t^2>, and the signal c^2 <t^2>. <t^2>
    is unknown: halves do not see what neither has recovered, and at half the dose they recover less than the full data.
    """
    root = np.sqrt(signal)
    estimate: NDArray[np.float64] = noise + (UNSEEN**0.5 * root.max() - root) ** 2
    return estimate


def contenders(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> list[int]:
    """List the epochs that have the lowest score now, or may have it later when another shows more signal, in that
    order.

    With s = sqrt(2 P_max) a score (`scores`) is s^2 plus a straight line in s, N + P - 2 s sqrt(P), and s never falls:
    the lower envelope of these lines from today's s on is all that can win.
    """
    root, start = np.sqrt(signal), noise + signal
    best = int(np.argmin(start - 2 * UNSEEN**0.5 * root.max() * root))
    epochs = [best]
    while (steeper := np.flatnonzero(root > root[best])).size:
        takes_over_at = (start[steeper] - start[best]) / (root[steeper] - root[best])
        best = int(steeper[np.argmin(takes_over_at)])
        epochs.append(best)
    return epochs


@dataclass(slots=True)
class BestEpoch(Generic[S]):
    """The estimates of a running reconstruction's epochs, and snapshots of those that may still be the best."""

    estimates: list[EpochEstimate] = field(default_factory=list)
    snapshots: dict[int, S] = field(default_factory=dict)

    def add(self, estimate: EpochEstimate, take_snapshot: Callable[[], S]) -> None:
        """Take in one more epoch.

        Parameters
        ----------
        estimate : EpochEstimate
            The epoch's estimate.
        take_snapshot : callable
            Copies what the epoch has made; called only if the epoch may become the best.
        """
        self.estimates.append(estimate)
        signal, noise = self._curves()
        latest = len(signal) - 1
        epochs = [epoch for epoch in contenders(signal, noise) if epoch in self.snapshots or epoch == latest]
        while len(epochs) > MAX_SNAPSHOTS:
            del epochs[_least_missed(epochs, signal, noise)]
        self.snapshots = {
            epoch: self.snapshots[epoch] if epoch in self.snapshots else take_snapshot() for epoch in epochs
        }

    @property
    def best(self) -> int:
        """Index of the epoch with the lowest score, of those with a snapshot."""
        errors = self.scores()
        return min(self.snapshots, key=lambda epoch: (errors[epoch], epoch))

    def scores(self) -> NDArray[np.float64]:
        """Compute the score of each epoch, (n_epochs,) float64."""
        return scores(*self._curves())

    def _curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        signal, noise = np.array([(estimate.signal, estimate.noise) for estimate in self.estimates]).T
        return signal, noise


def _least_missed(epochs: list[int], signal: NDArray[np.float64], noise: NDArray[np.float64]) -> int:
    """Place of the contender, neither first nor last, without which the best score ever rises least."""
    root, start = np.sqrt(signal), noise + signal
    before, at, after = (np.array(epochs[i : len(epochs) - 2 + i]) for i in range(3))
    s = (start[after] - start[before]) / (root[after] - root[before]) / 2
    missed = (start[before] - 2 * s * root[before]) - (start[at] - 2 * s * root[at])
    return 1 + int(np.argmin(missed))
