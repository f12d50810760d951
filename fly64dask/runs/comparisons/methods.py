"""Readers of the objects that methods made of a run's cells: one file for each cell in a directory, or another run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fly64dask.base import InputError
from fly64dask.datasets.formats import ForeignObject, find_object, read_object
from fly64dask.records import read_record, read_run_study
from fly64dask.runs.comparisons.comparison import OURS
from fly64dask.store import ReconstructionAttributes, RunLayout, ScanAttributes, TruthAttributes, open_group
from fly64dask.study import Cell

# Reads the object that a method made of a cell.
ObjectReader = Callable[[Cell], ForeignObject]


def reader_of_method(name: str, path: Path, layout: RunLayout, object_seeds: Sequence[int | None]) -> ObjectReader:
    """Read what a method made of a run's cells; InputError if its path is of no use."""
    if name == OURS:
        raise InputError(
            f"compare: found a method named {OURS!r}, which is the name of the run itself", remedy="choose another name"
        )
    if not path.is_dir():
        raise InputError(
            f"compare: method {name!r} at {path} is no directory", remedy="give one file a cell, in a folder"
        )
    other = RunLayout(path)
    if not other.study_file.exists():
        return lambda cell: read_object(find_object(path, cell.name.replace("/", "-")))
    return _reader_of_other_run(name, other, layout, object_seeds)


def _reader_of_other_run(
    name: str, other: RunLayout, layout: RunLayout, object_seeds: Sequence[int | None]
) -> ObjectReader:
    """Read the cells of another run of the same objects: of recipe and setup of the same names, or of its only ones."""
    study, read = read_run_study(other), reader_of_run(other)
    theirs = {sha256: seed for seed in study.object_seeds for sha256 in _object_sha256(other, seed)}
    ours = {seed: sha256 for seed in object_seeds for sha256 in _object_sha256(layout, seed)}
    if not set(ours.values()) <= theirs.keys():
        raise InputError(
            f"compare: method {name!r} at {other.root} is a run of another object or scan than {layout.root}",
            remedy="compare runs whose studies have the same source",
        )

    def read_counterpart(cell: Cell) -> ForeignObject:
        names = {"recipe": (cell.recipe_name, study.recipe_names), "setup": (cell.setup_name, study.setup_names)}
        for axis, (name, names_of_axis) in names.items():
            if name not in names_of_axis and len(names_of_axis) > 1:
                raise InputError(
                    f"{cell.name} of {layout.root}: {other.root} has {axis}s {', '.join(map(str, names_of_axis))}",
                    remedy=f"compare with a run of one {axis}, or of one with the same name",
                )
        recipe_name, setup_name = (
            name if name in names_of_axis else names_of_axis[0] for name, names_of_axis in names.values()
        )
        object_seed = theirs[ours[cell.object_seed]]
        return read(replace(cell, recipe_name=recipe_name, object_seed=object_seed, setup_name=setup_name))

    return read_counterpart


def _object_sha256(layout: RunLayout, object_seed: int | None) -> list[str]:
    """A digest of what tells a run's object: the true one's, or of a measured scan the positions'; none without any."""
    truth, scan = layout.truth_group(object_seed), layout.scan_group(object_seed)
    if truth.exists():
        return [open_group(truth, TruthAttributes).array_sha256["object_truth"]]
    return [open_group(scan, ScanAttributes).array_sha256["positions_px"]] if scan.exists() else []


def reader_of_run(layout: RunLayout) -> ObjectReader:
    """Read the objects of a run's own cells."""

    def read(cell: Cell) -> ForeignObject:
        record = read_record(layout, cell)
        if record is None or record.state != "completed":
            state = "not committed" if record is None else f"{record.state}: {record.failure_kind}"
            raise InputError(f"{cell.name} of {layout.root} is {state}", remedy="run it, or leave the cell out")
        group = open_group(layout.reconstruction_group(cell), ReconstructionAttributes)
        return ForeignObject(image=group.read("object_recon")[0], origin_px=group.attributes.object_origin_px)

    return read
