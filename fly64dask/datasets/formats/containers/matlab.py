"""MATLAB 5 files, of which scipy reads one variable at a time; nothing in them is run."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.containers.damage import listed, refuse_beyond_memory
from fly64dask.datasets.formats.containers.named_arrays import reading
from fly64dask.datasets.formats.patterns import ArrayPatterns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.datasets.formats.patterns import Patterns

COMPLEX_BYTES = 16  # the largest number that MATLAB stores


class MatlabFile:
    """A MATLAB 5 file of named arrays; members of a structure are named with a / after it."""

    kind = "MATLAB 5 file"

    def __init__(self, path: Path) -> None:
        from scipy.io import whosmat

        self.path = path
        with reading(f"read {path}"), warnings.catch_warnings(action="ignore"):
            self._shapes = {name: tuple(shape) for name, shape, _ in _of_matlab(whosmat, path)}
        self._read: dict[str, Any] = {}

    def names(self) -> list[str]:
        """List the variables."""
        return list(self._shapes)

    def members(self, name: str) -> list[str]:
        """List the members of a structure; nothing if it is none."""
        if not name:
            return self.names()
        found = self._find(name)
        return list(found.dtype.names or ()) if isinstance(found, np.ndarray) else []

    def __contains__(self, name: str) -> bool:
        """Whether there is a variable, or a member of a structure, of this name."""
        return self._find(name) is not None

    def shape(self, name: str) -> tuple[int, ...]:
        """Tell the shape of an array."""
        return self._shapes[name] if name in self._shapes else self.take(name).shape

    def take(self, name: str) -> NDArray[Any]:
        """Read one array."""
        found = self._find(name)
        if not isinstance(found, np.ndarray):
            raise InputError(
                f"read {self.path}: no variable {name!r}, found {listed(self.names())}",
                remedy="add it, or check the format",
            )
        return found

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

    def _find(self, name: str) -> Any:
        first, *inner = name.strip("/").split("/")
        if first not in self._shapes:
            return None
        if first not in self._read:
            from scipy.io import loadmat

            what = f"read {self.path}: variable {first!r}"
            refuse_beyond_memory(what, math.prod(self._shapes[first]) * COMPLEX_BYTES)
            with reading(what), warnings.catch_warnings(action="ignore"):
                self._read[first] = _of_matlab(loadmat, self.path, variable_names=[first])[first]
        found = self._read[first]
        for part in inner:
            if not isinstance(found, np.ndarray) or found.size != 1 or part not in (found.dtype.names or ()):
                return None
            found = found.reshape(-1)[0][part]
        return found


def _of_matlab(read: Any, path: Path, **options: Any) -> Any:
    """Call a reader of scipy, whose own error class is none of Python's."""
    from scipy.io.matlab import MatReadError

    try:
        return read(path, **options)
    except MatReadError as error:
        raise ValueError(str(error)) from error
