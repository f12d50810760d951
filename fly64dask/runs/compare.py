"""Compares the reconstructions of other methods with a run's own: one alignment and the same metrics for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import Fly64Error, InputError, utc_now
from fly64dask.cells import open_inputs
from fly64dask.datasets import read_truth
from fly64dask.datasets.formats import ForeignObject, find_object, read_object
from fly64dask.metrics import Reference, align, measure_against, measure_as_original, reference_in_frame
from fly64dask.records import read_record, read_run_study
from fly64dask.runs.comparison import OURS, ComparedCell, Convention, MethodScore, RunComparison
from fly64dask.scan import crop_to_frame, object_frame
from fly64dask.store import ReconstructionAttributes, RunLayout, TruthAttributes, open_group
from fly64dask.study import Cell, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.simulation import Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonFrame:
    """What the objects of all methods for one cell are compared in: the truth in the cell's frame, and the area.

    `reference` is on the grid of the cell's own object, whose first pixel is the scan frame's `origin_px` (y, x);
    `positions_px` (k, 2), order (y, x), are the kept ones; `truth_shape_px` is that of the whole truth.
    """

    reference: Reference
    positions_px: NDArray[np.float64]
    origin_px: tuple[int, int]
    truth_shape_px: tuple[int, int]


# Reads the object that a method made of a cell.
ObjectReader = Callable[[Cell], ForeignObject]


def compare_run(
    study: Study,
    layout: RunLayout,
    methods: Mapping[str, Path],
    compared: Sequence[Cell],
    convention: Convention = "ours",
) -> RunComparison:
    """Align and measure the cells of every method beside the run's own.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    methods : mapping of str to Path
        By name: a directory with one file for each cell, or another run.
    compared : sequence of Cell
        Cells to compare.
    convention : "ours" or "original"
        Whose metrics: this package's, or the original study's.

    Returns
    -------
    RunComparison
        The metrics of each method for each cell, or the reason why there are none.

    Raises
    ------
    InputError
        If the study is measured, so that there is no truth, or the path of a method is no such directory, or a run of
        another object.
    """
    there_is_a_truth = any(layout.truth_group(seed).exists() for seed in study.object_seeds)
    if study.source.kind == "measured" or not there_is_a_truth:
        raise InputError(
            f"compare {layout.root}: metrics are against the truth, and a {study.source.kind} study's run holds none",
            remedy="compare runs of simulated studies that have begun",
        )
    truths = {seed: _truth_of(layout, seed) for seed in dict.fromkeys(cell.object_seed for cell in compared)}
    readers = {OURS: _reader_of_run(layout)}
    readers |= {name: _reader_of_method(name, path, layout, tuple(truths)) for name, path in methods.items()}
    rows = []
    for cell in compared:
        frame = _frame_of(study, layout, cell, truths[cell.object_seed])
        scores = tuple(_score(name, reader, cell, frame, convention) for name, reader in readers.items())
        rows.append(
            ComparedCell(
                **asdict(cell),
                n_kept=len(frame.positions_px) if isinstance(frame, ComparisonFrame) else None,
                scores=scores,
            )
        )
    return RunComparison(
        timestamp=utc_now(),
        study=study.name,
        convention=convention,
        methods={OURS: str(layout.root)} | {name: str(path) for name, path in methods.items()},
        cells=tuple(rows),
    )


def _reader_of_method(name: str, path: Path, layout: RunLayout, object_seeds: Sequence[int | None]) -> ObjectReader:
    if name == OURS:
        raise InputError(f"compare: a method named {OURS!r}, which is the run itself", remedy="choose another name")
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
    """Read the cells of another run of the same objects: of the recipe of the same name, or of its only one."""
    study, read = read_run_study(other), _reader_of_run(other)
    theirs = {sha256: seed for seed in study.object_seeds for sha256 in _truth_sha256(other, seed)}
    ours = {seed: sha256 for seed in object_seeds for sha256 in _truth_sha256(layout, seed)}
    if not set(ours.values()) <= theirs.keys():
        raise InputError(
            f"compare: method {name!r} at {other.root} is a run of another object than {layout.root}",
            remedy="compare runs whose studies have the same source",
        )

    def read_counterpart(cell: Cell) -> ForeignObject:
        names = study.recipe_names
        recipe_name = cell.recipe_name if cell.recipe_name in names else names[0]
        if recipe_name != cell.recipe_name and len(names) > 1:
            raise InputError(
                f"{cell.name} of {layout.root}: {other.root} has recipes {', '.join(map(str, names))}",
                remedy="compare with a run of one recipe, or of one with the same name",
            )
        object_seed = theirs[ours[cell.object_seed]]
        return read(replace(cell, recipe_name=recipe_name, object_seed=object_seed))

    return read_counterpart


def _truth_sha256(layout: RunLayout, object_seed: int | None) -> list[str]:
    """The digest of the true object of a run; none if it is not made yet."""
    group = layout.truth_group(object_seed)
    return [open_group(group, TruthAttributes).array_sha256["object_truth"]] if group.exists() else []


def _reader_of_run(layout: RunLayout) -> ObjectReader:
    def read(cell: Cell) -> ForeignObject:
        record = read_record(layout, cell)
        if record is None or record.state != "completed":
            state = "not committed" if record is None else f"{record.state}: {record.failure_kind}"
            raise InputError(f"{cell.name} of {layout.root} is {state}", remedy="run it, or leave the cell out")
        group = open_group(layout.reconstruction_group(cell), ReconstructionAttributes)
        return ForeignObject(image=group.read("object_recon")[0], origin_px=group.attributes.object_origin_px)

    return read


def _truth_of(layout: RunLayout, object_seed: int | None) -> Pair | Fly64Error:
    """Read the truth of an object; give the error if it cannot be read."""
    try:
        return read_truth(layout, object_seed)
    except Fly64Error as error:
        return error


def _frame_of(study: Study, layout: RunLayout, cell: Cell, truth: Pair | Fly64Error) -> ComparisonFrame | Fly64Error:
    """Put the truth into the frame of a cell; give the error if it or the cell's inputs cannot be read."""
    if isinstance(truth, Fly64Error):
        return truth
    try:
        record = read_record(layout, cell)
        inputs = open_inputs(study, layout, cell, record.remedy if record else None)
        positions = inputs.read_positions()
    except Fly64Error as error:
        return error
    shape, origin = object_frame(positions, (truth.probe.shape[-2], truth.probe.shape[-1]))
    return ComparisonFrame(
        reference=reference_in_frame(
            truth.object_truth, shape_px=shape, origin_px=origin, probe=truth.probe, positions_px=positions
        ),
        positions_px=positions,
        origin_px=origin,
        truth_shape_px=(truth.object_truth.shape[0], truth.object_truth.shape[1]),
    )


