"""Open a Zarr group and read its arrays, with every byte checked against the digests that it was written with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import zarr
from pydantic import ValidationError

from fly64dask.base import IntegrityError
from fly64dask.store.attributes import GroupAttributes
from fly64dask.store.zarr_format import METADATA_NAME, ArrayFacts, attributes_sha256, metadata_sha256

if TYPE_CHECKING:
    from numpy.typing import NDArray

Attributes = TypeVar("Attributes", bound=GroupAttributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Generic[Attributes]):
    """An open group: its attributes and the metadata of its arrays are those that were written.

    `array_sha256` is the SHA-256 of each array, by name.
    """

    path: Path
    attributes: Attributes
    array_sha256: Mapping[str, str]

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
            raise _damaged(f"read {self.path / name}: the group holds {', '.join(self.names) or 'no array'}")
        return open_array(self.path / name, sha256=self.array_sha256[name]).read(rows)


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
    document, array_sha256 = read_checked_attributes(path, purpose)
    try:
        attributes = model.model_validate(document)
    except ValidationError as error:
        raise IntegrityError(
            f"{purpose}: attributes are not of schema version 1: {error.errors(include_url=False)[0]}",
            remedy="write the group again with this version",
        ) from error
    return Group(path=path, attributes=attributes, array_sha256=array_sha256)


def read_checked_attributes(path: Path, purpose: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a group's attributes and the SHA-256 of its arrays, and check them and the arrays' metadata.

    Parameters
    ----------
    path : Path
        Directory of the group.
    purpose : str
        What it is read for, for messages.

    Returns
    -------
    attributes : dict
        As JSON holds them, without digests.
    array_sha256 : dict of str to str
        SHA-256 of each array.

    Raises
    ------
    IntegrityError
        If there is no such group, or its attributes are not those that were written.
    """
    try:
        document = json.loads((path / METADATA_NAME).read_bytes())["attributes"]
        stated, computed = document.pop("attributes_sha256", None), attributes_sha256(path)
        array_sha256, stated_metadata = document.pop("array_sha256"), document.pop("metadata_sha256")
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{purpose}: no readable Zarr v3 group there ({type(error).__name__}: {error})",
            remedy="give the path of a group that fly64dask wrote, or write it again",
        ) from error
    if stated != computed:
        raise _damaged(f"{purpose}: attributes do not match their SHA-256 {stated}")
    for name, sha256 in stated_metadata.items():
        _check_metadata(path / name, sha256)
    return document, array_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArray:
    """An open array of a group: what says how to read it is what was written; its values are checked when read."""

    directory: Path
    facts: ArrayFacts
    block_sha256: tuple[str, ...]

    def read(self, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Read the array as `Group.read` does."""
        rows = np.arange(self.facts.shape[0]) if rows is None else rows
        result = np.empty((len(rows), *self.facts.shape[1:]), dtype=self.facts.dtype)
        array = zarr.open_array(store=str(self.directory), mode="r", zarr_format=3)
        length = self.facts.chunks[0]
        block_of_row = rows // length
        for block in np.unique(block_of_row):
            places = np.flatnonzero(block_of_row == block)
            values = self._read_block(array, int(block))
            result[places] = values[rows[places] - block * length]
        return result

    def _read_block(self, array: zarr.Array[Any], block: int) -> NDArray[Any]:
        purpose = f"read {self.directory}"
        key = "/".join(["c", str(block), *["0"] * (array.ndim - 1)])
        if not _has_bytes(self.directory / key):  # Zarr itself reads such a chunk as fill values, in silence
            raise _damaged(f"{purpose}: chunk {key} is missing or empty")
        length = self.facts.chunks[0]
        try:
            values = np.ascontiguousarray(array[block * length : (block + 1) * length])
        except (OSError, ValueError, RuntimeError) as error:
            raise _damaged(f"{purpose}: chunk {key} cannot be decoded ({type(error).__name__}: {error})") from error
        if hashlib.sha256(values.data).hexdigest() != self.block_sha256[block]:
            raise _damaged(f"{purpose}: chunk {key} does not match its SHA-256")
        return values


def open_array(directory: Path, *, sha256: str) -> StoredArray:
    """Open an array and check what says how to read it.

    Parameters
    ----------
    directory : Path
        Directory of the array.
    sha256 : str
        SHA-256 of the array, from its group.

    Returns
    -------
    StoredArray

    Raises
    ------
    IntegrityError
        If it is not the array that the digest is of.
    """
    try:
        array = zarr.open_array(store=str(directory), mode="r", zarr_format=3)
        blocks = tuple(str(block) for block in array.attrs["block_sha256"])  # type: ignore[union-attr]
        facts = ArrayFacts(
            shape=array.shape,
            chunks=array.chunks,
            dtype=array.dtype,
            dims=tuple(array.metadata.dimension_names),  # type: ignore[union-attr,arg-type]
            units=array.attrs["units"],  # type: ignore[arg-type]
            long_name=array.attrs["long_name"],  # type: ignore[arg-type]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(f"read {directory}: not a readable array ({type(error).__name__}: {error})") from error
    if facts.sha256(blocks) != sha256:
        raise _damaged(
            f"read {directory}: shape, chunks, dtype, names, units or blocks are not those the group was written with"
        )
    return StoredArray(directory=directory, facts=facts, block_sha256=blocks)


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
        raise _damaged(f"read {directory}: no readable {METADATA_NAME} ({error})") from error
    if computed != sha256:
        raise _damaged(f"read {directory}: {METADATA_NAME} does not match its SHA-256")


def _damaged(message: str) -> IntegrityError:
    return IntegrityError(
        message, remedy="rebuild it with `fly64dask verify RUN --repair`, or ingest again if it is an ingested store"
    )
