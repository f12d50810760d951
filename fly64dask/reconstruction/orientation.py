"""Try a scan's positions in each of the eight orientations, and see in which of them the patterns fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.reconstruction.interface import Exposures, Reconstruction
from fly64dask.study import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Measured on the star: after 8 epochs of the 120 exposures in the middle the right orientations have lost the most.
TRIAL_EXPOSURES, TRIAL_EPOCHS = 120, 8
# An orientation that fits no better than this is no reason to change what a file says (our choice).
NO_BETTER = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """The changes of a scan's axes: patterns transposed, or positions swapped, and then positions flipped."""

    transpose: bool = False
    swap_xy: bool = False
    flip_y: bool = False
    flip_x: bool = False

    @property
    def flags(self) -> str:
        """The options of `fly64dask ingest` that make this change; empty for none."""
        names = ("transpose", "swap_xy", "flip_y", "flip_x")
        return " ".join(f"--{name.replace('_', '-')}" for name in names if getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An orientation and the engine's loss after a few epochs; only losses of one call compare."""

    orientation: Orientation
    loss: float


EIGHT = tuple(
    Orientation(swap_xy=swap, flip_y=flip_y, flip_x=flip_x)
    for swap in (False, True)
    for flip_y in (False, True)
    for flip_x in (False, True)
)


def middle_exposures(positions_px: NDArray[np.float64], n_kept: int = TRIAL_EXPOSURES) -> NDArray[np.int64]:
    """Choose the exposures that lie nearest to the middle of the scan, ascending: a part that overlaps as the whole.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Order (y, x), px.
    n_kept : int
        How many, if there are so many.
    """
    distance = np.hypot(*(positions_px - np.median(positions_px, axis=0)).T)
    return np.sort(np.argsort(distance, kind="stable")[:n_kept])


def turned(exposures: Exposures, orientation: Orientation, pixel_nm: tuple[float, float] | None = None) -> Exposures:
    """Change the axes of some exposures as `ingest` does; a starting probe that is square stays.

    Pixels of the object with sides `pixel_nm` (y, x) are others for patterns that are transposed, and positions that
    are swapped are counted in the other side.
    """
    y, x = exposures.positions_px.T
    side_y, side_x = pixel_nm or (1.0, 1.0)
    if orientation.swap_xy:
        y, x = x * side_x / side_y, y * side_y / side_x
    if orientation.transpose:
        y, x = y * side_y / side_x, x * side_x / side_y
    positions = np.stack([-y if orientation.flip_y else y, -x if orientation.flip_x else x], axis=1)
    changed = replace(exposures, positions_px=positions)
    if not orientation.transpose:
        return changed
    valid, probe = exposures.valid_pixels, exposures.probe_guess
    is_square = probe.shape[-2] == probe.shape[-1]
    return replace(
        changed,
        counts=exposures.counts.swapaxes(-1, -2),
        valid_pixels=None if valid is None else valid.T.copy(),
        probe_guess=probe if is_square else probe.swapaxes(-1, -2).copy(),
    )


def try_orientations(
    exposures: Exposures,
    reconstruct: Callable[[Exposures, Recipe], Reconstruction],
    *,
    n_epochs: int = TRIAL_EPOCHS,
    device: str = "auto",
    pixel_nm: tuple[float, float] | None = None,
    notify: Callable[[Trial], None] = lambda _: None,
) -> tuple[Trial, ...]:
    """Reconstruct some exposures for a few epochs in each of the eight orientations.

    Parameters
    ----------
    exposures : Exposures
        Some of a scan suffice.
    reconstruct : callable
        Reconstructs exposures by a recipe.
    n_epochs : int
        Epochs of each trial.
    device : "auto", "cpu" or "cuda"
        Where.
    pixel_nm : (float, float), optional
        Sides (y, x) of a pixel of the object, nm.
    notify : callable
        Called with each trial when it ends.

    Returns
    -------
    tuple of Trial
        In the order of the loss, the lowest first.

    Notes
    -----
    Negating both axes turns the image by 180 degrees and conjugates it, and fits as well: of the eight, four are really
    different, and differ in pairs by what the starting probe makes of them. Swapping y and x of the positions is the
    same as transposing the patterns, but for the starting probe: if a swap fits best, the transposition is tried too.
    """
    recipe = Recipe.model_validate(
        {"n_epochs": n_epochs, "device": device, "batch_size": max(1, min(96, len(exposures.counts) // 4))}
    )

    def attempt(orientation: Orientation) -> Trial:
        result = reconstruct(turned(exposures, orientation, pixel_nm), recipe)
        trial = Trial(orientation=orientation, loss=float(result.loss[-1]))
        notify(trial)
        return trial

    trials = [attempt(orientation) for orientation in EIGHT]
    best = min(trials, key=lambda trial: trial.loss).orientation
    if best.swap_xy:
        trials.append(attempt(Orientation(transpose=True, flip_y=best.flip_x, flip_x=best.flip_y)))
    return tuple(sorted(trials, key=lambda trial: trial.loss))


def advise(trials: Sequence[Trial]) -> str:
    """Say in a sentence which orientation fits best; trials are in the order of the loss.

    Patterns fit as well where both axes are negated, with a probe that is turned and conjugated: where such a pair
    differs, it is the starting probe that fits one of the two.
    """
    as_it_is = next(trial for trial in trials if not trial.orientation.flags)
    best = trials[0]
    worst_of_wrong = trials[-1].loss
    if as_it_is.loss * NO_BETTER <= best.loss:
        return f"the axes are right as they are: loss {as_it_is.loss:.4g}, up to {worst_of_wrong:.4g} otherwise"
    if _are_negated(best.orientation, as_it_is.orientation):
        return (
            f"the axes are right, or both are negated: loss {as_it_is.loss:.4g} as they are, {best.loss:.4g} with "
            f"{best.orientation.flags}. The starting probe fits only one of the two: where it was measured or "
            "reconstructed ingest the file again with these options, which turn the image by 180 degrees and change "
            "the sign of its phase; where it was made up its defocus may have the wrong sign"
        )
    return (
        f"the axes are wrong: loss {as_it_is.loss:.4g} as they are, {best.loss:.4g} with {best.orientation.flags}; "
        "ingest the file again with these options"
    )


def _are_negated(first: Orientation, second: Orientation) -> bool:
    """Whether two orientations, which differ, do so by the negation of both axes."""
    same = first.transpose == second.transpose and first.swap_xy == second.swap_xy
    return same and (first.flip_y ^ second.flip_y) == (first.flip_x ^ second.flip_x)
