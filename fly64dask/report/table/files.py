"""Writes the table of one run or several as CSV, or as Parquet with units and labels."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypedDict

from fly64dask.base import InputError, Quantity
from fly64dask.records import quantity_of
from fly64dask.store import publish_bytes
from fly64dask.study import DOSE_UNITS

if TYPE_CHECKING:
    from fly64dask.report.table.gathering import TableColumns
    from fly64dask.study import DoseBy, Study

# The key under which pandas keeps the attributes of a table in the metadata of a Parquet file.
PANDAS_ATTRIBUTES = "PANDAS_ATTRS"
# Packed pieces, of 1024 rows each, that make one row group of a Parquet file and are in memory at once (our choice).
GROUP_PIECES = 16


class TableAttributes(TypedDict):
    """The attributes of a run's table: what doses count, and the unit, label and better direction of each column.

    Columns that hold neither numbers nor lists of numbers have none; the unit of a plain number is "1".
    """

    study: str
    dose_by: DoseBy
    units: dict[str, str]
    labels: dict[str, str]
    better: dict[str, str]


def table_attributes(study: Study, columns: TableColumns) -> TableAttributes:
    """Describe the columns of a study's table."""
    described = {name: _column_quantity(name, study.dose_by) for name in columns.names}
    quantities = {name: quantity for name, quantity in described.items() if quantity.unit or columns.has_numbers(name)}
    return TableAttributes(
        study=study.name,
        dose_by=study.dose_by,
        units={name: quantity.unit or "1" for name, quantity in quantities.items()},
        labels={name: quantity.label for name, quantity in quantities.items()},
        better={name: quantity.better for name, quantity in quantities.items() if quantity.better},
    )


def write_table(path: Path, study: Study, columns: TableColumns) -> None:
    """Write a table as a file.

    Parameters
    ----------
    path : Path
        The file, replaced if it is there; it ends in `.parquet` or `.csv`. A CSV file holds names and values alone.
    study : Study
        The study of the run.
    columns : TableColumns
        The table.

    Raises
    ------
    InputError
        If the file's name ends in anything else.
    """
    check_table_name(path)
    if path.suffix == ".csv":
        publish_bytes(path, lambda file: _write_csv(columns, file))
    else:
        publish_bytes(path, lambda file: _write_parquet(study, columns, file))


def check_table_name(path: Path) -> None:
    """Refuse the name of a file whose suffix is no format of tables, before anything is read."""
    if path.suffix not in (".parquet", ".csv"):
        raise InputError(
            f"write table {path}: its name ends in {path.suffix or 'no suffix'!r}, needed .parquet or .csv",
            remedy="give the file one of these",
        )


def csv_bytes(columns: TableColumns) -> bytes:
    """Write a table as CSV in UTF-8: a header line, floats that are read back exactly, nothing for unknown values."""
    stream = io.BytesIO()
    _write_csv(columns, stream)
    return stream.getvalue()


def parquet_bytes(study: Study, columns: TableColumns) -> bytes:
    """Write a table as Parquet.

    The label, unit and better direction are metadata of each field; the metadata of the file is what pandas reads as
    `attrs`.
    """
    stream = io.BytesIO()
    _write_parquet(study, columns, stream)
    return stream.getvalue()


def _write_csv(columns: TableColumns, file: BinaryIO | io.BytesIO) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns.names)
    writer.writerows(columns.rows())
    text.detach()  # leave the file open, as the caller opened it


def _write_parquet(study: Study, columns: TableColumns, file: BinaryIO | io.BytesIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[type | None, Any] = {
        None: pa.null(),
        bool: pa.bool_(),
        int: pa.int64(),
        float: pa.float64(),
        str: pa.string(),
    }
    fields = [
        pa.field(name, types[columns.kind(name)], metadata=_field_metadata(_column_quantity(name, study.dose_by)))
        for name in columns.names
    ]
    attributes = {PANDAS_ATTRIBUTES: json.dumps(table_attributes(study, columns))}
    schema = pa.schema(fields, attributes)
    pieces = zip(*(columns.pieces(name) for name in columns.names), strict=True)
    batches = (pa.record_batch([*map(pa.array, piece, schema.types)], schema=schema) for piece in pieces)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(itertools.islice(batches, GROUP_PIECES)):
            writer.write_table(pa.Table.from_batches(group))


def _column_quantity(column: str, dose_by: DoseBy) -> Quantity:
    """Describe a column; the unit of the dose is what the study's doses count."""
    return Quantity("dose", DOSE_UNITS[dose_by]) if column == "dose" else quantity_of(column)


def _field_metadata(quantity: Quantity) -> dict[str, str]:
    """Return the label, unit and better direction of a column, as far as it has them."""
    described = {"label": quantity.label, "unit": quantity.unit, "better": quantity.better}
    return {name: value for name, value in described.items() if value}
