"""Thins the losses of a cell to a few points that keep the shape of the curve, and draws them as a line of text."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

# Points of one cell (our choice): enough for a sparkline, few enough for hundreds of cells in one answer.
MAX_POINTS = 48
BLOCKS = "▁▂▃▄▅▆▇█"
POINT = struct.Struct("<IB")  # an epoch, and a height in hundredths

# (epoch, loss), epochs rising.
Points = tuple[tuple[int, float], ...]


def with_loss(points: Points, epoch: int, loss: float | None) -> Points:
    """Add the loss of one epoch, >= 1, and thin the earlier points if there are too many.

    A loss that is not finite is left out. Points of this and later epochs are dropped, as they belong to an earlier
    attempt. At most `MAX_POINTS` + 1 points remain: epochs that are multiples of one power of two, and the last one.
    """
    stride = 1
    while epoch > stride * MAX_POINTS:
        stride *= 2
    earlier = tuple(point for point in points if point[0] < epoch and point[0] % stride == 0)
    if loss is None or not math.isfinite(loss):
        return earlier
    return (*earlier, (epoch, loss))


def relative_heights(losses: Sequence[float]) -> list[float]:
    """Scale finite losses from the lowest (0) to the highest (1), in logarithms if all are positive.

    All are 0.5 if they do not differ.
    """
    values = [math.log(loss) for loss in losses] if losses and min(losses) > 0 else list(losses)
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    if not high > low:
        return [0.5] * len(values)
    return [(value - low) / (high - low) for value in values]


def packed_course(points: Points) -> bytes:
    """Pack the epochs and relative heights of losses into a few bytes, because a run keeps those of all its cells."""
    heights = relative_heights([loss for _, loss in points])
    return b"".join(POINT.pack(epoch, round(100 * height)) for (epoch, _), height in zip(points, heights, strict=True))


def unpacked_course(packed: bytes) -> tuple[tuple[int, float], ...]:
    """Return the epochs and heights, from 0 to 1 in steps of 0.01, that `packed_course` has packed."""
    return tuple((epoch, height / 100) for epoch, height in POINT.iter_unpack(packed))


def sparkline(points: Points, *, width: int) -> str:
    """Draw the course of the loss as one line of text.

    Parameters
    ----------
    points : tuple of (int, float)
        From `with_loss`.
    width : int
        Most characters, >= 2.

    Returns
    -------
    str
        Empty for fewer than two points.
    """
    losses = [loss for _, loss in points]
    if len(losses) < 2:
        return ""
    if len(losses) > width:
        losses = [losses[round(i * (len(losses) - 1) / (width - 1))] for i in range(width)]
    return "".join(BLOCKS[round(height * (len(BLOCKS) - 1))] for height in relative_heights(losses))
