"""Reads MATLAB 5 files, one variable at a time; only numbers, and structures of them, are read.

The layout is that of MathWorks' "MAT-File Format", level 5. scipy's reader ends the process on some damaged files.
"""

from __future__ import annotations

import math
import mmap
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.containers.damage import listed, refuse_beyond_memory
from fly64dask.datasets.formats.containers.named_arrays import reading
from fly64dask.datasets.formats.patterns import ArrayPatterns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fly64dask.datasets.formats.patterns import Patterns

HEADER_BYTES = 128
ORDERS = {b"IM": "<", b"MI": ">"}
# How values are stored, and of which class they are, by MATLAB's numbers.
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
STRUCTURE, MATRIX, COMPRESSED, IS_COMPLEX = 2, 14, 15, 0x0800
# Before its values a variable has flags, axes and a name of at most 63 characters.
HEAD_BYTES = 4096
MAX_DEPTH = 16
LARGEST_EXPANSION = 1032  # of zlib (its documentation)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variable:
    """Where a variable lies in the file, and its shape."""

    start: int
    stop: int
    is_compressed: bool
    shape: tuple[int, ...]


class MatlabFile:
    """A MATLAB 5 file of named arrays; members of a structure are named with a / before them."""

    kind = "MATLAB 5 file"

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(f"read {path}"), path.open("rb") as stream:
            self._content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            mark = bytes(self._content[HEADER_BYTES - 2 : HEADER_BYTES])
            if mark not in ORDERS:
                raise ValueError(f"its order of bytes is {mark!r}, needed one of {list(ORDERS)}")
            self._order = ORDERS[mark]
            self._variables = dict(self._scan())
        self._read: dict[str, Any] = {}

    def names(self) -> list[str]:
        """List the variables."""
        return list(self._variables)

    def members(self, name: str) -> list[str]:
        """List the members of a structure; nothing if it is none."""
        variable = self._find(name) if name else self._variables
        return list(variable) if isinstance(variable, dict) else []

    def __contains__(self, name: str) -> bool:
        """Whether there is a variable, or a member of a structure, of this name."""
        return self._find(name) is not None

    def shape(self, name: str) -> tuple[int, ...]:
        """Tell the shape of an array."""
        return self._variables[name].shape if name in self._variables else self.take(name).shape

    def take(self, name: str) -> NDArray[np.number]:
        """Read one array."""
        variable = self._find(name)
        if not isinstance(variable, np.ndarray):
            raise InputError(
                f"read {self.path}: no variable {name!r} of numbers, found {listed(self.names())}",
                remedy="add it, or check the format",
            )
        return variable

    def patterns(self, name: str) -> Patterns:
        """Give an array of (H, W, n), MATLAB's order, as patterns."""
        array = self.take(name)
        if array.ndim != 3 or array.dtype.kind not in "uif" or not array.size:
            raise InputError(
                f"read {self.path}: {name!r} is {array.dtype} of {array.shape}, needed reals of (H, W, n)",
                remedy="name the variable that holds one pattern for each exposure",
            )
        return ArrayPatterns(array=np.moveaxis(array, -1, 0))

    def attribute(self, name: str, key: str) -> None:
        """Read an attribute: MATLAB 5 has none."""
        del name, key

    def _scan(self) -> Iterator[tuple[str, _Variable]]:
        """Find the variables, of which no values are read."""
        at = HEADER_BYTES
        while at < len(self._content):
            kind, size = (int(word) for word in np.frombuffer(self._content[at : at + 8], f"{self._order}u4"))
            start, at = at + 8, at + 8 + size
            if kind not in (MATRIX, COMPRESSED) or at > len(self._content):
                raise ValueError(f"an element of type {kind} and {size} bytes, needed a variable that ends in the file")
            head = self._content[start : min(at, start + HEAD_BYTES)]
            if kind == COMPRESSED:
                head = memoryview(zlib.decompressobj().decompress(head, HEAD_BYTES))[8:]
            _, _, shape, name, _ = _head(head, self._order)
            yield name, _Variable(start=start, stop=at, is_compressed=kind == COMPRESSED, shape=shape)

    def _find(self, name: str) -> Any:
        first, *inner = name.strip("/").split("/")
        if first not in self._variables:
            return None
        if first not in self._read:
            what = f"read {self.path}: variable {first!r}"
            variable = self._variables[first]
            with reading(what):
                self._read[first] = _matrix(self._unpacked(variable, what), self._order)
        value = self._read[first]
        for part in inner:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def _unpacked(self, variable: _Variable, what: str) -> memoryview:
        content = self._content[variable.start : variable.stop]
        if not variable.is_compressed:
            return content
        refuse_beyond_memory(what, 16 * math.prod(variable.shape))
        limit = min(LARGEST_EXPANSION * len(content), 16 * math.prod(variable.shape) + 2**24)
        return memoryview(zlib.decompressobj().decompress(content, limit))[8:]


