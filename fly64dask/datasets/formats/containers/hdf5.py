"""HDF5 files, opened so that no link leads out of the file's directory, no filter is missing and no code runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import hdf5plugin  # noqa: F401 - registers the filters of detectors with HDF5
import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.containers.damage import listed, refuse_beyond_memory
from fly64dask.datasets.formats.containers.named_arrays import reading
from fly64dask.datasets.formats.containers.storage import MAX_LINKS, beside, check_storage
from fly64dask.datasets.formats.patterns import JoinedPatterns, OrientedPatterns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.datasets.formats.patterns import Patterns

MATLAB_MARK = b"MATLAB 7.3 MAT-file"
# How MATLAB, and libraries without complex numbers, name the parts of one.
COMPLEX_NAMES = (("real", "imag"), ("r", "i"))


class Hdf5File:
    """An HDF5 file of named arrays.

    Parameters
    ----------
    path : Path
        The file. MATLAB 7.3 files are known by their first bytes: their axes are given in MATLAB's order.
    allow_links : bool
        Whether links may lead to files outside the directory of the file that holds them.
    """

    kind = "HDF5 file"

    def __init__(self, path: Path, *, allow_links: bool) -> None:
        self.path = path
        self._allow_links = allow_links
        self._files: dict[Path, h5py.File] = {}
        with path.open("rb") as stream:
            self.is_matlab = stream.read(len(MATLAB_MARK)) == MATLAB_MARK
        self._top = self._opened(path, f"read {path}")

    def names(self) -> list[str]:
        """List the arrays and groups at the top."""
        return self.members("")

    def members(self, name: str) -> list[str]:
        """List what a group holds; nothing if it is none."""
        node = self._find(name)
        return [str(member) for member in node] if isinstance(node, h5py.Group) else []

    def __contains__(self, name: str) -> bool:
        """Whether there is an array or group of this name, links followed."""
        return self._find(name) is not None

    def shape(self, name: str) -> tuple[int, ...]:
        """Tell the shape of an array without reading it."""
        shape = tuple(self._dataset(name).shape or ())
        return shape[::-1] if self.is_matlab else shape

    def take(self, name: str) -> NDArray[np.number]:
        """Read one array that fits in memory."""
        dataset = self._dataset(name)
        what = f"read {self.path}: dataset {name!r}"
        if dataset.size is None:
            raise InputError(f"{what} is empty", remedy="check that the file is complete")
        refuse_beyond_memory(what, dataset.size * dataset.dtype.itemsize)
        with reading(what):
            array = np.asarray(dataset[()])
        if array.dtype.names in COMPLEX_NAMES:
            real, imag = (array[part] for part in array.dtype.names)
            array = np.asarray(real + 1j * imag)
        return array.T if self.is_matlab else array

    def patterns(self, name: str) -> Patterns:
        """Open a dataset of three axes or more, or all such datasets of a group in the order of their numbers."""
        node = self._find(name)
        if isinstance(node, h5py.Group):
            inside = sorted(self.members(name), key=lambda member: [int(part) for part in re.findall(r"\d+", member)])
            paths = [
                f"{name}/{member}" for member in inside if isinstance(self._find(f"{name}/{member}"), h5py.Dataset)
            ]
            if not paths:
                raise InputError(f"read {self.path}: group {name!r} holds no dataset", remedy="name a dataset")
            return JoinedPatterns([self.patterns(path) for path in paths])
        dataset = self._dataset(name)
        what = f"read {self.path}: dataset {name!r}"
        if len(dataset.shape or ()) < 3 or not dataset.size or dataset.dtype.kind not in "uif":
            raise InputError(
                f"{what} is {dataset.dtype} of {dataset.shape}, needed real numbers of (n, H, W)",
                remedy="name the dataset that holds one pattern for each exposure",
            )
        # MATLAB stores the first axis last, so that its (H, W, n) lies as (n, W, H).
        stored = DatasetPatterns(dataset, what)
        return OrientedPatterns(stored, transpose=True) if self.is_matlab else stored

    def attribute(self, name: str, key: str) -> Any:
        """Read an attribute of an array or group, '' the top; None if there is none."""
        node = self._find(name)
        if node is None:
            return None
        with reading(f"read {self.path}: attribute {key!r} of {name!r}"):
            value = node.attrs.get(key)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        if isinstance(value, h5py.Empty):
            return None
        return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value

    def _dataset(self, name: str) -> h5py.Dataset:
        node = self._find(name)
        if not isinstance(node, h5py.Dataset):
            what = "no dataset" if node is None else "a group, not a dataset,"
            raise InputError(
                f"read {self.path}: {what} {name!r}; found {listed(self.names())}",
                remedy="check the name, or the format",
            )
        return node

    def _find(self, name: str) -> h5py.Group | h5py.Dataset | None:
        with reading(f"read {self.path}: {name!r}"):
            node = self._follow(self._top, name, depth=0)
            if isinstance(node, h5py.Dataset):
                check_storage(node, self._opened, allow_links=self._allow_links, asked_file=self.path)
        return node

    def _follow(self, start: h5py.Group, name: str, *, depth: int) -> h5py.Group | h5py.Dataset | None:
        """Find an object step by step; HDF5 itself would follow links to any file."""
        if depth > MAX_LINKS:
            raise InputError(f"read {self.path}: more than {MAX_LINKS} links to {name!r}", remedy="check the links")
        place = start.file["/"] if name.startswith("/") else start
        for part in name.strip("/").split("/"):
            if not part or part == ".":
                continue
            link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
            if link is None:
                return None
            if isinstance(link, h5py.ExternalLink):
                target = beside(Path(place.file.filename), link.filename, allow=self._allow_links, asked=self.path)
                inside = self._follow(
                    self._opened(target, f"read {self.path}: link {part!r}"), link.path, depth=depth + 1
                )
                if inside is None:
                    raise InputError(
                        f"read {self.path}: {part!r} is a link to {link.path!r} in {target}, which has no such name",
                        remedy="copy the scan with all its files",
                    )
                place = inside
            elif isinstance(link, h5py.SoftLink):
                place = self._follow(place, link.path, depth=depth + 1)
                if place is None:
                    return None
            else:
                place = place[part]
        return place

    def _opened(self, path: Path, what: str) -> h5py.Group:
        with reading(what):
            if path not in self._files:
                # Behind a symbolic link HDF5 would look for the parts of a virtual dataset in another place than we.
                self._files[path] = h5py.File(path.resolve(), "r")
            return self._files[path]["/"]


class DatasetPatterns:
    """Patterns in an HDF5 dataset, of which a block is read at a time; the axes before the last two are joined."""

    def __init__(self, dataset: h5py.Dataset, what: str) -> None:
        self._dataset = dataset
        self._what = what
        *self._leading, height, width = dataset.shape
        self.shape = (int(np.prod(self._leading)), int(height), int(width))
        self.dtype: np.dtype[Any] = dataset.dtype

    def read(self, start: int, stop: int) -> NDArray[np.number]:
        """Read exposures [start, stop)."""
        with reading(f"{self._what}, exposures {start} to {stop}"):
            if len(self._leading) == 1:
                return np.asarray(self._dataset[start:stop])
            return np.concatenate([self._dataset[place] for place in self._rows(start, min(stop, self.shape[0]))])

    def _rows(self, start: int, stop: int) -> list[tuple[Any, ...]]:
        """Split a range of exposures into ranges along the last of the leading axes."""
        length = self._leading[-1]
        places = []
        while start < stop:
            *outer, at = np.unravel_index(start, self._leading)
            until = min(length, at + stop - start)
            places.append((*(int(index) for index in outer), slice(int(at), int(until))))
            start += until - at
        return places
