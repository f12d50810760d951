"""The interface to files of named arrays (HDF5, NPZ or MATLAB), and values that are written in many ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fly64dask.base import Fly64Error, InputError
from fly64dask.datasets.formats.containers.damage import UNREADABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.datasets.formats.patterns import Patterns


class NamedArrays(Protocol):
    """A file of named arrays, each read when it is needed; names of groups within it are joined by /."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def kind(self) -> str:
        """Name of the container for messages, such as 'HDF5 file'."""
        ...

    def names(self) -> list[str]:
        """List the arrays and groups at the top."""
        ...

    def members(self, name: str) -> list[str]:
        """List what a group holds; nothing if it is none."""
        ...

    def __contains__(self, name: str) -> bool:
        """Whether there is an array or group of this name."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Tell the shape of an array without reading it."""
        ...

    def take(self, name: str) -> NDArray[np.number]:
        """Read one array that fits in memory."""
        ...

    def patterns(self, name: str) -> Patterns:
        """Open an array of three axes or more, the last two rows and columns, or a group of such, as patterns."""
        ...

    def attribute(self, name: str, key: str) -> Any:
        """Read an attribute of an array or group, '' the top; None if there is none, or none can be."""
        ...


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn errors of libraries on damaged bytes into an InputError that says what was being read."""
    try:
        yield
    except Fly64Error:
        raise
    except UNREADABLE as error:
        raise InputError(
            f"{what} cannot be read ({type(error).__name__}: {error})",
            remedy="the file is damaged or not complete: copy or save it again",
        ) from error


def number(file: NamedArrays, name: str) -> float | None:
    """Read one number, or the mean of numbers that agree to 1 %; None if there is none, or none is finite."""
    return as_number(file.take(name), f"read {file.path}: {name!r}") if name in file else None


def as_number(stored: Any, what: str) -> float | None:
    """Take a stored value, or values that agree to 1 %, as one number; None if there is none, or none is finite."""
    if stored is None:
        return None
    values = np.ravel(stored)
    if values.dtype.kind not in "uif":
        raise InputError(f"{what} is {str(stored)[:60]}, needed a number", remedy="correct the file")
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return None
    mean = float(finite.mean())
    if np.ptp(finite) > 0.01 * abs(mean):
        raise InputError(
            f"{what} has values from {finite.min():.6g} to {finite.max():.6g}, needed one", remedy="correct the file"
        )
    return mean if np.ptp(finite) else float(finite[0])


def text(file: NamedArrays, name: str) -> str:
    """Read a text; empty if there is none."""
    if name not in file:
        return ""
    stored = np.ravel(file.take(name))
    value = stored[0] if stored.size == 1 else ""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def coordinates(file: NamedArrays, name: str, unit: str = "m") -> NDArray[np.float64]:
    """Read coordinates of one axis, (n,) float64, from an array of any shape with n values."""
    stored = np.ravel(file.take(name))
    if stored.dtype.kind not in "uif":
        raise InputError(
            f"read {file.path}: {name!r} has dtype {stored.dtype}, needed real numbers",
            remedy=f"give one coordinate in {unit} for each exposure",
        )
    return stored.astype(np.float64)


def points(file: NamedArrays, name: str, n: int | None = None) -> NDArray[np.float64]:
    """Read points of two or three coordinates, (n, 2) or (n, 3) float64, from an array of either order of axes.

    `n` is the number of points where it is known, which settles arrays that fit both ways.
    """
    stored = np.squeeze(file.take(name))
    if stored.ndim == 1 and n == 1:
        stored = stored[None]
    ways = [way for way in (stored, stored.T) if way.ndim == 2 and way.shape[1] in (2, 3) and n in (None, len(way))]
    if not ways or stored.dtype.kind not in "uif":
        raise InputError(
            f"read {file.path}: {name!r} is {stored.dtype} of {stored.shape}, needed "
            f"({'n' if n is None else n}, 2) or (n, 3) real numbers",
            remedy="give one position for each pattern",
        )
    return ways[0].astype(np.float64)
