"""Checks scan positions: for values that are not finite, a wrong unit, and positions far from all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import counted_of
from fly64dask.datasets.ingest.checks.complaints import Complaint, drop_words, listed_exposures
from fly64dask.scan import median_step_px, nearest_px, span_px
from fly64dask.study import MAX_LENGTH_PX, MAX_OBJECT_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Nearest neighbours of real scans are 5 to 27 px apart, in frames of 64 to 256 px (six public files). Both bounds are
# far from that range, and errors of units are far beyond the bounds (our choice).
MIN_STEP_PX = 0.5
# A position is lost if it is at least so many frames and so many steps from its nearest neighbour (our choice).
LOST_FRAMES, LOST_STEPS = 2.0, 20.0


def complain_of_positions(
    positions_px: NDArray[np.float64],
    frame_px: tuple[int, int],
    numbers: NDArray[np.int64],
    *,
    overlap_is_needed: bool = True,
) -> Iterator[Complaint]:
    """Name positions that are not finite, in a wrong unit, or far from all others, before memory is allocated for them.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Order (y, x), px.
    frame_px : (int, int)
        (H, W) of a pattern, which is that of the probe.
    numbers : (n,) int64
        Numbers of the exposures in the file.
    overlap_is_needed : bool
        Whether steps of a frame or more are a problem.
    """
    unusable = np.flatnonzero(~(np.abs(positions_px) <= MAX_LENGTH_PX).all(axis=1))  # NaN compares as False
    if len(unusable):
        yield Complaint(
            found=f"position {numbers[unusable[0]]} is {positions_px[unusable[0]].tolist()}, one of {len(unusable)} "
            f"that are not finite px of at most {MAX_LENGTH_PX:g}: {listed_exposures(numbers[unusable])}",
            remedy=f"correct or drop that exposure ({drop_words(numbers[unusable])})",
        )
        return
    step = median_step_px(positions_px)
    if step is None:
        return
    span = span_px(positions_px)
    if len(positions_px) > 2 and np.array_equal(positions_px[:, 0], positions_px[:, 1]):
        yield Complaint(
            found=f"y and x are equal in all {len(positions_px)} positions: they are one array, read twice",
            remedy="give another dataset, or another column, for --positions-y or --positions-x",
        )
        return
    extent_words = (
        f"they span {span[0]:.4g} x {span[1]:.4g} px in steps of {step:.4g} px (median to the nearest neighbour)"
    )
    if step < MIN_STEP_PX:
        yield Complaint(
            found=f"positions hardly differ: {extent_words}, needed steps of at least {MIN_STEP_PX:g} px: are they in "
            "metres or micrometres?",
            remedy="give them in px, or their unit and the pixel size (--positions-unit, --pixel-size-nm)",
        )
        return
    if overlap_is_needed and step >= min(frame_px):
        yield Complaint(
            found=f"exposures do not overlap: {extent_words}, in frames of {frame_px[0]} x {frame_px[1]} px",
            remedy="give them in px, or their unit and the pixel size (--positions-unit, --pixel-size-nm), or "
            "--no-overlap if the scan is so sparse",
        )
        return
    lost = list(_complain_of_lost(positions_px, frame_px, numbers, step))
    yield from lost
    height, width = (extent + side for extent, side in zip(span, frame_px, strict=True))
    if not lost and height * width > MAX_OBJECT_PIXELS:
        yield Complaint(
            found=f"the object would have {height:.4g} x {width:.4g} px, more than {MAX_OBJECT_PIXELS}: {extent_words}",
            remedy="give the positions' unit, or --drop exposures that lie far from the others",
        )


def _complain_of_lost(
    positions_px: NDArray[np.float64], frame_px: tuple[int, int], numbers: NDArray[np.int64], step_px: float
) -> Iterator[Complaint]:
    """Name positions that are far from all others."""
    distinct, inverse = np.unique(positions_px, axis=0, return_inverse=True)
    distances = nearest_px(distinct, exact_at_px=MIN_STEP_PX)[inverse.ravel()]
    lost = np.flatnonzero(distances > max(LOST_FRAMES * max(frame_px), LOST_STEPS * step_px))
    if len(lost):
        worst = lost[np.argmax(distances[lost])]
        y, x = positions_px[worst]
        yield Complaint(
            found=f"{counted_of(len(lost), len(positions_px), 'exposure', 'lies', 'lie')} far from all others: "
            f"{listed_exposures(numbers[lost])} (exposure {numbers[worst]} at y {y:.6g}, x {x:.6g} px is "
            f"{distances[worst]:.4g} px from its nearest neighbour; frames have {frame_px[0]} x {frame_px[1]} px, "
            f"steps {step_px:.3g})",
            remedy=f"give {drop_words(numbers[lost])}, or correct the positions",
        )
