"""Zarr metadata of the directories above a run's groups, so that other programs can open the whole store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from fly64dask.store.atomic import publish_bytes
from fly64dask.store.zarr_format import METADATA_NAME

# A group without attributes in Zarr's format 3; the same bytes everywhere, so any number of writers agree.
PARENT_METADATA = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}, indent=2).encode()


def write_parent_groups(group: Path, *, store: Path, scratch: Path) -> None:
    """Make each directory from a store down to a group's parent a Zarr group without attributes.

    Parameters
    ----------
    group : Path
        Directory of a group, there already or about to be published.
    store : Path
        The store that holds it.
    scratch : Path
        Directory on the same file system for files in progress; none appear in the store.

    Raises
    ------
    StorageError
        If the file system has no room or gives no right.
    """
    for path in damaged_parents(group, store=store):
        publish_bytes(path, lambda stream: stream.write(PARENT_METADATA), scratch=scratch)


def damaged_parents(group: Path, *, store: Path) -> Iterator[Path]:
    """Find the metadata files from a store down to a group's parent that are missing or altered.

    Parameters
    ----------
    group : Path
        Directory of a group.
    store : Path
        The store that holds it.

    Yields
    ------
    Path
        A `zarr.json`, the store's own first.
    """
    for folder in reversed(group.parents):
        if folder.is_relative_to(store):
            path = folder / METADATA_NAME
            if not path.is_file() or path.read_bytes() != PARENT_METADATA:
                yield path
