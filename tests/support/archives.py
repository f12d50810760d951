"""Zip archives of Zarr groups, changed as damage would change them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path


def change_member(path: Path, key: str, change: Callable[[bytes], bytes | None]) -> None:
    """Write an archive anew with one member changed, or left out if the change is None; its checksums are right."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    changed = change(members.pop(key))
    path.unlink()  # it may be a link to a file that others read
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items() if changed is None else (members | {key: changed}).items():
            archive.writestr(member, content)


def remove_member(path: Path, key: str) -> None:
    """Write an archive anew without one member."""
    change_member(path, key, lambda content: None)
