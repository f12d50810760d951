"""Publishes a group of a run's store in one step, unless the same one exists already."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from fly64dask.base import software_versions, utc_now
from fly64dask.store import (
    GroupAttributes,
    RunLayout,
    open_group,
    published_directory,
    retire_directory,
    write_parent_groups,
)


class GroupOrigin(TypedDict):
    """When, with which software and from what a group was made."""

    created_at: str
    software: dict[str, str]
    source_digest: str


def group_origin(source_digest: str) -> GroupOrigin:
    """Make the origin of a group that is made now, with this software, from inputs of that digest."""
    return {"created_at": utc_now(), "software": software_versions(), "source_digest": source_digest}


def publish_group(
    target: Path, model: type[GroupAttributes], source_digest: str, layout: RunLayout, build: Callable[[Path], None]
) -> None:
    """Build a group of a run's store aside and rename it into place; it replaces one made from other settings.

    An existing group stays if the digest of all that determines its content is the same. `build` writes into an empty
    directory.
    """
    if target.exists():
        if open_group(target, model).attributes.source_digest == source_digest:
            write_parent_groups(target, store=layout.store, scratch=layout.scratch)
            return
        stale = layout.scratch / f"stale-{uuid.uuid4().hex}"
        retire_directory(target, to=stale)
        shutil.rmtree(stale)
    with published_directory(target, scratch=layout.scratch) as directory:
        build(directory)
        write_parent_groups(target, store=layout.store, scratch=layout.scratch)
