"""Opens a file of named arrays by its content."""

from __future__ import annotations

from pathlib import Path

from fly64dask.datasets.formats.containers.content import Kind
from fly64dask.datasets.formats.containers.named_arrays import NamedArrays
from fly64dask.datasets.formats.containers.npz import NpzFile


def open_arrays(path: Path, kind: Kind, *, allow_links: bool = False, allow_pickle: bool = False) -> NamedArrays | None:
    """Open a file of a kind (`kind_of`); None if that kind has no named arrays.

    Raises InputError if it is damaged.
    """
    if kind == "hdf5":
        # h5py and its filters take a tenth of a second to load.
        from fly64dask.datasets.formats.containers.hdf5 import Hdf5File

        return Hdf5File(path, allow_links=allow_links)
    if kind == "npz":
        return NpzFile(path, allow_pickle=allow_pickle)
    if kind == "matlab":
        from fly64dask.datasets.formats.containers.matlab import MatlabFile

        return MatlabFile(path)
    return None
