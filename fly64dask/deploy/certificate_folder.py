"""Removes a run's certificates, without loading Dask or cryptography."""

from __future__ import annotations

import shutil
from pathlib import Path


def remove_certificates(directory: Path) -> None:
    """Remove published certificates, or what a killed run left of them; nothing if there are none."""
    if directory.is_dir() and not directory.is_symlink():
        shutil.rmtree(directory)
    else:
        directory.unlink(missing_ok=True)
