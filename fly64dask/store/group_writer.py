"""Write arrays and attributes into a new Zarr group, with a digest for every byte."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec

from fly64dask.base import IntegrityError, digest
from fly64dask.store.array_source import ArraySource
from fly64dask.store.attributes import GroupAttributes
from fly64dask.store.zarr_format import attributes_sha256, lock_blosc_between_threads, metadata_sha256

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Measured on the counts of scripts/bench/store.py, 128 x 128: with the bits of uint16 sorted, zstd at level 1 takes
# 0.53, 0.60 and 0.75 of the bytes of plain zstd at 1e3, 1e4 and 1e5 photons, and less of its time. Larger blocks than
# blosc's own choice save another 2 to 10 %. zstd alone missed 25 of 40 flipped bits, blosc 39, with crc32c none.
BLOSC_BLOCK_BYTES = 2**20


def write_group(directory: Path, attributes: GroupAttributes, arrays: Sequence[ArraySource]) -> dict[str, str]:
    """Write arrays and attributes into a new Zarr group of format 3.

    Parameters
    ----------
    directory : Path
        Empty directory of the group: publish it by a rename, never write in place.
    attributes : GroupAttributes
        They are stored flat, with a digest over all of them.
    arrays : sequence of ArraySource
        What to write.

    Returns
    -------
    dict of str to str
        SHA-256 of each array: over its values and every word that says how to read them. It is the
        same whatever release of Zarr writes it.

    Raises
    ------
    IntegrityError
        If the blocks do not add up to the declared shape, a count does not fit its dtype, or two
        arrays have one name for dimensions of different lengths.
    """
    array_sha256 = write_arrays(directory, arrays)
    write_attributes(directory, attributes, array_sha256)
    return array_sha256


def write_arrays(directory: Path, arrays: Sequence[ArraySource]) -> dict[str, str]:
    """Write the arrays of a new group whose attributes are known only when all values have passed by.

    Parameters
    ----------
    directory : Path
        As for `write_group`; complete it with `write_attributes`.
    arrays : sequence of ArraySource
        What to write.

    Returns
    -------
    dict of str to str
        SHA-256 of each array, for `write_attributes`.

    Raises
    ------
    IntegrityError
        As `write_group`.
    """
    _check_dimensions(arrays)
    lock_blosc_between_threads()
    group = zarr.create_group(store=str(directory), zarr_format=3)
    return {array.name: _write_array(group, array) for array in arrays}


def write_attributes(directory: Path, attributes: GroupAttributes, array_sha256: Mapping[str, str]) -> None:
    """Complete a group of `write_arrays` with its attributes and the digests of its arrays and of their metadata."""
    group = zarr.open_group(store=str(directory), mode="r+", zarr_format=3)
    document = attributes.model_dump(mode="json") | {
        "array_sha256": dict(array_sha256),
        "metadata_sha256": {name: metadata_sha256(directory / name) for name in array_sha256},
    }
    group.attrs.put(document)
    group.attrs.put(document | {"attributes_sha256": attributes_sha256(directory)})


def _check_dimensions(arrays: Sequence[ArraySource]) -> None:
    """Refuse names of dimensions by which no reader could put the arrays of a group into one dataset."""
    lengths: dict[str, int] = {}
    for array in arrays:
        for name, length in zip(array.dims, array.shape, strict=True):
            if lengths.setdefault(name, length) != length or array.dims.count(name) > 1:
                raise IntegrityError(
                    f"write {array.name}: dimension {name!r} of length {length} stands beside another of that name "
                    f"and length {lengths[name]}; needed one name for each dimension of a group",
                    remedy="report this as a defect",
                )


def _write_array(group: zarr.Group, source: ArraySource) -> str:
    array = group.create_array(
        source.name,
        shape=source.shape,
        dtype=source.dtype,
        chunks=(source.block_length, *source.shape[1:]),
        dimension_names=source.dims,
        compressors=[_blosc(source.dtype), Crc32cCodec()],
        config={"write_empty_chunks": True},
    )
    start, blocks = 0, []
    # A block's digest takes as long as its compression: one beside the other.
    with ThreadPoolExecutor(1) as beside:
        for block in source.blocks:
            if block.shape[1:] != source.shape[1:]:
                raise IntegrityError(
                    f"write {source.name}: got a block of shape {block.shape}, declared {source.shape}",
                    remedy="report this as a defect",
                )
            sha256 = beside.submit(_sha256, block)
            array[start : start + len(block)] = block
            blocks.append(sha256.result())
            start += len(block)
    if start != source.shape[0]:
        raise IntegrityError(
            f"write {source.name}: got {start} rows, declared {source.shape[0]}", remedy="report this as a defect"
        )
    array.attrs.put({"units": source.units, "long_name": source.long_name, "block_sha256": blocks})
    return digest(
        {
            "shape": list(source.shape),
            "chunks": list(array.chunks),
            "dtype": source.dtype.str,
            "dims": list(source.dims),
            "units": source.units,
            "long_name": source.long_name,
            "blocks": blocks,
        }
    )


def _sha256(block: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(block).data).hexdigest()


def _blosc(dtype: np.dtype[np.generic]) -> BloscCodec:
    """Choose the compression of an array: equal bits of many values side by side, then zstd in blocks of 1 MiB."""
    return BloscCodec(
        typesize=dtype.itemsize, cname="zstd", clevel=1, shuffle=BloscShuffle.bitshuffle, blocksize=BLOSC_BLOCK_BYTES
    )
