"""Patterns that are read in blocks, and patterns made of others: joined, chosen, or reoriented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fly64dask.base import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Patterns(Protocol):
    """Diffraction patterns of a file, (n, H, W), which are read by `read` alone."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of exposures, which are in the order of the positions, rows and columns."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values as they are stored."""
        ...

    def read(self, start: int, stop: int) -> NDArray[np.number]:
        """Read exposures [start, stop) with the values that are stored; raises InputError if they are damaged."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayPatterns:
    """Patterns that are in memory, or in a mapped file, (n, H, W)."""

    array: NDArray[np.number]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of exposures, rows and columns."""
        n, height, width = self.array.shape
        return n, height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.array.dtype

    def read(self, start: int, stop: int) -> NDArray[np.number]:
        """Give a copy of exposures [start, stop)."""
        return np.array(self.array[start:stop])


class JoinedPatterns:
    """Patterns of several parts, one after the other."""

    def __init__(self, parts: Sequence[Patterns]) -> None:
        sizes = {part.shape[1:] for part in parts}
        if len(sizes) != 1:
            raise InputError(
                f"read patterns in {len(parts)} parts: their sizes are {sorted(sizes)} px, needed one",
                remedy="give parts of one scan",
            )
        self._parts = parts
        self._ends = np.cumsum([part.shape[0] for part in parts])
        self.shape = (int(self._ends[-1]), *parts[0].shape[1:])
        self.dtype: np.dtype[Any] = np.result_type(*(part.dtype for part in parts))

    def read(self, start: int, stop: int) -> NDArray[np.number]:
        """Read exposures [start, stop)."""
        blocks = []
        for part, end in zip(self._parts, self._ends, strict=True):
            first = int(end) - part.shape[0]
            if start < end and stop > first:
                blocks.append(part.read(max(start - first, 0), min(stop, int(end)) - first))
        return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]


class ChosenPatterns:
    """Patterns of a file at chosen indices (n,), in the order of these."""

    def __init__(self, patterns: Patterns, indices: NDArray[np.int64]) -> None:
        self._patterns, self._indices = patterns, indices
        self.shape = (len(indices), *patterns.shape[1:])
        self.dtype = patterns.dtype

    def read(self, start: int, stop: int) -> NDArray[np.number]:
        """Read chosen exposures [start, stop), consecutive ones together."""
        chosen = self._indices[start:stop]
        runs = np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1)
        return np.concatenate([self._patterns.read(int(run[0]), int(run[-1]) + 1) for run in runs])


class OrientedPatterns:
    """Patterns whose frames a file has transposed or flipped; transposed first."""

    def __init__(
        self, patterns: Patterns, *, transpose: bool = False, flip_rows: bool = False, flip_columns: bool = False
    ) -> None:
        self._patterns = patterns
        self._transpose, self._rows, self._columns = transpose, -1 if flip_rows else 1, -1 if flip_columns else 1
        n, height, width = patterns.shape
        self.shape = (n, width, height) if transpose else (n, height, width)
        self.dtype = patterns.dtype

    def read(self, start: int, stop: int) -> NDArray[np.number]:
        """Read exposures [start, stop)."""
        block = self._patterns.read(start, stop)
        if self._transpose:
            block = block.swapaxes(1, 2)
        return np.ascontiguousarray(block[:, :: self._rows, :: self._columns])
