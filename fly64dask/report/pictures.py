"""Draws PNG pictures, with one colour map each, within a budget of bytes that the cells of a page share."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from fly64dask.report.content import CellPictures, ColourMap, Picture, PictureKey, PositionSample, Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.report.cells import CellArrays
    from fly64dask.report.images import Image

# One of the 256 entries of a palette is for pixels without a value, which are transparent.
N_COLOURS = 255
# Size of all pictures and positions of a page as text (our choice); the rest takes a few kB per cell.
PICTURE_BYTES = 10_000_000
# The largest and the smallest length of a picture's longer side (our choice); the largest is tried first.
BEST_SIDE_PX, LEAST_SIDE_PX = 400, 40
MAX_POSITIONS, POSITION_BYTES = 2000, 16
# The largest fraction of a cell's share that its positions may take (our choice).
POSITIONS_FRACTION = 1 / 4


def palette_png(values: NDArray[np.number], scale: Scale) -> bytes:
    """Draw an array, (y, x) real with row 0 on top, as a PNG file with a palette of 256 colours; NaN is transparent."""
    from PIL import Image as PillowImage

    is_finite = np.isfinite(values)
    fraction = (np.where(is_finite, values, scale.low) - scale.low) / (scale.high - scale.low)
    index = np.where(is_finite, 1 + np.rint(np.clip(fraction, 0, 1) * (N_COLOURS - 1)), 0).astype(np.uint8)
    colours = _colours(scale.colours, N_COLOURS)
    height, width = index.shape
    picture = PillowImage.frombytes("P", (width, height), index.tobytes())
    picture.putpalette(bytes(3) + colours.tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=0, optimize=True)
    return file.getvalue()


def hex_colours(name: ColourMap, n_colours: int) -> tuple[str, ...]:
    """Return colours of a map, two or more, from its low to its high end, as `#rrggbb`."""
    return tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in _colours(name, n_colours))


def shrink(values: NDArray[np.number], max_side_px: int, *, cyclic: bool = False) -> NDArray[np.float64]:
    """Average square blocks of pixels, (y, x) real, until no side is longer than a limit; (y', x') float64.

    NaN is left out of the averages; `cyclic` values are angles in rad, averaged on the circle. Sides are divided by the
    smallest suitable whole number, and rounded up.
    """
    block = _block_px(values.shape, max_side_px)
    if block == 1:
        return np.asarray(values, dtype=np.float64)
    from skimage.measure import block_reduce

    averaged = np.exp(1j * values) if cyclic else np.asarray(values, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a block without any value has the mean NaN, as it should
        means = block_reduce(averaged, block, np.nanmean, cval=np.nan)
    return np.asarray(np.angle(means) if cyclic else means)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """An image, its PNG file, and the side in pixels of the blocks that are averaged to one pixel of the file."""

    image: Image
    png: bytes
    block_px: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.png).hexdigest()

    @property
    def text_bytes(self) -> int:
        """Length of the file in base64."""
        return -(-len(self.png) // 3) * 4


@dataclass(slots=True)
class PictureStore:
    """The pictures and positions of a page, each kept once, in a budget that the remaining cells share evenly."""

    n_cells: int
    budget_bytes: int = PICTURE_BYTES
    images: list[str] = field(default_factory=list)
    scans: dict[str, PositionSample] = field(default_factory=dict)
    _index: dict[str, int] = field(default_factory=dict)

    def add_cell(self, arrays: CellArrays) -> CellPictures:
        """Add the pictures and positions of one cell, made smaller or left out if there is no room for them."""
        allowance_bytes = self.budget_bytes // max(1, self.n_cells)
        self.n_cells -= 1
        scan, cost_bytes = self._add_scan(arrays.positions_px, allowance_bytes)
        drawn = self._largest_that_fit(arrays.images, allowance_bytes - cost_bytes)
        shown = {picture.image.key for picture in drawn}
        return CellPictures(
            pictures=tuple(self._add_picture(picture) for picture in drawn),
            scan=scan,
            left_out=tuple(image.key for image in arrays.images if image.key not in shown),
        )

    def add_image(self, image: Image) -> Picture:
        """Add one picture that belongs to no cell, at its best size."""
        return self._add_picture(_draw([image], BEST_SIDE_PX)[0])

    def _largest_that_fit(self, images: Sequence[Image], allowance_bytes: int) -> list[_Drawn]:
        """Draw as many images as fit at the smallest size, each at the largest size at which all of these fit."""
        drawn = _draw(images, BEST_SIDE_PX)
        cost_bytes = self._cost_bytes(drawn)
        if cost_bytes <= allowance_bytes:
            return drawn
        images = self._with_room(images, allowance_bytes)
        side_px = min(BEST_SIDE_PX, max((max(image.values.shape) for image in images), default=0))
        while images and cost_bytes > allowance_bytes:
            smaller_px = side_px * min(0.9, math.sqrt(max(allowance_bytes, 0) / cost_bytes))
            side_px = max(LEAST_SIDE_PX, int(smaller_px))
            drawn = _draw(images, side_px)
            cost_bytes = self._cost_bytes(drawn)
        return drawn if images else []

    def _with_room(self, images: Sequence[Image], allowance_bytes: int) -> list[Image]:
        """Leave out the least wanted images until the others fit at the smallest size."""
        drawn = _draw(images, LEAST_SIDE_PX)
        while drawn and self._cost_bytes(drawn) > allowance_bytes:
            drawn.remove(max(drawn, key=lambda picture: get_args(PictureKey).index(picture.image.key)))
        return [picture.image for picture in drawn]

    def _cost_bytes(self, drawn: Iterable[_Drawn]) -> int:
        """Count the bytes by which the page would grow."""
        new = {each.digest: each.text_bytes for each in drawn if each.digest not in self._index}
        return sum(new.values())

    def _add_picture(self, drawn: _Drawn) -> Picture:
        if drawn.digest not in self._index:
            self._index[drawn.digest] = len(self.images)
            self.images.append(base64.b64encode(drawn.png).decode())
            self.budget_bytes -= drawn.text_bytes
        image = drawn.image
        return Picture(
            key=image.key,
            image=self._index[drawn.digest],
            height_px=image.values.shape[0],
            width_px=image.values.shape[1],
            y_px=image.origin_px[0],
            x_px=image.origin_px[1],
            block_px=drawn.block_px,
            scale=image.scale,
        )

    def _add_scan(self, positions_px: NDArray[np.float64] | None, allowance_bytes: int) -> tuple[str | None, int]:
        """Keep positions once for all cells that share them; returns their key and the bytes by which the page grew."""
        if positions_px is None:
            return None, 0
        key = hashlib.sha256(positions_px.tobytes()).hexdigest()[:16]
        if key in self.scans:
            return key, 0
        n_affordable = max(1, int(allowance_bytes * POSITIONS_FRACTION) // POSITION_BYTES)
        shown = evenly_taken(len(positions_px), min(MAX_POSITIONS, n_affordable))
        self.scans[key] = PositionSample(n=len(positions_px), yx=positions_px[shown].round(1).tolist())
        cost_bytes = len(shown) * POSITION_BYTES
        self.budget_bytes -= cost_bytes
        return key, cost_bytes


def evenly_taken(n_items: int, n_most: int) -> NDArray[np.int64]:
    """Return ascending indices of at most n_most of n_items items, the first and the last among them."""
    return np.unique(np.linspace(0, n_items - 1, min(n_items, n_most)).astype(np.int64))


def _draw(images: Iterable[Image], max_side_px: int) -> list[_Drawn]:
    return [
        _Drawn(
            image,
            palette_png(shrink(image.values, max_side_px, cyclic=image.cyclic), image.scale),
            _block_px(image.values.shape, max_side_px),
        )
        for image in images
    ]


def _block_px(shape: tuple[int, ...], max_side_px: int) -> int:
    return math.ceil(max(shape) / max_side_px)


@functools.cache
def _colours(name: ColourMap, n_colours: int) -> NDArray[np.uint8]:
    """Return (n_colours, 3) red, green and blue of evenly spaced colours of a map, with both ends."""
    maps = json.loads((Path(__file__).parent / "web" / "colour_maps.json").read_text(encoding="utf-8"))
    colours = np.frombuffer(bytes.fromhex(maps[name]), np.uint8).reshape(-1, 3)
    places = (np.linspace(0, 1, n_colours) * len(colours)).astype(int)
    return np.asarray(colours[np.minimum(places, len(colours) - 1)])
