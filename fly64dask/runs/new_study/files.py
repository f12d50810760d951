"""Writes a new study file, which is checked before and replaces no other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from fly64dask.base import InputError
from fly64dask.datasets import read_inputs
from fly64dask.runs.new_study.proposal import propose
from fly64dask.runs.new_study.template_files import TEMPLATES, template_text
from fly64dask.runs.new_study.text import study_text
from fly64dask.store import storing
from fly64dask.study import BaselineView, MeasuredSource, Study, absolute_source, parse_study


def new_study(path: str | os.PathLike[str], template: str = "demo") -> Study:
    """Write a study file from a template.

    Parameters
    ----------
    path : str or path
        The file to make. The study is named after it.
    template : str
        One of `TEMPLATES`.

    Returns
    -------
    Study
        What the file says.

    Raises
    ------
    InputError
        If there is no such template, or the file exists already.
    """
    path = Path(path)
    if template not in TEMPLATES:
        raise InputError(f"new {path}: no template {template!r}", remedy=f"give one of {', '.join(TEMPLATES)}")
    named = re.sub(r'(?m)^name = "\w+"', f'name = "{_study_name(path)}"', template_text(template), count=1)
    return _write(path, named)


def new_study_of_scan(path: str | os.PathLike[str], store: str | os.PathLike[str], about: Iterable[str] = ()) -> Study:
    """Write a study file for a measured scan, with doses, views, split and batch size computed from it.

    Parameters
    ----------
    path : str or path
        The file to make. The study is named after it.
    store : str or path
        A scan as `fly64dask ingest` stores it.
    about : iterable of str
        Lines for the head of the file.

    Returns
    -------
    Study
        What the file says.

    Raises
    ------
    InputError
        If there is no such scan, nothing of it can be reconstructed, or the file exists already.
    """
    path, store = Path(path), Path(os.path.realpath(store))
    if store.is_file():
        raise InputError(
            f"new {path}: {store} is a file, needed is a scan that has been ingested",
            remedy=f"first `fly64dask ingest {store.name} --out {store.stem}.zarr`, then --scan {store.stem}.zarr",
        )
    baseline = BaselineView(name="baseline", rule="baseline")
    source = MeasuredSource(kind="measured", path=str(store))
    of_scan = Study(
        schema_version=1,
        name=_study_name(path),
        doses_photons=("measured",),
        source=source,
        views=(baseline,),
        split="none",
    )
    inputs = read_inputs(of_scan)
    assert inputs.own_dose_photons is not None, "measured"
    folder = Path(os.path.realpath(path.parent))
    from_file = store.relative_to(folder) if store.is_relative_to(folder) else store
    return _write(path, study_text(of_scan.name, str(from_file), about, inputs.own_dose_photons, propose(inputs)))


def _study_name(path: Path) -> str:
    """Make the name of a study from that of its file: small letters, digits, - and _, and a letter first."""
    name = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-")
    return (name if re.match("[a-z]", name) else f"study-{name}".strip("-"))[:64]


def _write(path: Path, text: str) -> Study:
    """Check a study's text and write it to a file that is not there yet."""
    study = absolute_source(parse_study(text, origin=str(path)), path.parent)
    with storing(path):
        try:
            with path.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError as error:
            raise InputError(f"new {path}: it exists", remedy="give another name, or delete it first") from error
    return study
