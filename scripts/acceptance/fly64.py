"""The fly64 matrix at its canonical size: what its selection keeps, and its errors by two conventions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from acceptance.results import CellValue, Claim, Finding, Table
from acceptance.tables import ERROR, RESOLUTION
from fly64dask import Run
from fly64dask.metrics import OriginalMetrics
from fly64dask.study import Cell

SOURCE = "the fly64 study design (hoidn/PtychoPINN), train split"
# View, column of a row, what it is called, and what the original's design gives.
ORACLES = (
    ("baseline", "n_kept", "exposures below the cut", 5088),
    ("dense", "n_kept", "exposures kept at 38.4 px", 42),
    ("sparse", "n_kept", "exposures kept at 102.4 px", 9),
    ("baseline", "image_overlap", "image overlap of 6 neighbours, discs of 38.4 px", 0.89076),
    ("baseline", "group_overlap", "group overlap, the same discs", 0.26618),
)
TOLERANCE = 5e-6  # the original's numbers have five digits
COLUMNS = (
    *("photons per exposure", "view", "split", "exposures", "epochs", "phase error (rad)", "over an empty object's"),
    *("half-bit resolution (px)", "original: phase MAE (rad)", "phase SSIM", "amplitude MAE", "amplitude SSIM"),
)


def reduce(runs: Mapping[str, Run]) -> Finding:
    """Hold what was selected against the original's numbers, and give each cell's errors by both conventions."""
    rows = [row for run in runs.values() for row in measured(run)]
    numbers = {
        (cell.view, name): float(values[name])
        for run in runs.values()
        for cell, values, _ in measured_cells(run)
        if cell.split == "train"
        for _, name, _, _ in ORACLES
    }
    claims = tuple(claim(words, value, numbers.get((view, name))) for view, name, words, value in ORACLES)
    return Finding(claims=claims, tables=(Table(name="fly64", columns=COLUMNS, rows=tuple(rows)),))


def claim(words: str, published: float, ours: float | None) -> Claim:
    """Hold one number of the selection against the original's."""
    return Claim(
        published=f"{words}: {published}",
        source=SOURCE,
        ours="not run" if ours is None else f"{ours:.0f}" if isinstance(published, int) else f"{ours:.5f}",
        rule="the same in all its digits",
        verdict="as published" if ours is not None and abs(ours - published) <= TOLERANCE else "not as published",
    )


def measured_cells(run: Run) -> Iterator[tuple[Cell, Any, OriginalMetrics | None]]:
    """Give each completed cell of a run with its line of the table and its numbers by the original's convention."""
    table = run.table()
    for compared in run.compare({}, convention="original").cells:
        cell = compared.cell
        values = table.loc[(cell.dose, cell.view, cell.split, cell.repeat)]
        if values["state"] == "completed":
            yield cell, values, compared.scores[0].original


def measured(run: Run) -> Iterator[tuple[CellValue, ...]]:
    """Give the rows of the table of a run's completed cells."""
    for cell, values, original in measured_cells(run):
        theirs = (
            (None,) * 4
            if original is None
            else (original.phase.mae, original.phase.ssim, original.amplitude.mae, original.amplitude.ssim)
        )
        ours = (values[ERROR], values["relative.error_over_empty"], values[RESOLUTION])
        known = (None if value is None or value != value else float(value) for value in (*ours, *theirs))
        yield (cell.dose, cell.view, cell.split, int(values["n_kept"]), run.study.recipe.n_epochs, *known)
