"""Reads a study file; the one module of this package that looks at a disk."""

from __future__ import annotations

import os
from pathlib import Path

from fly64dask.base import InputError
from fly64dask.study.model import Study
from fly64dask.study.parsing import parse_study
from fly64dask.study.reference import FileReference


def load_study(path: str | os.PathLike[str]) -> Study:
    """Read a study from a TOML file in UTF-8; a relative path of its source starts at the file's own directory."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"read study {path}: {error}", remedy="give a TOML file in UTF-8") from error
    return absolute_source(parse_study(text, origin=str(path)), path.parent)


def absolute_source(study: Study, directory: Path) -> Study:
    """Make the paths in a study's source and reference absolute, as workers have other working directories.

    Parameters
    ----------
    study : Study
        The study.
    directory : Path
        Where a relative path starts.

    Returns
    -------
    Study
        The same study if its source names no file.
    """
    source = study.source
    changes: dict[str, object] = {}
    if source.kind != "synthetic":
        changes["path"] = os.path.realpath(directory / source.path)
    if source.kind != "measured" and source.scan.kind == "file":
        path = os.path.realpath(directory / source.scan.path)
        changes["scan"] = source.scan.model_copy(update={"path": path})
    absolute: dict[str, object] = {"source": source.model_copy(update=changes)}
    if isinstance(study.reference, FileReference):
        path = os.path.realpath(directory / study.reference.path)
        absolute["reference"] = study.reference.model_copy(update={"path": path})
    return study.model_copy(update=absolute)
