"""Open a group as an xarray dataset whose values are read, and checked, when they are computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.store.group_reader import StoredArray, open_array, read_checked_attributes

if TYPE_CHECKING:
    import dask.array
    import xarray
    from numpy.typing import NDArray


def open_dataset(path: Path) -> xarray.Dataset:
    """Open a group of a run, or an ingested store, as a dataset that reads its values when they are asked for.

    Parameters
    ----------
    path : Path
        Directory of the group.

    Returns
    -------
    xarray.Dataset
        One variable for each array, as Dask arrays in the chunks of the store: a block that is
        missing or altered raises `IntegrityError` when it is computed. Coordinates of dimensions
        are in memory. `attrs` are the group's attributes, and `units` and `long_name` of each array.

    Raises
    ------
    IntegrityError
        If there is no such group, or its attributes, metadata or coordinates are not those that
        were written.
    """
    import xarray

    attributes, array_sha256 = read_checked_attributes(path, f"open {path}")
    variables = {}
    for name, sha256 in array_sha256.items():
        stored = open_array(path.absolute() / name, sha256=sha256)
        is_coordinate = stored.facts.dims == (name,)
        values = stored.read() if is_coordinate else _lazy(stored, sha256)
        variables[name] = xarray.Variable(
            stored.facts.dims, values, {"units": stored.facts.units, "long_name": stored.facts.long_name}
        )
    return xarray.Dataset(variables, attrs=attributes)


def _lazy(stored: StoredArray, sha256: str) -> dask.array.Array:
    import dask.array

    length, whole = stored.facts.chunks[0], stored.facts.shape
    starts = range(0, max(whole[0], 1), length)
    return dask.array.map_blocks(
        _read_block,
        stored,
        chunks=(tuple(min(length, whole[0] - start) for start in starts), *((size,) for size in whole[1:])),
        dtype=stored.facts.dtype,
        meta=np.empty((0,) * len(whole), dtype=stored.facts.dtype),
        name=f"{stored.directory.name}-{sha256}",
    )


def _read_block(stored: StoredArray, block_id: tuple[int, ...]) -> NDArray[Any]:
    """Read one block along the first axis."""
    start = block_id[0] * stored.facts.chunks[0]
    return stored.read(np.arange(start, min(start + stored.facts.chunks[0], stored.facts.shape[0])))
