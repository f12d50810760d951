"""Arrays that are to be written into a Zarr group: their values block by block, with units and names of their axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import IntegrityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_EXPOSURES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySource:
    """An array to write, block by block along its first axis."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    units: str
    axes: tuple[str, ...]
    blocks: Iterable[NDArray[Any]]
    block_length: int


def whole_array(name: str, values: NDArray[Any], *, units: str, axes: Sequence[str]) -> ArraySource:
    """Wrap an array that is in memory and small enough for one chunk.

    Parameters
    ----------
    name : str
        Array name in the group.
    values : array
        The values.
    units : str
        Unit of a value.
    axes : sequence of str
        One name for each axis.

    Returns
    -------
    ArraySource
    """
    # Zarr stores its own byte order; a digest of another one would never match.
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    return ArraySource(
        name=name,
        shape=values.shape,
        dtype=values.dtype,
        units=units,
        axes=tuple(axes),
        blocks=(values,),
        block_length=max(1, len(values)),
    )


def counts_array(shape: tuple[int, int, int], dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]]) -> ArraySource:
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
    return ArraySource(
        name="counts",
        shape=shape,
        dtype=dtype,
        units="photons",
        axes=("exposure", "y", "x"),
        blocks=_regroup(blocks, CHUNK_EXPOSURES, dtype),
        block_length=min(CHUNK_EXPOSURES, shape[0]),
    )


def positions_array(positions_px: NDArray[np.float64]) -> ArraySource:
    """Describe scan positions, (n, 2) float64, order (y, x), px."""
    return whole_array("positions_px", positions_px, units="px", axes=("exposure", "yx"))


def probe_array(probe_guess: NDArray[np.complex64]) -> ArraySource:
    """Describe a starting probe, (n_opr, n_modes, H, W) complex64."""
    return whole_array("probe_guess", probe_guess, units="sqrt(intensity)", axes=("opr", "mode", "y", "x"))


def count_dtype(brightest: float) -> np.dtype[Any]:
    """Smallest of uint16 and uint32 that holds a count.

    Parameters
    ----------
    brightest : float
        Largest count, or largest expected count: then with room for its noise, see Notes.

    Returns
    -------
    numpy.dtype

    Notes
    -----
    A Poisson count exceeds mean + 12 sqrt(mean) + 40 with a probability below 1e-25. Writing
    checks every block all the same.
    """
    return np.dtype(np.uint16 if brightest + 12 * brightest**0.5 + 40 <= np.iinfo(np.uint16).max else np.uint32)


def _regroup(blocks: Iterable[NDArray[Any]], length: int, dtype: np.dtype[Any]) -> Iterable[NDArray[Any]]:
    """Join batches of any length into blocks of one length, checked against a narrower dtype."""
    limit = np.iinfo(dtype).max
    waiting: list[NDArray[Any]] = []
    n_waiting = 0
    for block in blocks:
        if block.dtype.kind not in "ui":
            raise IntegrityError(f"write counts: got {block.dtype}, needed integers", remedy="report this as a defect")
        if block.size and (block.max() > limit or block.min() < 0):
            raise IntegrityError(
                f"write counts: found {block.min()} to {block.max()} photons, {dtype} holds 0 to {limit}",
                remedy="report this as a defect",
            )
        waiting.append(block.astype(dtype))
        n_waiting += len(block)
        while n_waiting >= length:
            joined = np.concatenate(waiting)
            yield joined[:length]
            waiting, n_waiting = [joined[length:]], n_waiting - length
    if n_waiting:
        yield np.concatenate(waiting)
