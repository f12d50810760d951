"""Manifest rows -> flat columns with labels and units, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fly64dask.records import described_columns

if TYPE_CHECKING:
    from fly64dask.base import Frozen

# Records of a row whose numbers the report maps; all that they hold, also what is added to them later.
MAPPED_RECORDS = ("metrics", "half_sets", "stopping", "identifiability")
# Numbers of the row itself that are worth a map.
MAPPED_FIELDS = ("n_kept", "image_overlap", "group_overlap", "n_epochs", "final_loss", "seconds")


def in_order(columns: Iterable[str]) -> list[str]:
    """Sort columns as a reader wants them: what was measured of the result first, what it took last."""
    records = [f"{record}." for record in MAPPED_RECORDS]
    known = {column: place for place, column in enumerate(described_columns())}

    def place(column: str) -> tuple[int, int]:
        record = next((i for i, prefix in enumerate(records) if column.startswith(prefix)), len(records))
        return record, known.get(column, len(known))

    return sorted(dict.fromkeys(columns), key=place)


def flat_row(row: Frozen) -> dict[str, Any]:
    """Spread a row over columns: nested records by dotted names, lists as JSON, without what it does not know."""
    return dict(_flat(row.model_dump(mode="json", exclude_none=True)))


def mapped_numbers(flat: Mapping[str, Any]) -> dict[str, float]:
    """Take the numbers of a flat row that have a map; truth values are none."""
    wanted = tuple(f"{record}." for record in MAPPED_RECORDS)
    return {
        column: value
        for column, value in flat.items()
        if (column in MAPPED_FIELDS or column.startswith(wanted))
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    }


def columns_of(flat_rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of all columns, in the order in which the rows bring them up."""
    return list(dict.fromkeys(column for flat in flat_rows for column in flat))


def csv_bytes(flat_rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write rows as CSV in UTF-8: a head line, floats that read back as they were, nothing where nothing is known."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns_of(flat_rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat_rows)
    return stream.getvalue().encode()


def parquet_bytes(flat_rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write rows as Parquet: null where nothing is known, text where numbers and words share a column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {column: _one_type([flat.get(column) for flat in flat_rows]) for column in columns_of(flat_rows)}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(table), sink, compression="zstd")
    return bytes(sink.getvalue())


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", json.dumps(value)
        else:
            yield f"{prefix}{name}", value


def _one_type(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [value if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [value if value is None else str(value) for value in values]
    return values
