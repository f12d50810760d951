"""Measures how much a loss still falls at the end of a reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_EPOCHS = 8  # two in each quarter: one minibatch order says little (our choice)


def late_loss_fall(loss: NDArray[np.float64]) -> float | None:
    """Compute the share by which the loss falls from the third to the last quarter of the epochs.

    Parameters
    ----------
    loss : (n_epochs,) float64
        The engine's, after each epoch.

    Returns
    -------
    float or None
        1 - L4 / L3 with the geometric means L3, L4 of the two quarters; negative if it rises. None of fewer than eight
        epochs, or of a loss that is not positive throughout.

    Notes
    -----
    Of data without noise the loss falls for as long as the object comes nearer to one that explains them, and stays
    where none does. With noise it falls too while the noise is taken up: there it says nothing of convergence.
    """
    n_epochs = len(loss)
    late = loss[n_epochs // 2 :]
    if n_epochs < MIN_EPOCHS or not (late > 0).all():
        return None
    third, last = np.log(loss[n_epochs // 2 : 3 * n_epochs // 4]), np.log(loss[3 * n_epochs // 4 :])
    return float(-np.expm1(last.mean() - third.mean()))