def _element(content: memoryview, at: int, order: str) -> tuple[int, memoryview, int]:
    """Read one element: its type, its bytes, and where the next one begins; small ones lie in their own tag."""
    first, size = (int(word) for word in np.frombuffer(content[at : at + 8], f"{order}u4"))
    kind, small_size = first & 0xFFFF, first >> 16
    start, size, following = (at + 4, small_size, at + 8) if small_size else (at + 8, size, at + 8 + -(-size // 8) * 8)
    if start + size > len(content):
        raise ValueError(f"an element of {size} bytes, of which {len(content) - start} are there")
    return kind, content[start : start + size], following


def _numbers(content: memoryview, at: int, order: str) -> tuple[NDArray[np.number], int]:
    kind, stored, following = _element(content, at, order)
    if kind not in STORED:
        raise ValueError(f"values of type {kind}, needed one of {sorted(STORED)}")
    return np.frombuffer(stored, f"{order}{STORED[kind]}"), following


def _head(content: memoryview, order: str) -> tuple[int, bool, tuple[int, ...], str, int]:
    """Read class, whether complex, shape and name of a matrix, and where its values begin."""
    flags, at = _numbers(content, 0, order)
    axes, at = _numbers(content, at, order)
    _, name, at = _element(content, at, order)
    shape = tuple(int(size) for size in axes)
    if not flags.size or any(size < 0 for size in shape):
        raise ValueError(f"a variable of shape {shape}")
    return int(flags[0]) & 0xFF, bool(int(flags[0]) & IS_COMPLEX), shape, bytes(name).decode("latin-1"), at


def _matrix(content: memoryview, order: str, depth: int = 0) -> NDArray[np.number] | dict[str, Any] | None:
    """Read an array of numbers, or a structure of one element; None for anything else, such as text or cells."""
    kind, is_complex, shape, _, at = _head(content, order)
    if kind == STRUCTURE and math.prod(shape) == 1 and depth < MAX_DEPTH:
        return _structure(content, at, order, depth)
    if kind not in CLASSES:
        return None
    values, at = _numbers(content, at, order)
    array = values.astype(CLASSES[kind])
    if is_complex:
        imaginary, at = _numbers(content, at, order)
        array = array + 1j * imaginary.astype(CLASSES[kind])
    if array.size != math.prod(shape):
        raise ValueError(f"declared as {shape}, and it has {array.size} values")
    return array.reshape(shape, order="F")


def _structure(content: memoryview, at: int, order: str, depth: int) -> dict[str, Any]:
    lengths, at = _numbers(content, at, order)
    _, names, at = _element(content, at, order)
    length = int(lengths[0]) if lengths.size else 0
    if length < 1:
        raise ValueError(f"names of members of {length} characters")
    members: dict[str, Any] = {}
    for start in range(0, len(names), length):
        _, stored, at = _element(content, at, order)
        name = bytes(names[start : start + length]).split(b"\0")[0].decode("latin-1")
        members[name] = _matrix(stored, order, depth + 1) if len(stored) else None
    return members
