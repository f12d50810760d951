"""The flat table of a run: nested records of its rows spread over columns, written as CSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeGuard

from fly64dask.base import InputError, Quantity
from fly64dask.records import described_columns, quantity_of
from fly64dask.store import publish_bytes
from fly64dask.study import DOSE_UNITS

if TYPE_CHECKING:
    from fly64dask.base import Frozen
    from fly64dask.records import ManifestRow
    from fly64dask.study import DoseBy, Study

# Where pandas keeps and finds the attributes of a table in a Parquet file's metadata.
PANDAS_ATTRIBUTES = "PANDAS_ATTRS"
Value = str | int | float | bool
FlatRow = Mapping[str, Value | None]
# Records of a row whose numbers the report maps; all that they hold, also what is added to them later.
MAPPED_RECORDS = ("metrics", "relative", "half_sets", "reference", "stopping", "identifiability")
# Shown first, the first of these that any cell has.
ERROR, OVER_EMPTY = "metrics.phase_rmse_rad", "relative.error_over_empty"
RESOLUTIONS = ("half_sets.resolution_nm", "half_sets.resolution_px")
USUAL_COLUMNS = (ERROR, *RESOLUTIONS, "reference.phase_rmse_rad", "final_loss")
# The largest area over the smallest from which errors in rad are not compared (our choice).
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
    """Sort columns as a reader wants them: what was measured of the result first, what it took last."""
    records = [f"{record}." for record in MAPPED_RECORDS]
    places = {column: place for place, column in enumerate(described_columns())}

    def place(column: str) -> tuple[int, int]:
        record = next((i for i, prefix in enumerate(records) if column.startswith(prefix)), len(records))
        return record, places.get(column, len(places))

    return sorted(dict.fromkeys(columns), key=place)


def lead_column(rows: Iterable[ManifestRow], columns: Collection[str], *, is_measured: bool = False) -> str:
    """Choose the number to show first among the columns that cells have.

    The phase error, but over that of an empty object where cells are compared over areas of different sizes; without a
    truth the resolution by half sets, in nm where a pixel has a size, else the last loss. Of measured scans that is
    never shown first: it is lower for fewer photons, which says nothing of quality; the number of exposures is.
    """
    pixels = [row.metrics.n_pixels for row in rows if row.metrics]
    areas_differ = bool(pixels) and max(pixels) > AREAS_DIFFER * min(pixels)
    usual: tuple[str, ...] = (OVER_EMPTY, *USUAL_COLUMNS) if areas_differ else USUAL_COLUMNS
    if is_measured:
        usual = (*(column for column in usual if column != "final_loss"), "n_kept")
    return next((column for column in usual if column in columns), ERROR)


def flat_row(row: Frozen) -> dict[str, Value]:
    """Spread a row over columns: nested records by dotted names, lists as JSON, without what it does not know."""
    return dict(_flat(row.model_dump(mode="json", exclude_none=True)))


def mapped_numbers(flat: FlatRow) -> dict[str, int | float]:
    """Take the numbers of a flat row that the report maps; truth values are no numbers."""
    prefixes = tuple(f"{record}." for record in MAPPED_RECORDS)
    return {
        column: value
        for column, value in flat.items()
        if (column in MAPPED_FIELDS or column.startswith(prefixes)) and _is_number(value)
    }


class TableAttributes(TypedDict):
    """The attributes of a run's table: what doses count, and by column the unit, label and better direction.

    Columns that hold neither numbers nor lists of them have none; the unit of a plain number is "1".
    """

    study: str
    dose_by: DoseBy
    units: dict[str, str]
    labels: dict[str, str]
    better: dict[str, str]


def table_attributes(study: Study, flat_rows: Sequence[FlatRow]) -> TableAttributes:
    """Describe the columns of a study's flat rows."""
    described = {column: _column_quantity(column, study.dose_by) for column in _columns_of(flat_rows)}
    quantities = {
        column: quantity
        for column, quantity in described.items()
        if quantity.unit or any(_is_number(flat.get(column)) for flat in flat_rows)
    }
    return TableAttributes(
        study=study.name,
        dose_by=study.dose_by,
        units={column: quantity.unit or "1" for column, quantity in quantities.items()},
        labels={column: quantity.label for column, quantity in quantities.items()},
        better={column: quantity.better for column, quantity in quantities.items() if quantity.better},
    )


