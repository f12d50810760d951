"""Measures how long one epoch takes per exposure, on completed cells of a run or of runs beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import Fly64Error, IntegrityError
from fly64dask.records import read_record, read_run_study
from fly64dask.store import RunLayout, read_attributes
from fly64dask.study import cells

if TYPE_CHECKING:
    from fly64dask.datasets import ScanInputs
    from fly64dask.records import CellRecord
    from fly64dask.study import Recipe, Study

# Settings of a recipe on which the time of an exposure and epoch depends.
COSTLY = (
    *("algorithm", "batch_size", "batching", "noise_model", "probe_modes", "opr_modes", "refine_positions"),
    *("accelerated", "threads"),
)
# At most so many records of a run are read, evenly spread, and at most so many runs, the newest first (our choice).
MAX_CELLS = 200
MAX_RUNS = 20
THIS_RUN = "this run"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRate:
    """The time of one epoch per exposure and reconstruction on a device, as the mean over `n_cells` cells of a run.

    `device` is named as in records, such as `cuda (NVIDIA H200)`, and `source` is the run. The time includes starting
    the engine and measuring its result.
    """

    device: str
    seconds: float
    n_cells: int
    source: str

    @property
    def kind(self) -> str:
        """The kind of the device, `cpu` or `cuda`."""
        return self.device.partition(" ")[0]


def measured_rates(
    study: Study, inputs: ScanInputs, layout: RunLayout, devices: Collection[str]
) -> tuple[MeasuredRate, ...]:
    """Measure the time of an epoch per exposure on each device, in the run itself or else in the newest run beside it.

    Parameters
    ----------
    study : Study
        The study that is to be run.
    inputs : ScanInputs
        Its scan.
    layout : RunLayout
        The run; it may not exist yet.
    devices : collection of str
        The kinds of devices that are asked about, "cpu" and "cuda".

    Returns
    -------
    tuple of MeasuredRate
        One for each device, those of the run first. Only cells count that have patterns of the same shape, and a recipe
        that agrees with one of the study's in everything except epochs, steps and stopping.
    """
    recipes = {_costs(study.recipe_of(cell)) for cell in cells(study)}
    rates: dict[str, MeasuredRate] = {}
    for source, run in (((THIS_RUN, layout)), *((str(run.root), run) for run in _runs_beside(layout))):
        for rate in _rates_of(run, source, recipes, inputs.diffraction_shape_px):
            if rate.kind in devices:
                rates.setdefault(rate.device, rate)
    return tuple(rates.values())


def _costs(recipe: Recipe) -> tuple[object, ...]:
    return tuple(getattr(recipe, name) for name in COSTLY)


def _runs_beside(layout: RunLayout) -> Iterator[RunLayout]:
    """Find the other runs in the folder of a run, the newest first."""
    changed: list[tuple[float, Path]] = []
    for study_file in layout.root.parent.glob(f"*/{layout.study_file.name}"):
        try:
            changed.append((study_file.stat().st_mtime, study_file.parent))
        except OSError:
            continue  # a run of somebody else, or one that is gone by now
    newest = sorted((item for item in changed if item[1] != layout.root), reverse=True)
    return (RunLayout(root) for _, root in newest[:MAX_RUNS])


def _rates_of(
    layout: RunLayout, source: str, recipes: set[tuple[object, ...]], shape_px: tuple[int, int]
) -> Iterator[MeasuredRate]:
    """Measure the rates of one run, those of most cells first; none for a run that cannot be read or has other
    patterns.
    """
    spent: dict[str, list[tuple[float, int]]] = {}
    for record in _completed_records(layout, shape_px):
        if _costs(record.recipe) in recipes and record.seconds and record.n_kept and record.n_epochs:
            work = record.n_kept * record.n_epochs * record.recipe.n_reconstructions
            spent.setdefault(record.device or "", []).append((record.seconds, work))
    for device, of_cells in sorted(spent.items(), key=lambda item: -len(item[1])):
        seconds, work = (sum(column) for column in zip(*of_cells, strict=True))
        yield MeasuredRate(device=device, seconds=seconds / work, n_cells=len(of_cells), source=source)


def _completed_records(layout: RunLayout, shape_px: tuple[int, int]) -> Iterator[CellRecord]:
    """Read the records of some completed cells of a run whose patterns have that shape."""
    try:
        study = read_run_study(layout)
        scan = read_attributes(layout.scan_group(study.object_seeds[0]), f"compare {layout.root}")
    except Fly64Error:
        return
    if tuple(scan.get("diffraction_shape_px", ())) != shape_px:
        return
    matrix = cells(study)
    for cell in matrix[:: -(-len(matrix) // MAX_CELLS)]:
        try:
            record = read_record(layout, cell)
        except IntegrityError:
            continue
        if record is not None and record.state == "completed":
            yield record
