"""The light of cells and the overlap of their beams, drawn as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from fly64dask.cli.terminal.console import number_text

if TYPE_CHECKING:
    from fly64dask.records import ManifestRow
    from fly64dask.scheduling import PlannedCell

# Heading of a column, the field that it shows and its format.
COLUMNS = (
    ("asked per\nexposure", "dose_photons", ".5g"),
    ("real\nmean", "mean_counts_photons", ".5g"),
    ("incident", "incident_photons", ".5g"),
    ("total", "total_photons", ".6g"),
    ("per px²", "fluence_photons_per_px2", ".3g"),
    ("per nm²", "fluence_photons_per_nm2", ".3g"),
    ("step\n(px)", "step_px", ".3g"),
    ("FWHM\n(px)", "probe_fwhm_px", ".3g"),
    ("D90\n(px)", "probe_d90_px", ".3g"),
    ("linear\noverlap", "linear_overlap", ".2f"),
    ("areal\noversampling", "areal_oversampling", ".3g"),
)


def light_table(rows: Sequence[PlannedCell | ManifestRow]) -> Table:
    """Draw photons, fluence and overlap of cells, a row for each; what no cell knows has no column.

    Photons are detected ones, but for the incident ones. A plan has the photons that are expected; a cell that has run,
    those that were counted.
    """
    table = Table(title="light and overlap of beams", title_justify="left")
    table.add_column("cell", no_wrap=True)
    shown = [column for column in COLUMNS if any(getattr(row, column[1]) is not None for row in rows)]
    for heading, _, _ in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.cell.name, *(number_text(getattr(row, field), form) for _, field, form in shown))
    return table
