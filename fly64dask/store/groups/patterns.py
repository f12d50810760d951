"""Patterns of exposures to be written: counts in batches of any length, checked, in chunks of whole exposures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import IntegrityError
from fly64dask.store.groups.array_source import ArraySource

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_EXPOSURES = 256
# A chunk is in memory several times while it is compressed, and blosc takes none of 2 GB (our choice: 256 exposures of
# 256 x 256 px in 32 bits).
CHUNK_BYTES = 2**26


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
