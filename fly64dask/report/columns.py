"""Spreads the nested records of a run's rows over the columns of a table, orders them, and chooses the mapped ones."""

from __future__ import annotations

import json
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from fly64dask.records import described_columns, quantity_of, row_columns

if TYPE_CHECKING:
    from fly64dask.records import ManifestRow

Value = str | int | float | bool
FlatRow = Mapping[str, Value | None]
# Records of a row of which the report maps all numbers.
MAPPED_RECORDS = ("metrics", "relative", "half_sets", "reference", "stopping", "identifiability")
MAPPED_PREFIXES = tuple(f"{record}." for record in MAPPED_RECORDS)
# The first of these that any cell has is shown first.
ERROR, OVER_EMPTY = "metrics.phase_rmse_rad", "relative.error_over_empty"
RESOLUTIONS = ("half_sets.resolution_nm", "half_sets.resolution_px")
USUAL_COLUMNS = (ERROR, *RESOLUTIONS, "reference.phase_rmse_rad", "final_loss")
# All that may be shown first.
LEADING = (OVER_EMPTY, *USUAL_COLUMNS, "n_kept")
# Errors in rad are not compared if the largest area is this many times the smallest (our choice).
AREAS_DIFFER = 1.1
# Numbers of the row itself that are worth a map.
MAPPED_FIELDS = (
    "n_kept",
    "mean_counts_photons",
    "total_photons",
    "fluence_photons_per_px2",
    "fluence_photons_per_nm2",
    "step_px",
    "step_nm",
    "linear_overlap",
    "areal_oversampling",
    "illuminated_area_um2",
    "image_overlap",
    "group_overlap",
    "n_epochs",
    "final_loss",
    "seconds",
)


def in_order(columns: Iterable[str]) -> list[str]:
    """Sort columns for a reader: measures of the result first, its cost last."""
    places = {column: place for place, column in enumerate(described_columns())}

    def place(column: str) -> tuple[int, int]:
        prefixes = enumerate(MAPPED_PREFIXES)
        record = next((i for i, prefix in prefixes if column.startswith(prefix)), len(MAPPED_PREFIXES))
        return record, places.get(column, len(places))

    return sorted(dict.fromkeys(columns), key=place)


def lead_column(n_pixels: Collection[int], columns: Collection[str], *, is_measured: bool = False) -> str:
    """Choose the number to show first among the columns that cells have; `n_pixels` says on how many they were
    compared.

    It is the phase error, or its ratio to that of an empty object if cells are compared on areas of different sizes.
    Without a truth it is the resolution by half sets, in nm if the size of a pixel is known, else the last loss. For
    measured scans the loss is never shown first, because fewer photons lower it, which says nothing about quality; the
    number of exposures is shown then.
    """
    areas_differ = bool(n_pixels) and max(n_pixels) > AREAS_DIFFER * min(n_pixels)
    usual: tuple[str, ...] = (OVER_EMPTY, *USUAL_COLUMNS) if areas_differ else USUAL_COLUMNS
    if is_measured:
        usual = (*(column for column in usual if column != "final_loss"), "n_kept")
    return next((column for column in usual if column in columns), ERROR)


def flat_row(row: ManifestRow) -> dict[str, Value]:
    """Spread a row over columns: nested records get dotted names, and unknown values are left out.

    Each list or mapping is one column of JSON.
    """
    return dict(_flat(row.model_dump(mode="json", exclude_none=True), row_columns()))


def mapped_numbers(flat: FlatRow) -> dict[str, int | float]:
    """Take the numbers of a flat row that the report maps; booleans do not count as numbers."""
    return {column: value for column, value in flat.items() if is_mapped(column) and _is_number(value)}


def is_mapped(column: str) -> bool:
    """Whether the report maps the numbers of a column."""
    return column in MAPPED_FIELDS or column.startswith(MAPPED_PREFIXES)


def _is_number(value: Value | None) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flat(document: Mapping[str, Any], whole: Container[str], prefix: str = "") -> Iterator[tuple[str, Value]]:
    """Spread nested values that are not one column as a whole."""
    for name, value in document.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and path not in whole:
            yield from _flat(value, whole, f"{path}.")
        else:
            yield path, json.dumps(value) if isinstance(value, dict | list) else value


def is_drawn(column: str) -> bool:
    """Whether figures map a column: it measures quality and is the only one to do so, or no field describes it."""
    if column.startswith("metrics.alignment."):
        return False
    if column.startswith("identifiability."):
        return column == "identifiability.lit_intensities_per_unknown"
    repeated = column == "metrics.phase.rmse" or column.endswith((".shell", ".frequency_per_px"))
    return column not in described_columns() or (
        quantity_of(column).better is not None and column not in MAPPED_FIELDS and not repeated
    )
