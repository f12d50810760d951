"""Rows as columns, CSV and Parquet."""

from __future__ import annotations

import csv
import io

import pyarrow.parquet

from fly64dask.report.columns import csv_bytes, mapped_numbers, parquet_bytes


def test_parquet_takes_doses_that_are_numbers_and_words():
    read = pyarrow.parquet.read_table(
        io.BytesIO(parquet_bytes([{"dose": 1e3}, {"dose": "measured", "n": 1}, {"n": 0.5}]))
    )
    assert read.to_pydict() == {"dose": ["1000.0", "measured", None], "n": [None, 1.0, 0.5]}


def test_csv_quotes_what_would_end_a_field():
    read = list(csv.reader(io.StringIO(csv_bytes([{"error": 'a,"b"\nc'}]).decode())))
    assert read == [["error"], ['a,"b"\nc']]


def test_mapped_numbers_take_every_number_of_a_records_own_records():
    flat = {"metrics.new.depth_px": 2.5, "metrics.fine": True, "metrics.word": "no", "half_sets.n": 3, "attempt": 1}
    assert mapped_numbers(flat) == {"metrics.new.depth_px": 2.5, "half_sets.n": 3}
