"""Write arrays and attributes into a new Zarr group, with a digest for every byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec
from zarr.storage import MemoryStore

from fly64dask.base import IntegrityError, digest
from fly64dask.store.groups.array_source import ArraySource
from fly64dask.store.groups.attributes import GroupAttributes
from fly64dask.store.groups.files import DirectoryFiles, NewGroupFiles, new_archive_files
from fly64dask.store.groups.metadata import METADATA_NAME, attributes_sha256, lock_blosc_between_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from zarr.core.buffer import Buffer

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
    written = write_arrays(directory, arrays)
    write_attributes(directory, attributes, written)
    return written.array_sha256


def write_group_archive(path: Path, attributes: GroupAttributes, arrays: Sequence[ArraySource]) -> dict[str, str]:
    """Write arrays and attributes as a new Zarr group in one file, a zip archive.

    `path` is the new file: make it in a directory that is published by a rename. Otherwise as `write_group`.
    """
    with new_archive_files(path) as files:
        written = _write_arrays(files, arrays)
        _write_attributes(files, attributes, written)
    return written.array_sha256


@dataclass(frozen=True, slots=True)
class WrittenArrays:
    """The arrays of a group that lacks its attributes yet: SHA-256 of each by name, and of its Zarr metadata."""

    array_sha256: dict[str, str]
    metadata_sha256: dict[str, str]


def write_arrays(directory: Path, arrays: Sequence[ArraySource]) -> WrittenArrays:
    """Write the arrays of a new group whose attributes are known only when all values have passed by.

    Parameters
    ----------
    directory : Path
        As for `write_group`; complete it with `write_attributes`.
    arrays : sequence of ArraySource
        What to write.

    Returns
    -------
    WrittenArrays
        For `write_attributes`.

    Raises
    ------
    IntegrityError
        As `write_group`.
    """
    return _write_arrays(DirectoryFiles(directory), arrays)


def write_attributes(directory: Path, attributes: GroupAttributes, written: WrittenArrays) -> None:
    """Complete a group of `write_arrays` with its attributes and the digests of its arrays and of their metadata."""
    _write_attributes(DirectoryFiles(directory), attributes, written)


def _write_arrays(files: NewGroupFiles, arrays: Sequence[ArraySource]) -> WrittenArrays:
    _check_dimensions(arrays)
    lock_blosc_between_threads()
    written = WrittenArrays({}, {})
    # A block's digest takes as long as its compression: one beside the other.
    with ThreadPoolExecutor(1) as beside:
        for array in arrays:
            sha256 = _write_array(files, array, beside)
            written.array_sha256[array.name], written.metadata_sha256[array.name] = sha256
    return written


def _write_attributes(files: NewGroupFiles, attributes: GroupAttributes, written: WrittenArrays) -> None:
    document = {
        **attributes.model_dump(mode="json"),
        "array_sha256": written.array_sha256,
        "metadata_sha256": written.metadata_sha256,
    }
    sha256 = attributes_sha256(_group_metadata(document))
    files.write(METADATA_NAME, _group_metadata(document | {"attributes_sha256": sha256}))


def _group_metadata(attributes: Mapping[str, object]) -> bytes:
    """Give the metadata file of a Zarr group."""
    document = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
    return json.dumps(document, indent=2, allow_nan=False).encode()


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


def _write_array(files: NewGroupFiles, source: ArraySource, beside: ThreadPoolExecutor) -> tuple[str, str]:
    """Write an array, each of its files once; gives its SHA-256 and that of its metadata."""
    encoded: dict[str, Buffer] = {}  # what Zarr has made of a block, until it is written
    array = _create_array(encoded, source)
    del encoded[METADATA_NAME]
    start, blocks = 0, []
    for block in source.blocks:
        if block.shape[1:] != source.shape[1:]:
            raise IntegrityError(
                f"write {source.name}: got a block of shape {block.shape}, declared {source.shape}",
                remedy="report this as a defect",
            )
        block_sha256 = beside.submit(_sha256, block)
        array[start : start + len(block)] = block
        while encoded:
            key, content = encoded.popitem()
            files.write(f"{source.name}/{key}", content.to_bytes())
        blocks.append(block_sha256.result())
        start += len(block)
    if start != source.shape[0]:
        raise IntegrityError(
            f"write {source.name}: got {start} rows, declared {source.shape[0]}", remedy="report this as a defect"
        )
    array.attrs.put({"units": source.units, "long_name": source.long_name, "block_sha256": blocks})
    metadata = encoded[METADATA_NAME].to_bytes()
    files.write(f"{source.name}/{METADATA_NAME}", metadata)
    sha256 = digest(
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
    return sha256, hashlib.sha256(metadata).hexdigest()


def _create_array(encoded: dict[str, Buffer], source: ArraySource) -> zarr.Array[Any]:
    return zarr.create_array(
        MemoryStore(encoded),
        shape=source.shape,
        dtype=source.dtype,
        chunks=(source.block_length, *source.shape[1:]),
        # Without a folder for each axis a chunk is one inode.
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=source.dims,
        compressors=[_blosc(source.dtype), Crc32cCodec()],
        config={"write_empty_chunks": True},
        zarr_format=3,
    )


def _sha256(block: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(block).data).hexdigest()


def _blosc(dtype: np.dtype[np.generic]) -> BloscCodec:
    """Choose the compression of an array: equal bits of many values side by side, then zstd in blocks of 1 MiB."""
    return BloscCodec(
        typesize=dtype.itemsize, cname="zstd", clevel=1, shuffle=BloscShuffle.bitshuffle, blocksize=BLOSC_BLOCK_BYTES
    )
