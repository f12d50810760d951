"""Compares the reconstructions of other methods with a run's own: one alignment and the same metrics for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import Fly64Error, InputError, utc_now
from fly64dask.cells import open_inputs
from fly64dask.datasets import read_truth
from fly64dask.metrics import (
    align,
    measure_against,
    measure_as_original,
    measure_with_reference,
    reference_in_frame,
)
from fly64dask.records import (
    RunDifferences,
    each_completed_row,
    method_differences,
    read_record,
    run_differences,
)
from fly64dask.runs.comparisons.comparison import OURS, ComparedCell, Convention, MethodScore, RunComparison
from fly64dask.runs.comparisons.frames import ComparisonFrame, place_in_frame
from fly64dask.runs.comparisons.methods import ObjectReader, reader_of_method, reader_of_run
from fly64dask.runs.comparisons.references import References, illuminated_frame
from fly64dask.scan import object_frame
from fly64dask.store import RunLayout
from fly64dask.study import Cell, CellReference, Reference as StudyReference, Study

if TYPE_CHECKING:
    from fly64dask.simulation import Pair


# Makes the frame of a cell, or gives why it cannot be made.
FrameMaker = Callable[[Cell], ComparisonFrame | Fly64Error]


def compare_run(
    study: Study,
    layout: RunLayout,
    methods: Mapping[str, Path],
    compared: Sequence[Cell],
    convention: Convention = "ours",
    reference: StudyReference | None = None,
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
    reference : CellReference or FileReference, optional
        What the cells of a measured study are compared with, instead of the study's own reference.

    Returns
    -------
    RunComparison
        The metrics of each method for each cell, or the reason why there are none.

    Raises
    ------
    InputError
        If there is neither a truth nor a reference, or the path of a method is no such directory, or a run of another
        object or scan.
    """
    object_seeds = tuple(dict.fromkeys(cell.object_seed for cell in compared))
    chosen = reference or study.reference
    frame_of = _frames(study, layout, object_seeds, chosen, convention)
    readers = {OURS: reader_of_run(layout)}
    readers |= {name: reader_of_method(name, path, layout, object_seeds) for name, path in methods.items()}
    rows = []
    for cell in compared:
        frame = frame_of(cell)
        is_reference = isinstance(chosen, CellReference) and chosen.cell_for(cell) == cell
        scores = tuple(
            MethodScore(method=name, is_reference=True)
            if is_reference and name == OURS and isinstance(frame, ComparisonFrame)
            else _score(name, reader, cell, frame, convention)
            for name, reader in readers.items()
        )
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
        reference=chosen.label if chosen and study.source.kind == "measured" else None,
        cells=tuple(rows),
        differences=_differences(study, layout, rows, has_methods=bool(methods)),
    )


def _differences(
    study: Study, layout: RunLayout, compared: Sequence[ComparedCell], *, has_methods: bool
) -> RunDifferences:
    """Compare the methods of all cells; of a run alone its views, recipes and setups."""
    if not has_methods:
        return run_differences(study, each_completed_row(study, layout, [row.cell for row in compared]))
    numbers: dict[str, dict[Cell, float]] = {}
    for row in compared:
        for score in row.scores:
            of_method = numbers.setdefault(score.method, {})
            if score.phase_error is not None:
                of_method[row.cell] = score.phase_error
    return method_differences(study, numbers, quantity="phase_rmse_rad", label="phase error")


def _frames(
    study: Study,
    layout: RunLayout,
    object_seeds: Sequence[int | None],
    reference: StudyReference | None,
    convention: Convention,
) -> FrameMaker:
    """Choose what cells are compared with: the truth of a simulation, or the reference of a measured scan."""
    if study.source.kind == "measured":
        if reference is None:
            raise InputError(
                f"compare {layout.root}: a measured study has no truth, and this one names no reference",
                remedy='give --reference measured/baseline, or `reference = {dose = "measured", view = "baseline"}` '
                "in the study",
            )
        if convention != "ours":
            raise InputError(
                f"compare {layout.root}: the original study's metrics are against a truth, which a measured scan has "
                "not",
                remedy="leave --convention out",
            )
        references = References(study, layout, reference)
        return lambda cell: _reference_frame(study, layout, cell, references)
    if reference is not None:
        raise InputError(
            f"compare {layout.root}: cells of a simulated study are compared with the truth, found a reference",
            remedy="leave --reference out",
        )
    if not any(layout.truth_group(seed).exists() for seed in study.object_seeds):
        raise InputError(
            f"compare {layout.root}: cells are compared with the truth, and this run has none yet",
            remedy="run its study first",
        )
    truths = {seed: _truth_of(layout, seed) for seed in object_seeds}
    return lambda cell: _frame_of(study, layout, cell, truths[cell.object_seed])


def _reference_frame(
    study: Study, layout: RunLayout, cell: Cell, references: References
) -> ComparisonFrame | Fly64Error:
    """Put the reference into the frame of a cell; give the error if it or the cell's inputs cannot be read."""
    try:
        frame = illuminated_frame(study, layout, cell)
        whole = references.object_for(cell)
        return ComparisonFrame(
            reference=references.in_frame(cell, frame),
            positions_px=frame.positions_px,
            origin_px=frame.origin_px,
            whole_shape_px=(whole.image.shape[0], whole.image.shape[1]),
            whole_origin_px=whole.origin_px,
            name=whole.name,
            pixel_nm=frame.pixel_nm,
        )
    except Fly64Error as error:
        return error


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
        positions = inputs.positions_px
    except Fly64Error as error:
        return error
    shape, origin = object_frame(positions, (truth.probe.shape[-2], truth.probe.shape[-1]))
    return ComparisonFrame(
        reference=reference_in_frame(
            truth.object_truth, shape_px=shape, origin_px=origin, probe=truth.probe, positions_px=positions
        ),
        positions_px=positions,
        origin_px=origin,
        whole_shape_px=(truth.object_truth.shape[0], truth.object_truth.shape[1]),
        pixel_nm=inputs.exposures.attributes.pixel_size_nm,
    )


def _score(
    method: str, read: ObjectReader, cell: Cell, frame: ComparisonFrame | Fly64Error, convention: Convention
) -> MethodScore:
    try:
        if isinstance(frame, Fly64Error):
            raise frame
        image = place_in_frame(read(cell), frame)
        if frame.name is not None:
            return MethodScore(
                method=method, reference=measure_with_reference(frame.name, frame.reference, image).metrics
            )
        if convention == "ours":
            return MethodScore(method=method, metrics=measure_against(frame.reference, image).metrics)
        truth = frame.reference.image
        aligned = align(image, truth, frame.reference.inside).image
        return MethodScore(
            method=method, original=measure_as_original(aligned, truth, frame.positions_px, frame.origin_px)
        )
    except Fly64Error as error:
        return MethodScore(method=method, problem=str(error))
