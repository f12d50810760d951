"""The versions of pty-chi whose inner functions are known to do what this package takes their places for."""

from __future__ import annotations

from fly64dask.base import installed_version

TESTED_VERSIONS = frozenset({"2.2.0"})
REMEDY = f"install pty-chi {' or '.join(sorted(TESTED_VERSIONS))}"


def untested(what: str) -> str | None:
    """Say that the installed pty-chi is not one of the versions that something is tested with; None if it is."""
    installed = installed_version("ptychi")
    if installed in TESTED_VERSIONS:
        return None
    return f"pty-chi {installed} is installed, {what} are tested with {', '.join(sorted(TESTED_VERSIONS))}"
