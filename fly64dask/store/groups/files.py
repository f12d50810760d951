"""Read and write the files of one Zarr group, which lie in a directory or are members of one zip archive."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# What `zipfile` raises on bytes that are no archive, or one that was altered.
_UNREADABLE = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)
# Every member has the first moment that an archive can state: the same arrays give the same bytes.
_MEMBER_DATE = (1980, 1, 1, 0, 0, 0)


class GroupFiles(Protocol):
    """The files of one group, by their keys: `zarr.json`, `counts/zarr.json`, `counts/c.0.0.0`."""

    def read(self, key: str) -> bytes:
        """Read a file; raises FileNotFoundError if there is none, another OSError if it cannot be read."""
        ...


class NewGroupFiles(Protocol):
    """The files of one group that is being written: each is written once, the group's own `zarr.json` last."""

    def write(self, key: str, content: bytes) -> None:
        """Write a file."""
        ...


@dataclass(frozen=True, slots=True)
class DirectoryFiles:
    """Files in a directory."""

    path: Path

    def read(self, key: str) -> bytes:
        """Read a file of the directory."""
        return (self.path / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        """Write a file of the directory, which need not survive a power cut until the directory is published."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@dataclass(frozen=True, slots=True)
class ArchiveFiles:
    """Members of an open zip archive; none is compressed, as Zarr's chunks are."""

    archive: zipfile.ZipFile

    def read(self, key: str) -> bytes:
        """Read a member and check its CRC-32."""
        try:
            return self.archive.read(key)
        except KeyError as error:
            raise FileNotFoundError(f"the archive has no member {key}") from error
        except _UNREADABLE as error:
            raise OSError(f"member {key} cannot be read ({type(error).__name__}: {error})") from error

    def write(self, key: str, content: bytes) -> None:
        """Append a member."""
        member = zipfile.ZipInfo(key, date_time=_MEMBER_DATE)
        member.external_attr = 0o644 << 16
        member.create_system = 3  # Unix, on every system
        self.archive.writestr(member, content)


@contextmanager
def opened_group_files(path: Path) -> Iterator[GroupFiles]:
    """Open the files of a group at a path, a directory or a zip archive; raises OSError if it cannot be opened."""
    if not path.is_file():
        yield DirectoryFiles(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise OSError(f"no readable zip archive ({type(error).__name__}: {error})") from error
    with archive:
        yield ArchiveFiles(archive)


@contextmanager
def new_archive_files(path: Path) -> Iterator[NewGroupFiles]:
    """Write the files of a group as members of a new zip archive, which is whole when the block ends well."""
    with zipfile.ZipFile(path, "w") as archive:
        yield ArchiveFiles(archive)
