"""The manifest and the skip summary of a run: their models, and rows made from the records of cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import AfterValidator

from fly64dask.base import FailureKind, Frozen, Quantities, Quantity
from fly64dask.metrics import ReferenceMetrics
from fly64dask.records.derived import RelativeError
from fly64dask.records.fields import EndingFields, ExposureFields, ReconstructionFields
from fly64dask.records.history import AttemptLine, damaged_line, fields_of
from fly64dask.records.keys import recipe_key
from fly64dask.records.record import CellRecord
from fly64dask.records.repeats import RepeatSummary
from fly64dask.scan import Identifiability, SelectionFields
from fly64dask.store import LOG_NAME, RunLayout
from fly64dask.study import Cell, CellCoordinates, Dose, Remedy, Seeds, Study, cells, realisation_of, remedied_recipe


def _in_run(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} leads out of the run directory; paths in it are relative and go down")
    return path


# A path of a run's own table leads into that run, whoever wrote the table.
InRun = Annotated[str, AfterValidator(_in_run)]


class Job(CellCoordinates):
    """A cell as the original study's runner described it."""

    input: InRun
    output_dir: InRun
    algorithm: str
    num_epochs: int


class ManifestRow(ReconstructionFields, ExposureFields, SelectionFields, EndingFields, CellCoordinates):
    """The standing of one cell: its latest attempt, with `attempts`, oldest first, if it had several.

    `outdated` says in what the cell is not of the study as it is now, `overridden` names the settings of the study's
    recipe that the guard of degenerate scans did not follow, `relative` compares its error with those of other cells,
    `reference` a measured cell with the study's reference, `round` and `round_reason` say which round of an adaptive
    study added it and why: these are worked out when rows are read, and no record holds them.
    """

    returncode: Literal[0, 1]
    log_path: InRun
    identifiability: Annotated[Identifiability | None, Quantities("")] = None
    seconds: Annotated[float | None, Quantity("time taken", "s")] = None
    outdated: str | None = None
    round: Annotated[int | None, Quantity("round of an adaptive study", "")] = None
    round_reason: str | None = None
    overridden: tuple[str, ...] | None = None
    relative: Annotated[RelativeError | None, Quantities("")] = None
    reference: Annotated[ReferenceMetrics | None, Quantities("")] = None
    cell_key: str | None = None
    recipe_key: str | None = None
    seeds: Seeds | None = None
    versions: dict[str, str] | None = None
    digests: dict[str, str] | None = None
    attempts: tuple[AttemptLine, ...] | None = None


class ManifestFilters(Frozen):
    """The filters that the run was given; empty means all."""

    dose: tuple[Dose, ...]
    view: tuple[str, ...]
    split: tuple[str, ...]
    gridsize: tuple[int, ...]
    repeat: tuple[int, ...] = ()
    # None, and so left out, where no filter was given: most studies have one recipe, object and setup.
    recipe: tuple[str, ...] | None = None
    object: tuple[int, ...] | None = None
    setup: tuple[str, ...] | None = None


class Roots(Frozen):
    """The directories of the run and of its manifest."""

    run: str
    exposures: str


class ManifestHead(Frozen):
    """The part of the manifest that is of the whole run."""

    schema_version: Literal[1] = 1
    timestamp: str
    study: str
    study_digest: str
    roots: Roots
    filters: ManifestFilters
    total_jobs: int
    filtered_jobs: int


class Manifest(ManifestHead):
    """`reconstruction_manifest.json`: the last run's filters and jobs, and every committed cell.

    `summary` has mean and spread of repeats; a study without them has none.
    """

    summary: tuple[RepeatSummary, ...] | None = None
    jobs: tuple[Job, ...]
    execution_results: tuple[ManifestRow, ...]


class SkippedJob(CellCoordinates):
    """A cell without a reconstruction of its own will: filtered out, or not selectable."""

    reason: str


class SkipSummary(Frozen):
    """`skip_summary.json`."""

    schema_version: Literal[1] = 1
    timestamp: str
    skipped_count: int
    skipped_jobs: tuple[SkippedJob, ...]


def row_from_record(record: CellRecord, past: Sequence[AttemptLine] = ()) -> ManifestRow:
    """Turn a committed record, and the attempts that it has replaced, into its manifest row."""
    return ManifestRow(
        **fields_of(record, ManifestRow),
        log_path=_log_path(record.cell),
        recipe_key=recipe_key(record.recipe, seed=record.seeds.grouping),
        attempts=(*past, AttemptLine(**fields_of(record, AttemptLine))) if past else None,
    )


def damaged_row(cell: Cell, error: str, past: Sequence[AttemptLine] = ()) -> ManifestRow:
    """Make the row of a cell whose record cannot be trusted, with the attempts that it has replaced."""
    return ManifestRow(
        **asdict(cell),
        returncode=1,
        state="damaged",
        log_path=_log_path(cell),
        failure_kind=FailureKind.BAD_INPUT,
        error=error,
        attempts=(*past, damaged_line(past[-1].attempt + 1, error)) if past else None,
    )


def jobs(study: Study, layout: RunLayout, filtered: Iterable[Cell], remedies: Mapping[Cell, Remedy]) -> Iterator[Job]:
    """Describe cells as the original study's runner did, one after the other; some are tried again with a remedy."""
    for cell in filtered:
        recipe = remedied_recipe(study.recipe_of(cell), remedies.get(cell))
        yield Job(
            **asdict(cell),
            input=str(layout.exposure_group(*realisation_of(study, cell)).relative_to(layout.root)),
            output_dir=cell.name,
            algorithm=recipe.algorithm,
            num_epochs=recipe.n_epochs,
        )


def make_skip_summary(reasons: Mapping[Cell, str], rows: Iterable[ManifestRow], *, timestamp: str) -> SkipSummary:
    """List the cells that this run left out, with their filters, and the committed ones that cannot be selected."""
    unselectable = {row.cell: f"{row.failure_kind}: {row.error}" for row in rows if row.state == "skipped"}
    skipped = tuple(SkippedJob(**asdict(cell), reason=why) for cell, why in (unselectable | dict(reasons)).items())
    return SkipSummary(timestamp=timestamp, skipped_count=len(skipped), skipped_jobs=skipped)


def count_states(
    study: Study,
    rows: Iterable[ManifestRow],
    running: Collection[Cell] = (),
    *,
    of: Collection[Cell] | None = None,
) -> dict[str, int]:
    """Count the cells of a study by state.

    Parameters
    ----------
    study : Study
        The study.
    rows : iterable of ManifestRow
        Committed cells; they are taken one after the other, and none is kept.
    running : collection of Cell
        Cells that run now; one that has a row of an earlier attempt counts as running.
    of : collection of Cell, optional
        The cells to count, to which rows and running ones belong; all of the study if omitted.

    Returns
    -------
    dict of str to int
        Number of cells per state, `running` and `pending` included, zero counts left out.
    """
    counts, ended = Counter[str](), set[Cell]()
    for row in rows:
        ended.add(row.cell)
        if row.cell not in running:
            counts[row.state] += 1
    pending = sum(cell not in ended and cell not in running for cell in (cells(study) if of is None else of))
    return dict(counts) | {name: n for name, n in (("running", len(running)), ("pending", pending)) if n}


def _log_path(cell: Cell) -> str:
    return f"{cell.name}/{LOG_NAME}"
