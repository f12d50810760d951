"""Zarr metadata of the directories above a run's groups, so that other programs can open the whole store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from fly64dask.store.atomic import publish_bytes
from fly64dask.store.groups.metadata import METADATA_NAME

# A group without attributes in Zarr's format 3; the same bytes everywhere, so any number of writers agree.
PARENT_METADATA = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}, indent=2).encode()


def write_parent_groups(group: Path, *, store: Path, scratch: Path) -> None:
    """Make each directory from a store down to a group's parent a Zarr group without attributes.

    The group is there already or about to be published. Files in progress are made in `scratch`, on the same file
    system: none appear in the store. Raises StorageError if the file system has no room or gives no right.
    """
    for path in damaged_parents(group, store=store):
        publish_bytes(path, lambda stream: stream.write(PARENT_METADATA), scratch=scratch)


def damaged_parents(group: Path, *, store: Path) -> Iterator[Path]:
    """Find the `zarr.json` files from a store down to a group's parent that are missing or altered, from the top."""
    for folder in reversed(group.parents):
        if folder.is_relative_to(store):
            path = folder / METADATA_NAME
            if not path.is_file() or path.read_bytes() != PARENT_METADATA:
                yield path