def write_table(path: Path, study: Study, flat_rows: Sequence[FlatRow]) -> None:
    """Write flat rows as a file.

    Parameters
    ----------
    path : Path
        The file, replaced if it is there; it ends in `.parquet` or `.csv`. A CSV file holds names and values alone.
    study : Study
        The study of the run.
    flat_rows : sequence of mapping
        Values by column; None or absent where nothing is known.

    Raises
    ------
    InputError
        If the file's name ends in anything else.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise InputError(
            f"write table {path}: its name ends in {path.suffix or 'no suffix'!r}, needed .parquet or .csv",
            remedy="give the file one of these",
        )
    content = csv_bytes(flat_rows) if path.suffix == ".csv" else parquet_bytes(study, flat_rows)
    publish_bytes(path, lambda file: file.write(content))


def csv_bytes(flat_rows: Sequence[FlatRow]) -> bytes:
    """Write rows as CSV in UTF-8: a head line, floats that read back as they were, nothing where nothing is known."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _columns_of(flat_rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat_rows)
    return stream.getvalue().encode()


def parquet_bytes(study: Study, flat_rows: Sequence[FlatRow]) -> bytes:
    """Write rows as Parquet: null where nothing is known, text where numbers and words share a column.

    Label, unit and better direction are metadata of each field, and those of the file are what pandas reads as `attrs`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        column: pa.array(_one_type([flat.get(column) for flat in flat_rows])) for column in _columns_of(flat_rows)
    }
    fields = [
        pa.field(column, array.type, metadata=_field_metadata(_column_quantity(column, study.dose_by)))
        for column, array in columns.items()
    ]
    attributes = {PANDAS_ATTRIBUTES: json.dumps(table_attributes(study, flat_rows))}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(list(columns.values()), schema=pa.schema(fields, attributes)), sink, compression="zstd")
    return bytes(sink.getvalue())


def _column_quantity(column: str, dose_by: DoseBy) -> Quantity:
    """Describe a column; the unit of the dose is what the study's doses count."""
    return Quantity("dose", DOSE_UNITS[dose_by]) if column == "dose" else quantity_of(column)


def _is_number(value: Value | None) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _field_metadata(quantity: Quantity) -> dict[str, str]:
    """Label, unit and better direction of a column, those that it has."""
    described = {"label": quantity.label, "unit": quantity.unit, "better": quantity.better}
    return {name: value for name, value in described.items() if value}


def _columns_of(flat_rows: Iterable[FlatRow]) -> list[str]:
    """Names of all columns, in the order in which the rows bring them up."""
    return list(dict.fromkeys(column for flat in flat_rows for column in flat))


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", json.dumps(value)
        else:
            yield f"{prefix}{name}", value


def _one_type(values: list[Value | None]) -> list[Any]:
    """Make whole numbers fractions where a column has both, and anything text where it has numbers and words."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [value if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [value if value is None else str(value) for value in values]
    return values


def is_drawn(column: str) -> bool:
    """Whether a paper may want a map of a column: it measures quality, once, or no field describes it."""
    if column.startswith("metrics.alignment."):
        return False
    if column.startswith("identifiability."):
        return column == "identifiability.lit_intensities_per_unknown"
    repeated = column == "metrics.phase.rmse" or column.endswith((".shell", ".frequency_per_px"))
    return column not in described_columns() or (
        quantity_of(column).better is not None and column not in MAPPED_FIELDS and not repeated
    )
