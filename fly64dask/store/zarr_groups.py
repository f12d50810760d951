"""Arrays and attributes <-> Zarr groups, with a digest for every byte."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import zarr
from numcodecs import blosc
from pydantic import ValidationError
from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec

from fly64dask.base import IntegrityError, digest
from fly64dask.store.attributes import GroupAttributes

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Measured on the counts of scripts/bench_store.py, 128 x 128: with the bits of uint16 sorted, zstd at level 1 takes
# 0.53, 0.60 and 0.75 of the bytes of plain zstd at 1e3, 1e4 and 1e5 photons, and less of its time. Larger blocks than
# blosc's own choice save another 2 to 10 %. zstd alone missed 25 of 40 flipped bits, blosc 39, with crc32c none.
BLOCK_BYTES = 2**20
CHUNK_EXPOSURES = 256
METADATA_NAME = "zarr.json"  # of a group or array in Zarr's format 3
# Blosc makes a lock between processes in each of them, and with it a semaphore which a process that is killed never
# gives back to the system. Its state is one process's own: a lock between threads will do.
blosc._MUTEX, blosc._MUTEX_IS_INIT = threading.Lock(), True
Attributes = TypeVar("Attributes", bound=GroupAttributes)


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


def write_group(
    directory: Path, describe: Callable[[], GroupAttributes], arrays: Sequence[ArraySource]
) -> dict[str, str]:
    """Write arrays and attributes into a new Zarr v3 group.

    Parameters
    ----------
    directory : Path
        Empty directory of the group: publish it by a rename, never write in place.
    describe : callable
        Called after the arrays are written, for attributes that count what passed by; they are
        stored flat, with a digest over all of them.
    arrays : sequence of ArraySource
        What to write.

    Returns
    -------
    dict of str to str
        SHA-256 of each array: over its blocks' digests, shape and dtype.

    Raises
    ------
    IntegrityError
        If the blocks do not add up to the declared shape, or a count does not fit its dtype.
    """
    group = zarr.create_group(store=str(directory), zarr_format=3)
    digests = {array.name: _write_array(group, array) for array in arrays}
    document = describe().model_dump(mode="json") | {
        "array_sha256": digests,
        "metadata_sha256": {array.name: _metadata_sha256(directory / array.name) for array in arrays},
    }
    group.attrs.put(document)
    group.attrs.put(document | {"attributes_sha256": _attributes_sha256(directory)})
    return digests


def read_attributes(directory: Path, model: type[Attributes]) -> tuple[Attributes, dict[str, str]]:
    """Read and check a group's attributes, and the Zarr metadata of its arrays.

    Parameters
    ----------
    directory : Path
        The group.
    model : type of GroupAttributes
        The kind of group that is expected there.

    Returns
    -------
    attributes : GroupAttributes
        Of the given model.
    array_sha256 : dict of str to str
        Digest of each array of the group.

    Raises
    ------
    IntegrityError
        If there is no such group, or its attributes are not those that were written.
    """
    wanted = f"read {model.model_fields['kind'].default} {directory}"
    try:
        document = json.loads((directory / METADATA_NAME).read_bytes())["attributes"]
        stated, found = document.pop("attributes_sha256", None), _attributes_sha256(directory)
        digests, metadata_sha256 = document.pop("array_sha256"), document.pop("metadata_sha256")
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{wanted}: no readable Zarr v3 group there ({type(error).__name__}: {error})",
            remedy="give the path of a group that fly64dask wrote, or write it again",
        ) from error
    if stated != found:
        raise _damaged(f"{wanted}: attributes do not match their SHA-256 {stated}")
    for name, sha256 in metadata_sha256.items():
        _check_metadata(directory / name, sha256)
    try:
        return model.model_validate(document), digests
    except ValidationError as error:
        raise IntegrityError(
            f"{wanted}: attributes are not of schema version 1: {error.errors(include_url=False)[0]}",
            remedy="write the group again with this version",
        ) from error


def read_array(directory: Path, name: str, *, sha256: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """Read an array, or some of its rows, and check every byte it came from.

    Parameters
    ----------
    directory : Path
        The group.
    name : str
        The array.
    sha256 : str
        Its digest, from `read_attributes`.
    rows : (k,) int64, optional
        Ascending indices along the first axis; all rows if omitted. Only the chunks that hold
        them are read, each once.

    Returns
    -------
    array
        Rows in the given order.

    Raises
    ------
    IntegrityError
        Naming the array and block that is missing, empty, truncated or altered.
    """
    place = f"read {directory / name}"
    try:
        array = zarr.open_array(store=str(directory / name), mode="r", zarr_format=3)
        blocks = [str(block) for block in array.attrs["block_sha256"]]  # type: ignore[union-attr]
        units, axes = array.attrs["units"], array.attrs["axes"]
        length = array.chunks[0]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(f"{place}: not a readable array ({type(error).__name__}: {error})") from error
    if _array_digest(array.shape, array.chunks, array.dtype, units, axes, blocks) != sha256:
        raise _damaged(f"{place}: shape, chunks, dtype, units, axes or blocks are not those the group was written with")
    wanted = np.arange(array.shape[0]) if rows is None else rows
    result = np.empty((len(wanted), *array.shape[1:]), dtype=array.dtype)
    block_of_row = wanted // length
    for block in np.unique(block_of_row):
        at = np.flatnonzero(block_of_row == block)
        values = _read_block(array, directory / name, int(block), length, blocks[block], place)
        result[at] = values[wanted[at] - block * length]
    return result


def missing_chunks(array_directory: Path, shape: tuple[int, ...], chunks: tuple[int, ...]) -> list[str]:
    """List the chunk files of an array that are absent or empty.

    Parameters
    ----------
    array_directory : Path
        Directory of the array.
    shape, chunks : tuple of int
        Its shape and chunk shape.

    Returns
    -------
    list of str
        Chunk keys. Zarr itself reads such a chunk as fill values, in silence.
    """
    grid = [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]
    keys = ["/".join(["c", *map(str, index)]) for index in np.ndindex(*grid)]
    return [key for key in keys if not _has_bytes(array_directory / key)]


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _read_block(
    array: zarr.Array[Any], directory: Path, block: int, length: int, sha256: str, place: str
) -> NDArray[Any]:
    key = "/".join(["c", str(block), *["0"] * (array.ndim - 1)])
    if not _has_bytes(directory / key):
        raise _damaged(f"{place}: chunk {key} is missing or empty")
    try:
        values = np.ascontiguousarray(array[block * length : (block + 1) * length])
    except (OSError, ValueError, RuntimeError) as error:
        raise _damaged(f"{place}: chunk {key} cannot be decoded ({type(error).__name__}: {error})") from error
    if hashlib.sha256(values.data).hexdigest() != sha256:
        raise _damaged(f"{place}: chunk {key} does not match its SHA-256")
    return values


def _attributes_sha256(directory: Path) -> str:
    """Digest of all that a group's metadata say but the digest itself; of floats, of how they are spelt."""
    document = json.loads((directory / METADATA_NAME).read_bytes(), parse_float=str)
    document["attributes"].pop("attributes_sha256", None)
    return digest(document)


