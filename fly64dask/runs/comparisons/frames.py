"""The frame in which the objects of all methods for one cell are compared, and objects put into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats import ForeignObject
from fly64dask.metrics import Reference
from fly64dask.scan import crop_to_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Up to this share two pixel sizes are the same to somebody who rounds (our choice).
SAME_PIXEL = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonFrame:
    """The frame in which all methods' objects for one cell are compared: the truth or reference in it, and the area.

    `reference` is on the grid of the cell's own object, whose first pixel is the scan frame's `origin_px` (y, x);
    `positions_px` (k, 2), order (y, x), are the kept ones; `whole_shape_px` is that of the whole truth, or of the whole
    reference of a measured scan with this `name`, whose first pixel is the scan frame's `whole_origin_px`; `pixel_nm`
    are the sides (y, x) of a pixel, if they are known.
    """

    reference: Reference
    positions_px: NDArray[np.float64]
    origin_px: tuple[int, int]
    whole_shape_px: tuple[int, int]
    whole_origin_px: tuple[int, int] = (0, 0)
    name: str | None = None
    pixel_nm: tuple[float, float] | None = None


def place_in_frame(foreign: ForeignObject, frame: ComparisonFrame) -> NDArray[Any]:
    """Put an object where it belongs in the cell's frame; refuse one that does not say where, or is not there."""
    refuse_other_pixel("object", foreign.pixel_nm, frame.pixel_nm)
    image, origin_px = foreign.image, foreign.origin_px or _origin_by_shape(foreign.image, frame)
    offset = (frame.origin_px[0] - origin_px[0], frame.origin_px[1] - origin_px[1])
    height, width = frame.reference.image.shape
    placed, covered = crop_to_frame(image, (height, width), offset)
    inside = frame.reference.inside
    if not covered[inside].all():
        raise InputError(
            f"object of {image.shape} px at (y, x) = {origin_px} px covers {covered[inside].sum()} of "
            f"{inside.sum()} illuminated px",
            remedy="give one that covers all of them, and check its origin_px",
        )
    return placed


def refuse_other_pixel(what: str, found_nm: tuple[float, float] | None, needed_nm: tuple[float, float] | None) -> None:
    """Refuse an object whose file says that its pixels are of another size, (y, x), than the run's."""
    if found_nm is not None and needed_nm is not None and not np.allclose(found_nm, needed_nm, rtol=SAME_PIXEL):
        theirs, ours = (f"{y:.4g} x {x:.4g} nm" for y, x in (found_nm, needed_nm))
        raise InputError(
            f"{what} with pixels of {theirs}, those of the run are {ours}",
            remedy="give one that was reconstructed from patterns of the same size, or resample it",
        )


def _origin_by_shape(image: NDArray[Any], frame: ComparisonFrame) -> tuple[int, int]:
    """Find where an object lies that does not say it: its shape is that of the frame, or of the truth or reference."""
    own_shape = frame.reference.image.shape
    origins = {frame.whole_shape_px: frame.whole_origin_px, own_shape: frame.origin_px}
    if image.shape not in origins:
        raise InputError(
            f"object of {image.shape} px, needed {own_shape} px, the frame of the cell's own object with its first "
            f"pixel at (y, x) = {frame.origin_px} px of the scan, or {frame.whole_shape_px} px, that of the whole "
            + ("truth" if frame.name is None else f"reference {frame.name}"),
            remedy="save it in one of these, or say where it lies with origin_px",
        )
    return origins[image.shape]
