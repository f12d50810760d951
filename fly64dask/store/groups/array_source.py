"""Arrays that are to be written into a Zarr group: their values block by block, and how a reader should show them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import IntegrityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_EXPOSURES = 256
# A chunk is in memory several times while it is compressed, and blosc takes none of 2 GB (our choice: 256 exposures of
# 256 x 256 px in 32 bits).
CHUNK_BYTES = 2**26


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


def counts_array(
    shape: tuple[int, int, int], dtype: np.dtype[Any], blocks: Iterable[NDArray[np.generic]]
) -> ArraySource:
    """Describe photon counts that arrive in batches of any length.

    Parameters
    ----------
    shape : (int, int, int)
        (n, H, W).
    dtype : numpy.dtype
        Unsigned integer; a count that does not fit is an error.
    blocks : iterable of (k, H, W) integer
        In the order of the exposures; lengths add up to n.

    Returns
    -------
    ArraySource
    """
    return _patterns_array(shape, dtype, "photon counts", _checked_counts(blocks, dtype))


def expected_counts_array(shape: tuple[int, int, int], blocks: Iterable[NDArray[np.float32]]) -> ArraySource:
    """Describe the expected photon counts of a simulation, which have no noise; they stand where counts would.

    Parameters
    ----------
    shape : (int, int, int)
        (n, H, W).
    blocks : iterable of (k, H, W) float32
        Photons, in the order of the exposures; lengths add up to n. One that is negative or not finite is an error.

    Returns
    -------
    ArraySource
    """
    long_name = "expected photon counts, without noise"
    return _patterns_array(shape, np.dtype(np.float32), long_name, _checked_expectations(blocks))


def exposures_in_chunk(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> int:
    """Choose how many exposures of patterns (n, H, W) one chunk of an array holds."""
    n, height, width = shape
    return max(1, min(CHUNK_EXPOSURES, n, CHUNK_BYTES // max(1, height * width * dtype.itemsize)))


def _patterns_array(
    shape: tuple[int, int, int], dtype: np.dtype[Any], long_name: str, blocks: Iterable[NDArray[np.generic]]
) -> ArraySource:
    length = exposures_in_chunk(shape, dtype)
    return ArraySource(
        name="counts",
        shape=shape,
        dtype=dtype,
        dims=("exposure", "detector_y", "detector_x"),
        units="photons",
        long_name=long_name,
        blocks=_regroup(blocks, length),
        block_length=length,
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


def photons_array(n_exposures: int, blocks: Iterable[NDArray[np.generic]], *, dtype: np.dtype[Any]) -> ArraySource:
    """Describe the photons of each exposure, (n,), as one block that is asked for when it is written."""
    return ArraySource(
        name="exposure_photons",
        shape=(n_exposures,),
        dtype=dtype,
        dims=("exposure",),
        units="photons",
        long_name="photons of the exposure",
        blocks=blocks,
        block_length=n_exposures,
    )


def mean_pattern_array(shape: tuple[int, int], blocks: Iterable[NDArray[np.float64]]) -> ArraySource:
    """Describe the mean of a group's patterns, (H, W) float64, as one block that is asked for when it is written."""
    return ArraySource(
        name="mean_pattern",
        shape=shape,
        dtype=np.dtype(np.float64),
        dims=("detector_y", "detector_x"),
        units="photons",
        long_name="mean pattern of all exposures",
        blocks=blocks,
        block_length=shape[0],
    )


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


def count_dtype(brightest: float) -> np.dtype[Any]:
    """Choose the smaller of uint16 and uint32 that holds a largest count, or a largest expected one and its noise.

    A Poisson count exceeds mean + 12 sqrt(mean) + 40 with a probability below 1e-25; writing checks every block as
    well.
    """
    return np.dtype(np.uint16 if brightest + 12 * brightest**0.5 + 40 <= np.iinfo(np.uint16).max else np.uint32)


def _checked_counts(blocks: Iterable[NDArray[np.generic]], dtype: np.dtype[Any]) -> Iterator[NDArray[np.generic]]:
    """Bring counts to a narrower dtype; one that does not fit is an error."""
    limit = np.iinfo(dtype).max
    for block in blocks:
        if block.dtype.kind not in "ui":
            raise IntegrityError(f"write counts: got {block.dtype}, needed integers", remedy="report this as a defect")
        if block.size and (block.max() > limit or block.min() < 0):
            raise IntegrityError(
                f"write counts: found {block.min()} to {block.max()} photons, {dtype} holds 0 to {limit}",
                remedy="report this as a defect",
            )
        yield block.astype(dtype, copy=False)


def _checked_expectations(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    for block in blocks:
        if block.dtype != np.float32 or not np.isfinite(block).all() or (block < 0).any():
            raise IntegrityError(
                f"write expected counts: got {block.dtype} from {block.min()} to {block.max()} photons, needed finite "
                "float32 of at least 0",
                remedy="report this as a defect",
            )
        yield block


def _regroup(blocks: Iterable[NDArray[np.generic]], length: int) -> Iterator[NDArray[np.generic]]:
    """Join batches of any length into blocks of one length."""
    waiting: list[NDArray[np.generic]] = []
    n_waiting = 0
    for block in blocks:
        waiting.append(block)
        n_waiting += len(block)
        while n_waiting >= length:
            # Copying a large block takes as long as its digest.
            joined = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            yield joined[:length]
            rest = joined[length:]
            waiting, n_waiting = [rest] if len(rest) else [], len(rest)
    if n_waiting:
        yield np.concatenate(waiting)
