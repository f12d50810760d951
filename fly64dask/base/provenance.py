"""Versions, commit and host of an installation, as they are stored with each result."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import socket
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from fly64dask.base.version import EDITIONS, __version__

NOT_INSTALLED = "not installed"
FIRST_EDITION = "1"
PACKAGES = ("ptychi", "torch", "zarr", "dask", "distributed", "numpy", "scipy")


@functools.cache
def installed_version(package: str) -> str | None:
    """Read the version of a package from its installed metadata, without importing it; None if it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def software_versions() -> dict[str, str]:
    """Read the versions of all software that can change a number, without importing it.

    The version of this package is that of the code that runs, as the installed metadata of a checkout may be older.
    """
    versions = {"python": platform.python_version(), "fly64dask": __version__}
    versions |= {part: str(edition) for part, edition in EDITIONS.items()}
    for package in PACKAGES:
        versions[package] = installed_version(package) or NOT_INSTALLED
    commit = source_commit()
    return versions | ({"commit": commit} if commit else {})


def edition_of(versions: Mapping[str, str], part: str) -> str:
    """Read the edition of a part of this package that a record names; of one that names none it is the first."""
    return versions.get(part, FIRST_EDITION)


def is_of_edition(versions: Mapping[str, str] | None, part: str) -> bool:
    """Whether a record's numbers are by the edition of a part of this package that runs here."""
    return edition_of(versions or {}, part) == str(EDITIONS[part])


def source_commit() -> str | None:
    """Read the Git commit of the checkout that the package runs from, `+changes` if it differs; None outside one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--", "fly64dask"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}+changes" if changes else head


def host_name() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


def utc_now() -> str:
    """Return the time now, ISO 8601 in UTC with microseconds."""
    return datetime.now(UTC).isoformat()
