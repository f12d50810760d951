"""Finds pixel values that mark missing measurements: largest of a type, saturated, negative, not finite, or stuck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import counted_of
from fly64dask.datasets.ingest.checks.complaints import Complaint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# A pixel with the same value in so many exposures is stuck if its neighbours are so much darker (our choice: photons do
# so with a probability below 1e-8).
MIN_EXPOSURES_STUCK, FAR_ABOVE = 8, 10.0
# Pixels are saturated, at the most that a detector counts such as 16383 for 14 bits, if so many of them share the
# largest value, and more than so many times as many as share any other value above half of it (our choice). They are
# not if they are a large fraction of all, as in an even illumination. Without saturation fewer pixels share the largest
# value than values below it.
MIN_SATURATED, MORE_OFTEN, MOST_SATURATED_SHARE, MIN_SATURATED_VALUE = 4, 3, 0.25, 30
# If a count is so close to the largest value of its type, others may have wrapped around (our choice).
NEAR_CEILING = 0.9
NARROW_CEILINGS = tuple(np.iinfo(dtype).max for dtype in (np.uint8, np.int16, np.uint16))
# A mask that leaves out more than half of the pixels and so much of the light is inverted (our choice).
MOST_MASKED_SHARE, MOST_LOST_LIGHT = 0.5, 0.9


@dataclass(slots=True, kw_only=True)
class Extremes:
    """The lowest and the highest value of each pixel over the exposures read so far, (H, W) each.

    Values that are not finite are ignored there, and `not_finite` says where they were. `largest` says where the value
    was the largest that the file's integer type can hold, which is the `ceiling`.
    """

    low: NDArray[np.number]
    high: NDArray[np.number]
    largest: NDArray[np.bool_]
    not_finite: NDArray[np.bool_]
    n_exposures: int = 0
    ceiling: int | None = None

    @classmethod
    def of(cls, shape_px: tuple[int, int], dtype: np.dtype[Any]) -> Extremes:
        """Make the extremes of no exposure."""
        kept_dtype = dtype.newbyteorder("=") if dtype.kind in "ui" else np.dtype(np.float64)
        limits = np.iinfo(kept_dtype) if kept_dtype.kind in "ui" else None
        return cls(
            low=np.full(shape_px, limits.max if limits else np.inf, dtype=kept_dtype),
            high=np.full(shape_px, limits.min if limits else -np.inf, dtype=kept_dtype),
            largest=np.zeros(shape_px, dtype=np.bool_),
            not_finite=np.zeros(shape_px, dtype=np.bool_),
            ceiling=limits.max if limits else None,
        )

    def add(self, block: NDArray[np.number]) -> None:
        """Take values (k, H, W) of k exposures into account."""
        if self.ceiling is None:
            with np.errstate(invalid="ignore"):
                finite = np.isfinite(block)
            if not finite.all():
                self.not_finite |= ~finite.all(axis=0)
                block = np.where(finite, block, np.nan)
            self.low = np.fmin(self.low, np.fmin.reduce(block, axis=0))
            self.high = np.fmax(self.high, np.fmax.reduce(block, axis=0))
        else:
            np.minimum(self.low, np.minimum.reduce(block, axis=0), out=self.low)
            np.maximum(self.high, np.maximum.reduce(block, axis=0), out=self.high)
            self.largest = np.asarray(self.high == self.ceiling)
        self.n_exposures += len(block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Pixels (H, W) that did not measure, by the kind of mark; pixels that a mask already names are left out."""

    largest: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    not_finite: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    stuck: NDArray[np.bool_]

    @property
    def all(self) -> NDArray[np.bool_]:
        """Whether a pixel has any mark, (H, W)."""
        return self.largest | self.saturated | self.not_finite | self.negative | self.stuck


def find_marks(extremes: Extremes, valid: NDArray[np.bool_] | None) -> Marks:
    """Find the pixels that did not measure among those that a mask calls valid."""
    unmasked = np.ones(extremes.low.shape, dtype=np.bool_) if valid is None else valid
    stuck = _stuck(extremes, unmasked)
    return Marks(
        largest=extremes.largest & unmasked,
        saturated=_saturated(extremes, unmasked & ~stuck),
        not_finite=extremes.not_finite & unmasked,
        negative=(extremes.high < 0) & ~extremes.not_finite & unmasked,
        stuck=stuck,
    )


def complain_of_marks(marks: Marks, extremes: Extremes) -> Iterator[Complaint]:
    """Name the kinds of marks that no mask leaves out, each with its number of pixels and the place of one."""
    kinds = (
        (marks.largest, ("holds", "hold"), f"{extremes.ceiling}, the largest value of {extremes.low.dtype}"),
        (marks.saturated, ("reaches", "reach"), "one largest value, as of a detector that counts no further"),
        (marks.not_finite, ("holds", "hold"), "values that are not finite"),
        (marks.negative, ("is", "are"), "negative in every exposure"),
        (
            marks.stuck,
            ("holds", "hold"),
            f"one value in all {extremes.n_exposures} exposures, far above the neighbours",
        ),
    )
    for where, verbs, what in kinds:
        n_pixels = int(where.sum())
        if n_pixels:
            row, column = (int(index) for index in np.argwhere(where)[0])
            value = "" if where is marks.not_finite else f", value {extremes.high[row, column]:g}"
            yield Complaint(
                found=f"{counted_of(n_pixels, where.size, 'pixel', *verbs)} {what}: no photons, but marks that "
                f"nothing was measured (first at row {row}, column {column} of the pattern as it is kept{value})",
                remedy="give --mask marks to leave these pixels out, or --mask FILE[:PATH] with the detector's mask",
            )


