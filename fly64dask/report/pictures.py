"""Arrays of values -> small PNG pictures with one colour map, and the colours of their scales."""

from __future__ import annotations

import functools
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Even in lightness, or cyclic where the values are; all can be told apart by the colour-blind.
ColourMap = Literal["viridis", "cividis", "magma", "twilight_shifted", "RdBu_r"]
# One of the 256 entries of a palette stays for pixels without a value, which are transparent.
N_COLOURS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Which colours stand for which values; what lies beyond takes the colour of the nearest end."""

    low: float
    high: float
    colours: ColourMap
    unit: str


def palette_png(values: NDArray[Any], scale: Scale) -> bytes:
    """Draw an array as a PNG with one byte or less a pixel.

    Parameters
    ----------
    values : (y, x) real
        Row 0 on top; NaN is transparent.
    scale : Scale
        Colours and range.

    Returns
    -------
    bytes
        A PNG file with a palette of 256 entries.

    Notes
    -----
    Source of the format: PNG specification, W3C, third edition; chunks IHDR, PLTE, tRNS, IDAT, IEND.
    """
    height, width = values.shape
    known = np.isfinite(values)
    share = (np.where(known, values, scale.low) - scale.low) / (scale.high - scale.low)
    index = np.where(known, 1 + np.rint(np.clip(share, 0, 1) * (N_COLOURS - 1)), 0).astype(np.uint8)
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each begins with its filter: none
    rows[:, 1:] = index
    colours = (np.asarray(_colours(scale.colours, N_COLOURS)) * 255).round().astype(np.uint8)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", b"\0\0\0" + colours.tobytes()),
        (b"tRNS", b"\0"),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def hex_colours(name: ColourMap, n_colours: int) -> list[str]:
    """Colours of a map from its low to its high end, as `#rrggbb`.

    Parameters
    ----------
    name : str
        The map.
    n_colours : int
        How many, >= 2.

    Returns
    -------
    list of str
    """
    return ["#" + "".join(f"{round(255 * part):02x}" for part in colour) for colour in _colours(name, n_colours)]


def shrink(values: NDArray[Any], max_side_px: int, *, cyclic: bool = False) -> NDArray[np.float64]:
    """Average square blocks of pixels until no side is longer than wanted.

    Parameters
    ----------
    values : (y, x) real
        NaN where there is no value: left out of the averages.
    max_side_px : int
        Most rows and columns of the result.
    cyclic : bool
        Values are angles in rad: averaged on the circle.

    Returns
    -------
    (y', x') float64
        Sides divided by the smallest whole number that will do, rounded up.
    """
    block = math.ceil(max(values.shape) / max_side_px)
    if block == 1:
        return np.asarray(values, dtype=np.float64)
    if cyclic:
        waves = np.where(np.isfinite(values), np.exp(1j * np.nan_to_num(values)), np.nan)
        return np.asarray(np.angle(_block_means(waves, block)))
    return np.asarray(_block_means(np.asarray(values, dtype=np.float64), block))


def _block_means(values: NDArray[Any], block: int) -> NDArray[Any]:
    rows, columns = (-(-side // block) for side in values.shape)
    padded = np.full((rows * block, columns * block), np.nan, dtype=values.dtype)
    padded[: values.shape[0], : values.shape[1]] = values
    blocks = padded.reshape(rows, block, columns, block)
    known = np.isfinite(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0).sum(axis=(1, 3))
    return np.where(count, total / np.maximum(count, 1), np.nan)


@functools.cache
def _colours(name: ColourMap, n_colours: int) -> tuple[tuple[float, ...], ...]:
    from matplotlib import colormaps

    return tuple(tuple(map(float, colour[:3])) for colour in colormaps[name](np.linspace(0, 1, n_colours)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
