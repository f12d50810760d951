"""Rows as columns, CSV and Parquet."""

from __future__ import annotations

import csv
import io

import pandas
import pyarrow.parquet
import pytest
from tiny import tiny_study

from fly64dask.base import InputError
from fly64dask.records import ManifestRow, row_columns
from fly64dask.report.columns import lead_column, mapped_numbers
from fly64dask.report.table import cell_columns, csv_bytes, gathered, parquet_bytes, write_table

STUDY = tiny_study()


def test_parquet_takes_doses_that_are_numbers_and_words():
    read = pyarrow.parquet.read_table(
        io.BytesIO(parquet_bytes(STUDY, gathered([{"dose": 1e3}, {"dose": "measured", "n": 1}, {"n": 0.5}])))
    )
    assert read.to_pydict() == {"dose": ["1000.0", "measured", None], "n": [None, 1.0, 0.5]}


def test_csv_quotes_what_would_end_a_field():
    read = list(csv.reader(io.StringIO(csv_bytes(gathered([{"error": 'a,"b"\nc'}])).decode())))
    assert read == [["error"], ['a,"b"\nc']]


def test_mapped_numbers_take_every_number_of_a_records_own_records():
    flat = {"metrics.new.depth_px": 2.5, "metrics.fine": True, "metrics.word": "no", "half_sets.n": 3, "attempt": 1}
    assert mapped_numbers(flat) == {"metrics.new.depth_px": 2.5, "half_sets.n": 3}


def test_parquet_fields_carry_labels_and_units():
    (field,) = pyarrow.parquet.read_table(
        io.BytesIO(parquet_bytes(STUDY, gathered([{"metrics.phase.psnr_db": 1.5}])))
    ).schema
    assert field.metadata == {b"label": b"phase PSNR", b"unit": b"dB", b"better": b"higher"}


@pytest.mark.parametrize(
    ("dose_by", "unit"),
    [("exposure", "photons per exposure"), ("fluence", "photons/px²"), ("total", "photons in total")],
)
def test_pandas_reads_from_parquet_what_a_dose_counts(tmp_path, dose_by, unit):
    study = STUDY.model_copy(update={"dose_by": dose_by})
    write_table(tmp_path / "t.parquet", study, gathered([{"dose": 1e3, "state": "completed"}]))
    read = pandas.read_parquet(tmp_path / "t.parquet")
    assert read.attrs["dose_by"] == dose_by
    assert read.attrs["units"] == {"dose": unit}
    field = pyarrow.parquet.read_schema(tmp_path / "t.parquet").field("dose")
    assert field.metadata == {b"label": b"dose", b"unit": unit.encode()}


def test_pandas_reads_from_parquet_the_unit_label_and_better_direction_of_each_number(tmp_path):
    rows = [{"metrics.phase_rmse_rad": None, "n_kept": 3}, {"metrics.phase_rmse_rad": 0.1, "state": "completed"}]
    write_table(tmp_path / "t.parquet", STUDY, gathered(rows))
    attributes = pandas.read_parquet(tmp_path / "t.parquet").attrs
    assert attributes["units"] == {"metrics.phase_rmse_rad": "rad", "n_kept": "1"}
    assert attributes["labels"] == {
        "metrics.phase_rmse_rad": "phase error against the truth",
        "n_kept": "kept exposures",
    }
    assert attributes["better"] == {"metrics.phase_rmse_rad": "lower"}


def test_write_table_refuses_a_name_that_says_no_format(tmp_path):
    with pytest.raises(InputError, match=r"ends in '.xlsx', needed .parquet or .csv"):
        write_table(tmp_path / "t.xlsx", STUDY, gathered([]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("columns", "lead"),
    [
        (["final_loss", "n_kept", "half_sets.resolution_px"], "half_sets.resolution_px"),
        (["final_loss", "half_sets.resolution_px", "half_sets.resolution_nm"], "half_sets.resolution_nm"),
        # A loss is lower for fewer photons: nothing to lead with.
        (["final_loss", "n_kept"], "n_kept"),
    ],
)
def test_a_measured_run_leads_with_its_resolution_and_never_with_the_loss(columns, lead):
    assert lead_column([], columns, is_measured=True) == lead


def test_the_table_of_cells_has_a_column_for_each_value_of_the_published_schema():
    schema = ManifestRow.model_json_schema()
    published = dict(values_of(schema, schema, ""))
    coordinates = {"dose", "view", "split", "repeat", "recipe_name", "object_seed", "setup_name"}
    assert cell_columns([]).names
    assert set(cell_columns([]).names) == published.keys() - coordinates
    types = {"boolean": bool, "integer": int, "number": float, "string": str, "array": str, "object": str}
    assert {name: types[kind] for name, kind in published.items() if name not in coordinates} == row_columns()


def values_of(schema, whole, path):
    """The values of a JSON schema by dotted names, with their types; those of an object that names its own."""
    for name, field in schema["properties"].items():
        choices = [choice for choice in field.get("anyOf", [field]) if choice.get("type") != "null"]
        inner = whole["$defs"][choices[0]["$ref"].rpartition("/")[2]] if "$ref" in choices[0] else choices[0]
        if "properties" in inner:
            yield from values_of(inner, whole, f"{path}{name}.")
        else:
            yield f"{path}{name}", inner.get("type", "number")


def test_a_column_without_a_value_keeps_its_type_in_parquet():
    read = pyarrow.parquet.read_schema(io.BytesIO(parquet_bytes(STUDY, cell_columns([{"state": "pending"}]))))
    found = {name: str(read.field(name).type) for name in ("error", "n_kept", "seconds", "underdetermined", "attempts")}
    assert found == {
        "error": "string",
        "n_kept": "int64",
        "seconds": "double",
        "underdetermined": "bool",
        "attempts": "string",
    }
