"""Gathers the rows of a table, one after the other, as columns of packed values, which take little memory."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.report.columns import FlatRow, Value

# Rows that are kept as they are before they are packed (our choice): 20 MB for rows of a run.
PACKED_ROWS = 1024
DTYPES = {bool: np.bool_, int: np.int64, float: np.float64}


class TableColumns:
    """The columns of a table whose rows need not have the same columns.

    Many rows at a time are packed as arrays: a number then takes 8 bytes instead of 40 in a list, and equal texts are
    kept once.

    Parameters
    ----------
    always : mapping of str to type
        Columns that exist whichever rows are added, and the type of their values.
    """

    def __init__(self, always: Mapping[str, type] = MappingProxyType({})) -> None:
        self._kinds = {name: {kind} for name, kind in always.items()}
        self._waiting: list[FlatRow] = []
        self._pieces: list[_Piece] = []

    def add(self, flat: FlatRow) -> None:
        """Add a row; unknown values are None or absent."""
        self._waiting.append(flat)
        if len(self._waiting) == PACKED_ROWS:
            self._pack()

    @property
    def names(self) -> tuple[str, ...]:
        """All columns: those that always exist, then others in the order of their first row, unless they were
        reordered.
        """
        self._pack()
        return tuple(self._kinds)

    def reorder(self, names: Iterable[str]) -> None:
        """Put the columns into another order; `names` are all of them."""
        self._pack()
        self._kinds = {name: self._kinds[name] for name in names}

    def kind(self, name: str) -> type | None:
        """The type of all values of a column; None if it has no value and no declared type.

        It is float if a column has integers and floats, and str if it has numbers and words.
        """
        self._pack()
        return _common_type(self._kinds[name])

    def has_numbers(self, name: str) -> bool:
        """Whether a column is declared to hold numbers, or has one; booleans do not count."""
        self._pack()
        return not self._kinds[name].isdisjoint((int, float))

    def pieces(self, name: str) -> Iterator[list[Value | None]]:
        """Yield the values of a column, as many at a time as were packed together.

        They have the type of the column; unknown values are None.
        """
        self._pack()
        return (_of_one_type(piece.values(name), self._kinds[name]) for piece in self._pieces)

    def rows(self) -> Iterator[tuple[Value | None, ...]]:
        """Yield the rows one after the other, with the values of all columns in their order."""
        for of_piece in zip(*(self.pieces(name) for name in self.names), strict=True):
            yield from zip(*of_piece, strict=True)

    def _pack(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._pieces.append(_Piece(waiting, self._kinds))


class _Piece:
    """Some packed rows; the types of their values are added to the known types of each column."""

    def __init__(self, flat_rows: Sequence[FlatRow], kinds: dict[str, set[type]]) -> None:
        self._n_rows = len(flat_rows)
        self._texts: dict[str, list[Value | None]] = {}
        # Numbers, and a mask of the known ones if some are unknown.
        self._numbers: dict[str, tuple[NDArray[Any], NDArray[np.bool_] | None]] = {}
        for name in dict.fromkeys(name for flat in flat_rows for name in flat):
            values = [flat.get(name) for flat in flat_rows]
            found = {type(value) for value in values if value is not None}
            kinds.setdefault(name, set()).update(found)
            if len(found) == 1 and found <= DTYPES.keys():
                self._numbers[name] = _packed(values, DTYPES[found.pop()])
            else:
                # Many cells share a version, a digest or a word, which is kept once.
                self._texts[name] = [sys.intern(value) if type(value) is str else value for value in values]

    def values(self, name: str) -> list[Value | None]:
        """Unpack a column; None where it has no value."""
        if name in self._texts:
            return self._texts[name]
        if name not in self._numbers:
            return [None] * self._n_rows
        numbers, known = self._numbers[name]
        unpacked: list[Value | None] = numbers.tolist()
        if known is None:
            return unpacked
        return [value if is_known else None for value, is_known in zip(unpacked, known.tolist(), strict=True)]


def gathered(flat_rows: Iterable[FlatRow]) -> TableColumns:
    """Gather the columns of some rows."""
    columns = TableColumns()
    for flat in flat_rows:
        columns.add(flat)
    return columns


def _packed(values: Sequence[Value | None], dtype: type) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    known = np.array([value is not None for value in values])
    numbers: NDArray[Any] = np.array([0 if value is None else value for value in values], dtype)
    return numbers, None if known.all() else known


def _common_type(kinds: Collection[type]) -> type | None:
    if len(kinds) < 2:
        return next(iter(kinds), None)
    return float if set(kinds) == {int, float} else str


def _of_one_type(values: list[Value | None], kinds: Collection[type]) -> list[Value | None]:
    """Convert values to float if their column has integers and floats, and to str if it has numbers and words."""
    convert = _common_type(kinds)
    if convert is None or len(kinds) < 2:
        return values
    return [value if value is None else convert(value) for value in values]
