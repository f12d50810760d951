"""Open a Zarr group and read its arrays, with every byte checked against the digests that it was written with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import zarr
from pydantic import ValidationError
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

from fly64dask.base import IntegrityError
from fly64dask.store.groups.attributes import GroupAttributes
from fly64dask.store.groups.files import GroupFiles, opened_group_files
from fly64dask.store.groups.metadata import METADATA_NAME, attributes_of, damaged, lock_blosc_between_threads, no_group

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from zarr.core.buffer import Buffer

Attributes = TypeVar("Attributes", bound=GroupAttributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Generic[Attributes]):
    """An open group: its attributes and the metadata of its arrays are those that were written.

    `array_sha256` is the SHA-256 of each array by name, `metadata_sha256` that of its Zarr
    metadata, which hold the SHA-256 of each chunk.
    """

    path: Path
    attributes: Attributes
    array_sha256: Mapping[str, str]
    metadata_sha256: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the group's arrays."""
        return tuple(self.array_sha256)

    def read(self, name: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Read an array, or some of its rows, and check every byte it came from.

        Parameters
        ----------
        name : str
            The array.
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
        if name not in self.array_sha256:
            raise damaged(f"read {self.path / name}: the group holds {', '.join(self.names) or 'no array'}")
        with opened_array(self.path, name, metadata_sha256=self.metadata_sha256[name]) as stored:
            return stored.read(rows)


def open_group(path: Path, model: type[Attributes]) -> Group[Attributes]:
    """Open a group; read and check its attributes, and the Zarr metadata of its arrays.

    Parameters
    ----------
    path : Path
        The group: a directory, or a zip archive.
    model : type of GroupAttributes
        The kind of group that is expected there.

    Returns
    -------
    Group
        With attributes of the given model.

    Raises
    ------
    IntegrityError
        If there is no such group, or its attributes are not those that were written.
    """
    purpose = f"read {model.model_fields['kind'].default} {path}"
    document = read_checked_attributes(path, purpose)
    array_sha256, stated_metadata = document.pop("array_sha256"), document.pop("metadata_sha256")
    try:
        attributes = model.model_validate(document)
    except ValidationError as error:
        raise IntegrityError(
            f"{purpose}: attributes are not of schema version 1: {error.errors(include_url=False)[0]}",
            remedy="write the group again with this version",
        ) from error
    return Group(path=path, attributes=attributes, array_sha256=array_sha256, metadata_sha256=stated_metadata)


def read_checked_attributes(path: Path, purpose: str) -> dict[str, Any]:
    """Read a group's attributes as JSON holds them, and check them and the Zarr metadata of its arrays.

    `array_sha256` and `metadata_sha256` among them are the SHA-256 of each array and of its metadata. Raises
    IntegrityError, which names the purpose of reading, if there is no such group or it is not as it was written.
    """
    try:
        with opened_group_files(path) as files:
            document = attributes_of(files, purpose)
            for name, sha256 in document["metadata_sha256"].items():
                _checked_metadata(files, path / name, sha256)
            return document
    except OSError as error:
        raise no_group(purpose, error) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArray:
    """An open array whose Zarr metadata are those that were written; its values are checked when they are read.

    `encoded` is what `array` decodes: the metadata, and a chunk while it is read.
    """

    path: Path
    files: GroupFiles
    array: zarr.Array[Any]
    encoded: dict[str, Buffer]

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the array's dimensions."""
        return tuple(map(str, self.array.metadata.dimension_names))  # type: ignore[union-attr,arg-type]

    def read(self, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Read the array, or some of its rows, as `Group.read` does."""
        rows = np.arange(self.array.shape[0]) if rows is None else rows
        result = np.empty((len(rows), *self.array.shape[1:]), dtype=self.array.dtype)
        length = self.array.chunks[0]
        block_of_row = rows // length
        for block in np.unique(block_of_row):
            places = np.flatnonzero(block_of_row == block)
            result[places] = self._read_block(int(block))[rows[places] - block * length]
        return result

    def _read_block(self, block: int) -> NDArray[Any]:
        key = self.array.metadata.encode_chunk_key((block, *[0] * (self.array.ndim - 1)))
        chunk = f"read {self.path}: chunk {key}"
        length = self.array.chunks[0]
        try:
            content = self.files.read(f"{self.path.name}/{key}")
            if not content:
                raise damaged(f"{chunk} is missing or empty")
            self.encoded[key] = cpu.Buffer.from_bytes(content)
            values = np.ascontiguousarray(self.array[block * length : (block + 1) * length])
            del self.encoded[key]
        except FileNotFoundError as error:
            raise damaged(f"{chunk} is missing or empty") from error
        except (OSError, ValueError, RuntimeError) as error:
            raise damaged(f"{chunk} cannot be decoded ({type(error).__name__}: {error})") from error
        if hashlib.sha256(values.data).hexdigest() != self.array.attrs["block_sha256"][block]:  # type: ignore[index]
            raise damaged(f"{chunk} does not match its SHA-256")
        return values


@contextmanager
def opened_array(group: Path, name: str, *, metadata_sha256: str) -> Iterator[StoredArray]:
    """Open an array of a group at a path; raises IntegrityError if its metadata are not those of the SHA-256."""
    lock_blosc_between_threads()
    path = group / name
    try:
        with opened_group_files(group) as files:
            metadata = cpu.Buffer.from_bytes(_checked_metadata(files, path, metadata_sha256))
            encoded: dict[str, Buffer] = {METADATA_NAME: metadata}
            array = zarr.open_array(MemoryStore(encoded), mode="r", zarr_format=3)
            yield StoredArray(path=path, files=files, array=array, encoded=encoded)
    except OSError as error:
        raise damaged(f"read {path}: {error}") from error


def _checked_metadata(files: GroupFiles, path: Path, sha256: str) -> bytes:
    """Read an array's metadata; if they were altered, a fill value or codec changes what is read, in silence."""
    try:
        metadata = files.read(f"{path.name}/{METADATA_NAME}")
    except OSError as error:
        raise damaged(f"read {path}: no readable {METADATA_NAME} ({error})") from error
    if hashlib.sha256(metadata).hexdigest() != sha256:
        raise damaged(f"read {path}: {METADATA_NAME} does not match its SHA-256")
    return metadata
