"""Reads an NPZ as a file of named arrays, and unpacks its patterns in order."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.containers.damage import listed, refuse_beyond_memory
from fly64dask.datasets.formats.containers.named_arrays import reading
from fly64dask.datasets.formats.containers.npz_members import (
    BLOCK_BYTES,
    WORKING_BYTES,
    Member,
    load_arrays,
    opened_member,
    read_header,
    refusal_of_pickles,
    take,
)
from fly64dask.datasets.formats.patterns import ArrayPatterns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.datasets.formats.patterns import Patterns


class NpzFile:
    """An NPZ, plain or inside bzip2, as a file of named arrays."""

    kind = "NPZ file"

    def __init__(self, path: Path, *, allow_pickle: bool) -> None:
        self.path = path
        self.arrays = load_arrays(path, allow_pickle=allow_pickle)

    def names(self) -> list[str]:
        """List the arrays."""
        return list(self.arrays)

    def members(self, name: str) -> list[str]:
        """List what a group holds: an NPZ has none."""
        return [] if name else self.names()

    def __contains__(self, name: str) -> bool:
        """Whether there is an array of this name."""
        return name.strip("/") in self.arrays

    def shape(self, name: str) -> tuple[int, ...]:
        """Tell the shape of an array without reading it."""
        return self.header(name)[0]

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
        """Read shape, dtype and whether the first axis varies fastest, of an array that is there."""
        name = name.strip("/")
        if name not in self.arrays:
            raise InputError(
                f"read {self.path}: no array {name!r}, found {listed(self.arrays)}",
                remedy="add it, or check the format",
            )
        member = self.arrays[name]
        what = f"read {self.path}: array {name!r}"
        with reading(what), warnings.catch_warnings(action="ignore"), opened_member(member) as stream:
            return read_header(stream, member.info)

    def take(self, name: str) -> NDArray[np.number]:
        """Read one array that fits in memory."""
        return take(self.arrays, name.strip("/"), self.path)

    def patterns(self, name: str) -> Patterns:
        """Open an array of three axes or more as patterns that are unpacked in blocks."""
        shape, dtype, is_fortran = self.header(name)
        what = f"read {self.path}: array {name!r}"
        if dtype.hasobject:
            raise refusal_of_pickles(what)
        if not math.prod(shape):
            raise InputError(f"{what} has shape {shape} and so no pattern", remedy="check which array holds the scan")
        if len(shape) < 3 or dtype.kind not in "uif":
            raise InputError(
                f"read {self.path}: {name!r} has shape {shape} and dtype {dtype}, needed three axes of reals",
                remedy="store (n, H, W) amplitudes or counts",
            )
        if is_fortran:
            return ArrayPatterns(array=self.take(name).reshape(-1, *shape[-2:]))
        return StreamedPatterns(self.arrays[name.strip("/")], what, shape, dtype)

    def attribute(self, name: str, key: str) -> None:
        """Read an attribute: an NPZ has none."""
        del name, key


class StreamedPatterns:
    """Patterns of an NPZ, unpacked in order; going back starts again from the beginning."""

    def __init__(self, member: Member, what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._member, self._what = member, what
        *leading, height, width = shape
        self.shape = (math.prod(leading), height, width)
        self.dtype = dtype
        self._stream: IO[bytes] | None = None
        self._next = 0

    def read(self, start: int, stop: int) -> NDArray[np.number]:
        """Read exposures [start, stop); the last ones only if the archive's checksum is right."""
        n, height, width = self.shape
        stop = min(stop, n)
        frame_bytes = height * width * self.dtype.itemsize
        refuse_beyond_memory(self._what, (stop - start) * (frame_bytes + height * width * WORKING_BYTES))
        with reading(f"{self._what}, exposures {start} to {stop}"), warnings.catch_warnings(action="ignore"):
            if self._stream is None or start < self._next:
                self._stream = opened_member(self._member)
                read_header(self._stream, self._member.info)
                self._next = 0
            while self._next < start:
                skipped = min(start - self._next, max(1, BLOCK_BYTES // frame_bytes))
                self._stream.read(skipped * frame_bytes)
                self._next += skipped
            content = self._stream.read((stop - start) * frame_bytes)
            self._next = stop
            if stop == n:
                self._stream.read()  # zip's checksum is compared at the end
            return np.frombuffer(content, dtype=self.dtype).reshape(stop - start, height, width)