def _metadata_sha256(directory: Path) -> str:
    return hashlib.sha256((directory / METADATA_NAME).read_bytes()).hexdigest()


def _check_metadata(directory: Path, sha256: str) -> None:
    """Refuse an array whose metadata were altered: a fill value or codec changes what is read, in silence."""
    try:
        found = _metadata_sha256(directory)
    except OSError as error:
        raise _damaged(f"read {directory}: no readable {METADATA_NAME} ({error})") from error
    if found != sha256:
        raise _damaged(f"read {directory}: {METADATA_NAME} does not match its SHA-256")


def _damaged(message: str) -> IntegrityError:
    return IntegrityError(
        message, remedy="rebuild it with `fly64dask verify RUN --repair`, or ingest again if it is an ingested store"
    )


def _write_array(group: zarr.Group, source: ArraySource) -> str:
    array = group.create_array(
        source.name,
        shape=source.shape,
        dtype=source.dtype,
        chunks=(source.block_length, *source.shape[1:]),
        compressors=[_packed(source.dtype), Crc32cCodec()],
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
    array.attrs.put({"units": source.units, "axes": list(source.axes), "block_sha256": blocks})
    return _array_digest(source.shape, array.chunks, source.dtype, source.units, list(source.axes), blocks)


def _sha256(block: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(block).data).hexdigest()


def _packed(dtype: np.dtype[Any]) -> BloscCodec:
    """Compression of an array: equal bits of many values side by side, then zstd in blocks of 1 MiB."""
    return BloscCodec(
        typesize=dtype.itemsize, cname="zstd", clevel=1, shuffle=BloscShuffle.bitshuffle, blocksize=BLOCK_BYTES
    )


def _array_digest(
    shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype[Any], units: Any, axes: Any, blocks: list[str]
) -> str:
    """SHA-256 of an array's content and of every word that says how to read it."""
    facts = {"shape": list(shape), "chunks": list(chunks), "dtype": np.dtype(dtype).str, "units": units, "axes": axes}
    return digest(facts | {"blocks": blocks})


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