def complain_of_mask(
    extremes: Extremes, valid: NDArray[np.bool_] | None, *, from_file: bool = False
) -> Iterator[Complaint]:
    """Name a mask that leaves out nearly all of the light, because its good and bad pixels are exchanged.

    Parameters
    ----------
    extremes : Extremes
        Those of all pixels, with the masked ones.
    valid : (H, W) bool, optional
        The pixels that no mask leaves out.
    from_file : bool
        Whether one of the masks comes from the scan's file.
    """
    if valid is None:
        return
    measured = ~(extremes.largest | extremes.not_finite) & (extremes.high > 0)
    light = np.where(measured, extremes.high, 0).astype(np.float64)
    masked, lost = 1 - valid.mean(), float(light[~valid].sum()) / max(float(light.sum()), np.finfo(float).tiny)
    if masked > MOST_MASKED_SHARE and lost > MOST_LOST_LIGHT:
        remedy = "give --mask-good with the other value, 0, 1 or positive, which says what good pixels have in it"
        yield Complaint(
            found=f"the mask leaves out {masked:.1%} of the pixels, and these hold {lost:.1%} of the light (sum of the "
            "brightest value of each pixel): its good and bad pixels are exchanged",
            remedy=remedy + (", or correct the mask in the scan's file" if from_file else ""),
        )


def complain_of_negatives(extremes: Extremes, valid: NDArray[np.bool_] | None, *, rounds: bool) -> Iterator[Complaint]:
    """Name pixels that are negative in some exposures, because a background was subtracted."""
    unmasked = np.ones(extremes.low.shape, dtype=np.bool_) if valid is None else valid
    sometimes = (extremes.low < 0) & (extremes.high >= 0) & unmasked
    if sometimes.any() and not rounds:
        lowest = extremes.low[sometimes].min()
        yield Complaint(
            found=f"{counted_of(int(sometimes.sum()), sometimes.size, 'pixel', 'is', 'are')} negative in some "
            f"exposures, down to {lowest:g}, needed photons: a background was subtracted",
            remedy="give --round, which takes whole photons and 0 for negative ones and says how far they were off",
        )


def without_marks(block: NDArray[np.number], ceiling: int | None) -> NDArray[np.number]:
    """Return values (k, H, W) with 0 in place of values that are not finite or the largest of an integer type."""
    if ceiling is not None:
        return np.where(block == ceiling, 0, block) if block.max(initial=0) == ceiling else block
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(block)
    return block if finite.all() else np.where(finite, block, 0)


def _stuck(extremes: Extremes, unmasked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find pixels with photons that never change and are far above the brightest changing pixel beside them."""
    constant = (extremes.low == extremes.high) & (extremes.high > 0) & ~extremes.largest & unmasked
    if extremes.n_exposures < MIN_EXPOSURES_STUCK or not constant.any():
        return np.zeros_like(constant)
    others = np.where(constant | ~unmasked | extremes.not_finite, 0, extremes.high)
    padded = np.pad(others, 1)
    height, width = constant.shape
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.asarray(constant & (extremes.high >= FAR_ABOVE * np.maximum.reduce(around)))


def _saturated(extremes: Extremes, unmasked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find pixels that share the largest value below the ceiling, if far fewer pixels share any other large value."""
    measured = unmasked & ~extremes.largest & ~extremes.not_finite
    top = extremes.high[measured].max(initial=0)
    shared = measured & (extremes.high == top)
    n_shared = int(shared.sum())
    if top < MIN_SATURATED_VALUE or not MIN_SATURATED <= n_shared <= MOST_SATURATED_SHARE * measured.sum():
        return np.zeros_like(shared)
    _, n_each = np.unique(extremes.high[measured & ~shared & (extremes.high > top / 2)], return_counts=True)
    return shared if n_shared > MORE_OFTEN * n_each.max(initial=0) else np.zeros_like(shared)


def doubt_wrapping(extremes: Extremes) -> Iterator[str]:
    """Warn that counts end just below the largest value of their type, beyond which they would have wrapped to 0."""
    brightest = int(extremes.high.max(initial=0))
    if extremes.ceiling in NARROW_CEILINGS and NEAR_CEILING * extremes.ceiling <= brightest < extremes.ceiling:
        yield (
            f"no count has wrapped around to 0, though the brightest of {brightest} is close to {extremes.ceiling}, "
            f"where {extremes.low.dtype} ends"
        )
