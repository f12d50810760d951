"""Arrays that are to be written into a Zarr group: their values block by block, and how a reader should show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySource:
    """An array to write, block by block along its first axis.

    `dims` names each dimension: within a group one name stands for one length. An array of the
    same name as its only dimension holds that dimension's coordinates. `units` are "1" if there
    are none; `long_name` says what the values are, in a few words for an axis of a figure.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    units: str
    long_name: str
    blocks: Iterable[NDArray[np.generic]]
    block_length: int


def whole_array(
    name: str, values: NDArray[np.generic], *, dims: Sequence[str], units: str = "1", long_name: str = ""
) -> ArraySource:
    """Describe an array that is in memory and small enough for one chunk; `dims` has one name for each axis."""
    # Zarr stores its own byte order; a digest of another one would never match.
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    return ArraySource(
        name=name,
        shape=values.shape,
        dtype=values.dtype,
        dims=tuple(dims),
        units=units,
        long_name=long_name,
        blocks=(values,),
        block_length=max(1, len(values)),
    )


def positions_array(positions_px: NDArray[np.float64]) -> ArraySource:
    """Describe scan positions, (n, 2) float64, order (y, x), px."""
    return whole_array(
        "positions_px", positions_px, dims=("exposure", "yx"), units="px", long_name="scan position (y, x)"
    )


def refined_positions_array(positions_px: NDArray[np.float64]) -> ArraySource:
    """Describe the refined positions of a cell's kept exposures, (k, 2) float64, order (y, x), px."""
    return whole_array(
        "positions_recon_px",
        positions_px,
        dims=("kept_exposure", "yx"),
        units="px",
        long_name="refined scan position (y, x)",
    )


def mask_array(valid_pixels: NDArray[np.bool_]) -> ArraySource:
    """Describe which pixels of a detector are valid, (H, W) bool, True = valid; the others hold 0 counts."""
    return whole_array(
        "valid_pixels", valid_pixels, dims=("detector_y", "detector_x"), long_name="whether the detector pixel is valid"
    )


def opr_weights_array(
    weights: NDArray[np.floating], name: str = "opr_weights", *, dim: str = "exposure"
) -> ArraySource:
    """Describe how strong each OPR mode of a probe is in each exposure, (n, n_opr)."""
    return whole_array(name, weights, dims=(dim, "opr"), long_name="weight of the OPR mode")


def probe_array(
    probe: NDArray[np.complex64], name: str = "probe_guess", *, units: str = "sqrt(intensity)"
) -> ArraySource:
    """Describe a probe, complex64, (n_opr, n_modes, H, W) or (H, W); by default the starting one."""
    dims = ("opr", "mode", "probe_y", "probe_x")[4 - probe.ndim :]
    return whole_array(name, probe, dims=dims, units=units, long_name="complex illumination at the sample")


def object_arrays(
    name: str, image: NDArray[np.complex64], *, origin_px: tuple[int, int] | None, leading_dim: str | None = None
) -> list[ArraySource]:
    """Describe an object with the coordinates of its pixels.

    Parameters
    ----------
    name : str
        Name of its array in the group.
    image : (Y, X) or (n, Y, X) complex64
        Transmission of the object.
    origin_px : (int, int) or None
        Scan-frame (y, x) of its first pixel, if it is known.
    leading_dim : str, optional
        Name of the first of three axes.

    Returns
    -------
    list of ArraySource
        The object and, if the origin is known, `y` (Y,) and `x` (X,) int64: scan-frame
        coordinates of its pixels, px.
    """
    dims = ("y", "x") if leading_dim is None else (leading_dim, "y", "x")
    arrays = [whole_array(name, image, dims=dims, long_name="complex transmission of the object")]
    if origin_px is None:
        return arrays
    for axis, start, length in zip(("y", "x"), origin_px, image.shape[-2:], strict=True):
        coordinates = start + np.arange(length)
        arrays.append(whole_array(axis, coordinates, dims=(axis,), units="px", long_name=f"{axis} in the scan frame"))
    return arrays
