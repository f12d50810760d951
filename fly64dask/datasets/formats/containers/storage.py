"""Checks where the bytes of an HDF5 dataset are: refuses missing filters, and files that are missing or elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py

from fly64dask.base import InputError

MAX_LINKS = 16
# Registered filters of HDF5 that detectors and archives use (the HDF Group's list).
FILTERS = {
    305: "LZO",
    307: "bzip2",
    32000: "LZF",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32017: "SZ",
    32026: "Blosc2",
}


def check_storage(
    dataset: h5py.Dataset,
    opened: Callable[[Path, str], h5py.Group],
    *,
    allow_links: bool,
    asked_file: Path,
    depth: int = 0,
) -> None:
    """Refuse a dataset whose values HDF5 cannot unpack, would fetch from elsewhere, or would replace by zeros.

    Parameters
    ----------
    dataset : h5py.Dataset
        The dataset to be read.
    opened : callable
        Opens another HDF5 file.
    allow_links : bool
        Whether other files may lie outside the directory of the one that names them.
    asked_file : Path
        The file that a person gave, for messages.
    depth : int
        Number of virtual datasets that led here.

    Raises
    ------
    InputError
        If a filter is missing, the values lie in a raw file, or a source of a virtual dataset is missing: HDF5 would
        give zeros for it.
    """
    what = f"read {asked_file}: dataset {dataset.name!r}"
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    missing = [_named(code, name) for code, _, _, name in filters if not h5py.h5z.filter_avail(code)]
    if missing:
        raise InputError(
            f"{what} is compressed with {', '.join(missing)}, which is not installed here",
            remedy="install the HDF5 filter, or write the file again with another compression (h5repack -f GZIP=4)",
        )
    if dataset.external:
        raise InputError(
            f"{what} has its values in the raw file {dataset.external[0][0]!r}",
            remedy="write them into one HDF5 file, for example with h5repack",
        )
    if not dataset.is_virtual:
        return
    if depth > MAX_LINKS:
        raise InputError(f"{what}: more than {MAX_LINKS} virtual datasets in one another", remedy="check the file")
    own = Path(dataset.file.filename)
    for source in dataset.virtual_sources():
        # HDF5 fills in numbers for %b, so such a list of files has no end that could be checked.
        path = own if source.file_name == "." else beside(own, source.file_name, allow=allow_links, asked=asked_file)
        inner = None if "%" in source.file_name else opened(path, what).get(source.dset_name)
        if not isinstance(inner, h5py.Dataset):
            raise InputError(
                f"{what} is put together from {source.dset_name!r} in {path}, which has no such dataset",
                remedy="copy the scan with all its files",
            )
        check_storage(inner, opened, allow_links=allow_links, asked_file=asked_file, depth=depth + 1)


def beside(holder: Path, name: str, *, allow: bool, asked: Path) -> Path:
    """Find the file that a link names: beside the file that holds the link, as HDF5 looks for it.

    Raises InputError if it is missing, or lies outside that directory and `allow` is not set.
    """
    directory = holder.resolve().parent
    target = directory / name
    # A copied scan still has the path where it was made; HDF5 then tries the name alone as well.
    if not target.is_file() and (directory / Path(name).name).is_file():
        target = directory / Path(name).name
    if not (allow or target.resolve().is_relative_to(directory)):
        raise InputError(
            f"read {asked}: it has a link to {name}, outside the directory {directory}",
            remedy="copy that file beside it, or give --allow-links if you trust the file",
        )
    if not target.is_file():
        raise InputError(
            f"read {asked}: it has a link to {name}, and there is no such file in {directory}",
            remedy="copy the scan with all its files",
        )
    return target


def _named(code: int, name: bytes) -> str:
    return f"{FILTERS.get(code) or name.decode('utf-8', errors='replace').split(';')[0] or 'a filter'} (filter {code})"
