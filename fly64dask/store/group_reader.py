"""Open a Zarr group and read its arrays, with every byte checked against the digests that it was written with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import zarr
from pydantic import ValidationError

from fly64dask.base import IntegrityError
from fly64dask.store.attributes import GroupAttributes
from fly64dask.store.zarr_format import (
    METADATA_NAME,
    damaged,
    lock_blosc_between_threads,
    metadata_sha256,
    read_attributes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        return StoredArray.open(self.path / name, metadata_sha256=self.metadata_sha256[name]).read(rows)


def open_group(path: Path, model: type[Attributes]) -> Group[Attributes]:
    """Open a group; read and check its attributes, and the Zarr metadata of its arrays.

    Parameters
    ----------
    path : Path
        Directory of the group.
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
    document = read_attributes(path, purpose)
    for name, sha256 in document["metadata_sha256"].items():
        _check_metadata(path / name, sha256)
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArray:
    """An open array whose Zarr metadata are those that were written; its values are checked when they are read."""

    directory: Path
    array: zarr.Array[Any]

    @classmethod
    def open(cls, directory: Path, *, metadata_sha256: str) -> StoredArray:
        """Open an array; raises IntegrityError if its metadata are not those of the SHA-256 that its group states."""
        _check_metadata(directory, metadata_sha256)
        lock_blosc_between_threads()
        return cls(directory=directory, array=zarr.open_array(store=str(directory), mode="r", zarr_format=3))

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
        key = "/".join(["c", str(block), *["0"] * (self.array.ndim - 1)])
        chunk = f"read {self.directory}: chunk {key}"
        if not _has_bytes(self.directory / key):  # Zarr itself reads such a chunk as fill values, in silence
            raise damaged(f"{chunk} is missing or empty")
        length = self.array.chunks[0]
        try:
            values = np.ascontiguousarray(self.array[block * length : (block + 1) * length])
        except (OSError, ValueError, RuntimeError) as error:
            raise damaged(f"{chunk} cannot be decoded ({type(error).__name__}: {error})") from error
        if hashlib.sha256(values.data).hexdigest() != self.array.attrs["block_sha256"][block]:  # type: ignore[index]
            raise damaged(f"{chunk} does not match its SHA-256")
        return values


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _check_metadata(directory: Path, sha256: str) -> None:
    """Refuse an array whose metadata were altered: a fill value or codec changes what is read, in silence."""
    try:
        computed = metadata_sha256(directory)
    except OSError as error:
        raise damaged(f"read {directory}: no readable {METADATA_NAME} ({error})") from error
    if computed != sha256:
        raise damaged(f"read {directory}: {METADATA_NAME} does not match its SHA-256")