def _score(
    method: str, read: ObjectReader, cell: Cell, frame: ComparisonFrame | Fly64Error, convention: Convention
) -> MethodScore:
    try:
        if isinstance(frame, Fly64Error):
            raise frame
        image = _in_frame(read(cell), frame)
        if convention == "ours":
            return MethodScore(method=method, metrics=measure_against(frame.reference, image).metrics)
        truth = frame.reference.image
        aligned = align(image, truth, frame.reference.inside).image
        return MethodScore(
            method=method, original=measure_as_original(aligned, truth, frame.positions_px, frame.origin_px)
        )
    except Fly64Error as error:
        return MethodScore(method=method, problem=str(error))


def _in_frame(foreign: ForeignObject, frame: ComparisonFrame) -> NDArray[Any]:
    """Put an object where it belongs in the cell's frame; refuse one that does not say where, or is not there."""
    image, origin_px = foreign.image, foreign.origin_px or _origin_by_shape(foreign.image, frame)
    offset = (frame.origin_px[0] - origin_px[0], frame.origin_px[1] - origin_px[1])
    height, width = frame.reference.image.shape
    placed, covered = crop_to_frame(image, (height, width), offset)
    inside = frame.reference.inside
    if not covered[inside].all():
        raise InputError(
            f"object of {image.shape} px at (y, x) = {origin_px} px covers {covered[inside].sum()} of "
            f"{inside.sum()} illuminated px",
            remedy="give one that covers all of them, and check its origin_px",
        )
    return placed


def _origin_by_shape(image: NDArray[Any], frame: ComparisonFrame) -> tuple[int, int]:
    """Find where an object lies that does not say it: it has the shape of the frame, or of the whole truth."""
    own_shape = frame.reference.image.shape
    origins = {own_shape: frame.origin_px, frame.truth_shape_px: (0, 0)}
    if image.shape not in origins:
        raise InputError(
            f"object of {image.shape} px, needed {own_shape} px, the frame of the cell's own object with its first "
            f"pixel at (y, x) = {frame.origin_px} px of the scan, or {frame.truth_shape_px} px, that of the whole "
            "truth",
            remedy="save it in one of these, or say where it lies with origin_px",
        )
    return origins[image.shape]
