"""Open a group as an xarray dataset whose values are read, and checked, when they are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.store.groups.reader import StoredArray, opened_array, read_checked_attributes

if TYPE_CHECKING:
    import dask.array
    import xarray
    from numpy.typing import NDArray


def open_dataset(path: Path) -> xarray.Dataset:
    """Open a group of a run, or an ingested store, as a dataset that reads its values when they are asked for.

    Parameters
    ----------
    path : Path
        The group: a directory, or a zip archive.

    Returns
    -------
    xarray.Dataset
        One variable for each array, as Dask arrays in the chunks of the store: a block that is
        missing or altered raises `IntegrityError` when it is computed. Coordinates of dimensions
        are in memory. `attrs` are the group's attributes, and `units` and `long_name` of each array. Where the group
        says the size of a pixel, lengths in px have a second coordinate in nm: `y_nm`, `x_nm`, `positions_nm`.

    Raises
    ------
    IntegrityError
        If there is no such group, or its attributes, metadata or coordinates are not those that
        were written.
    """
    import xarray

    attributes = read_checked_attributes(path, f"open {path}")
    array_sha256, metadata_sha256 = attributes.pop("array_sha256"), attributes.pop("metadata_sha256")
    variables = {}
    for name, sha256 in array_sha256.items():
        with opened_array(path.absolute(), name, metadata_sha256=metadata_sha256[name]) as stored:
            is_coordinate = stored.dims == (name,)
            values = stored.read() if is_coordinate else _lazy(stored, sha256, metadata_sha256[name])
            about = {key: stored.array.attrs[key] for key in ("units", "long_name")}
            variables[name] = xarray.Variable(stored.dims, values, about)
    sides_nm = attributes.get("pixel_size_nm")
    if isinstance(sides_nm, float):  # as stores had it that know of square pixels alone
        sides_nm = [sides_nm, sides_nm]
    return xarray.Dataset(variables, coords=_in_nm(variables, sides_nm) if sides_nm else {}, attrs=attributes)


def _in_nm(variables: Mapping[str, xarray.Variable], sides_nm: Sequence[float]) -> dict[str, xarray.Variable]:
    """Give coordinates in nm beside those of an object's pixels and of the positions, which are in px."""
    import xarray

    variables_nm = {}
    for axis, side_nm in zip(("y", "x"), sides_nm, strict=True):
        if axis in variables and variables[axis].attrs["units"] == "px":
            about = {"units": "nm", "long_name": variables[axis].attrs["long_name"]}
            variables_nm[f"{axis}_nm"] = xarray.Variable((axis,), variables[axis].values * side_nm, about)
    for name in {"positions_px", "positions_recon_px"} & set(variables):
        positions = variables[name]
        about = {"units": "nm", "long_name": positions.attrs["long_name"]}
        in_nm = positions.data * np.asarray(sides_nm)
        variables_nm[f"{name.removesuffix('px')}nm"] = xarray.Variable(positions.dims, in_nm, about)
    return variables_nm


def _lazy(stored: StoredArray, sha256: str, metadata_sha256: str) -> dask.array.Array:
    import dask.array

    (n_rows, *rest), length = stored.array.shape, stored.array.chunks[0]
    lengths = tuple(min(length, n_rows - start) for start in range(0, max(n_rows, 1), length))
    return dask.array.map_blocks(
        _read_block,
        stored.path,
        metadata_sha256,
        chunks=(lengths, *((size,) for size in rest)),
        dtype=stored.array.dtype,
        meta=np.empty((0,) * stored.array.ndim, dtype=stored.array.dtype),
        name=f"{stored.path.name}-{sha256}",
    )


def _read_block(path: Path, metadata_sha256: str, block_id: tuple[int, ...]) -> NDArray[np.generic]:
    """Read one block of an array along its first axis, on whichever worker computes it."""
    with opened_array(path.parent, path.name, metadata_sha256=metadata_sha256) as stored:
        start, length = block_id[0] * stored.array.chunks[0], stored.array.chunks[0]
        return stored.read(np.arange(start, min(start + length, stored.array.shape[0])))
