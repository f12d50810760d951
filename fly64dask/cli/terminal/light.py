"""Draws the light of cells and the overlap of their beams as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from fly64dask.cli.terminal.console import number_text

if TYPE_CHECKING:
    from fly64dask.records import ManifestRow
    from fly64dask.scheduling import PlannedCell

# For a length or an area in px: the field that has it to scale, if the size of a pixel is known, and its unit.
TO_SCALE = {
    "step_px": ("step_nm", "nm"),
    "probe_fwhm_px": ("probe_fwhm_nm", "nm"),
    "probe_d90_px": ("probe_d90_nm", "nm"),
    "illuminated_area_px2": ("illuminated_area_um2", "µm²"),
}
# Heading of a column, the field that it shows and its format.
Column = tuple[str, str, str]
PHOTONS: tuple[Column, ...] = (
    ("asked per\nexposure", "dose_photons", ".6g"),
    ("real mean", "mean_counts_photons", ".6g"),
    ("incident", "incident_photons", ".6g"),
    ("total", "total_photons", ".6g"),
    ("fluence\nper px²", "fluence_photons_per_px2", ".4g"),
    ("fluence\nper nm²", "fluence_photons_per_nm2", ".4g"),
)
BEAMS: tuple[Column, ...] = (
    ("kept", "n_kept", "d"),
    ("step\n(px)", "step_px", ".3g"),
    ("probe FWHM\n(px)", "probe_fwhm_px", ".3g"),
    ("probe D90\n(px)", "probe_d90_px", ".3g"),
    ("linear\noverlap", "linear_overlap", ".2f"),
    ("areal\noversampling", "areal_oversampling", ".3g"),
    ("illuminated\narea (px²)", "illuminated_area_px2", "d"),
)


def light_tables(rows: Sequence[PlannedCell | ManifestRow]) -> tuple[Table, Table]:
    """Draw the photons of each cell, and the overlap of the beams of each view, which all doses share.

    All photons but the incident ones are detected photons: the expected ones in a plan, the counted ones of a cell that
    has run. Columns without any value are left out.
    """
    photons = _table("photons", "cell", [(row.cell.name, row) for row in rows], PHOTONS)
    # A remedy may have changed which exposures a cell keeps.
    beams = {(f"{row.view}/{row.split}", row.n_kept, row.step_px): row for row in rows}
    overlap = _table("overlap of beams", "view", [(name, row) for (name, *_), row in beams.items()], BEAMS)
    return photons, overlap


def _table(
    title: str, first: str, rows: Sequence[tuple[str, PlannedCell | ManifestRow]], columns: Sequence[Column]
) -> Table:
    table = Table(title=title, title_justify="left")
    # Without a minimum rich would cut the names first if there are many columns.
    table.add_column(first, no_wrap=True, min_width=max((len(name) for name, _ in rows), default=0))
    shown = [column for column in columns if any(getattr(row, column[1]) is not None for _, row in rows)]
    for heading, field, _ in shown:
        scaled, unit = TO_SCALE.get(field, ("", ""))
        is_to_scale = any(getattr(row, scaled, None) is not None for _, row in rows)
        table.add_column(heading.replace(")", f", {unit})") if is_to_scale else heading, justify="right", no_wrap=True)
    for name, row in rows:
        table.add_row(name, *(_value(row, field, form) for _, field, form in shown))
    return table


def _value(row: PlannedCell | ManifestRow, field: str, form: str) -> str:
    """Write a number, and after a comma the same to scale, if it is known."""
    to_scale = getattr(row, TO_SCALE[field][0], None) if field in TO_SCALE else None
    text = number_text(getattr(row, field), form)
    return text if to_scale is None else f"{text}, {to_scale:.3g}"
