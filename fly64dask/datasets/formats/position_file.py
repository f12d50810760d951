"""Reads the scan positions of a simulation from a table: text with a header, `.npy` or `.npz`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.containers import UNREADABLE, listed, load_arrays, reading, take
from fly64dask.study import MAX_EXPOSURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".csv", ".txt", ".npy", ".npz")
# Ten million lines of 100 characters.
MAX_TEXT_BYTES = 10**9
EXAMPLE = "a table whose first line names its columns, such as y_px,x_px"


def read_positions(path: Path, columns: tuple[str, str]) -> NDArray[np.generic]:
    """Read positions in px from two named columns.

    Parameters
    ----------
    path : Path
        `.csv` or `.txt`: a first line of names, then numbers, separated by commas or by blanks; lines that begin
        with `#` are comments, but for a first one that names the columns. `.npy`: a structured array, or
        (n, 2) numbers in order (y, x), which need no names. `.npz`: two arrays (n,).
    columns : (str, str)
        Names of y, then x.

    Returns
    -------
    (n, 2) array
        Order (y, x), px, not checked yet.

    Raises
    ------
    InputError
        If the file is missing, damaged or has no such columns.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"read positions {path}: suffix {path.suffix!r}, needed {', '.join(SUFFIXES)}", remedy=f"give {EXAMPLE}"
        )
    if path.suffix == ".npz":
        arrays = load_arrays(path, allow_pickle=False)
        y, x = (take(arrays, name, path) for name in columns)
        return _stacked(y, x, path)
    try:
        if not path.is_file():
            raise FileNotFoundError("no such file, or not a plain one")
        return _read_npy(path, columns) if path.suffix == ".npy" else _read_rows(path, columns)
    except UNREADABLE as error:
        raise InputError(
            f"read positions {path}: {type(error).__name__}: {error}", remedy=f"check the file; give {EXAMPLE}"
        ) from error


def read_text(path: Path, columns: tuple[str, str]) -> NDArray[np.float64]:
    """Read two named columns of a text, (n, 2), order as given; raises InputError if it is damaged or lacks them."""
    with reading(f"read positions {path}"):
        return _read_rows(path, columns)


def column_names(path: Path) -> list[str]:
    """Split the first line of a text that is not empty, as it names the columns."""
    with reading(f"read positions {path}"), path.open(encoding="utf-8-sig") as lines:
        first = next((text for line in lines if (text := line.strip())), "")
    return _split(first.lstrip("# "))[0]


def _read_npy(path: Path, columns: tuple[str, str]) -> NDArray[np.generic]:
    # A map compares the header with the file's size before any memory is taken, and refuses pickled objects.
    table = np.load(path, mmap_mode="r", allow_pickle=False)
    if table.dtype.names is None:
        return np.array(table)
    missing = set(columns) - set(table.dtype.names)
    if missing:
        raise _no_column(path, sorted(missing)[0], listed(table.dtype.names))
    return _stacked(table[columns[0]], table[columns[1]], path)


def _read_rows(path: Path, columns: tuple[str, str]) -> NDArray[np.float64]:
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise InputError(
            f"read positions {path}: {size} bytes, needed at most {MAX_TEXT_BYTES}", remedy="save them as .npy"
        )
    rows: list[tuple[float, float]] = []
    names: list[str] | None = None
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if names is None:
                names, separator = _header(text.lstrip("# "), path, columns) if text else (None, None)
                continue
            if not text or text.startswith("#"):
                continue
            cells = text.split(separator)
            if len(cells) != len(names):
                raise ValueError(f"line {number} has {len(cells)} values, the first line names {len(names)}")
            y, x = (float(cells[names.index(name)]) for name in columns)
            rows.append((y, x))
            if len(rows) > MAX_EXPOSURES:
                raise ValueError(f"more than {MAX_EXPOSURES} positions")
    return np.asarray(rows, dtype=np.float64).reshape(-1, 2)


def _header(text: str, path: Path, columns: tuple[str, str]) -> tuple[list[str], str | None]:
    """Return the names of the columns and their separator; None stands for any blanks."""
    names, separator = _split(text)
    for column in columns:
        if names.count(column) != 1:
            raise _no_column(path, column, listed(names))
    return names, separator


def _split(text: str) -> tuple[list[str], str | None]:
    separator = "," if "," in text else None
    return [name.strip().strip('"') for name in text.split(separator)], separator


def _no_column(path: Path, column: str, columns: str) -> InputError:
    return InputError(
        f"read positions {path}: needed one column {column!r}, found {columns}",
        remedy="name y, then x, with the scan's key columns; the first line of a text names its columns",
    )


def _stacked(y: NDArray[np.generic], x: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    if y.shape != x.shape or y.ndim != 1 or y.dtype.kind not in "uif" or x.dtype.kind not in "uif":
        raise InputError(
            f"read positions {path}: y is {y.dtype} of {y.shape} and x {x.dtype} of {x.shape}, needed two (n,) of "
            "real numbers",
            remedy="give one y and one x in px for each exposure",
        )
    return np.stack([y, x], axis=1)
