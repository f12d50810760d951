"""Every number of a row has a label and a unit at its field; a column that no field describes has those of its name."""

from __future__ import annotations

import pytest

from fly64dask.records import ManifestRow, quantity_of


@pytest.mark.parametrize(
    ("column", "label", "unit", "better"),
    [
        ("n_kept", "kept exposures", "", None),
        ("metrics.phase_rmse_rad", "phase error against the truth", "rad", "lower"),
        ("metrics.phase.rmse", "phase error, root mean square", "rad", "lower"),
        ("metrics.amplitude.rmse", "amplitude error, root mean square", "transmission", "lower"),
        ("metrics.phase.psnr_db", "phase PSNR", "dB", "higher"),
        ("metrics.empty.phase.psnr_db", "empty object: phase PSNR", "dB", None),
        ("metrics.alignment.ramp_x_rad_per_px", "alignment: phase ramp along x", "rad/px", None),
        (
            "half_sets.half_bit.resolution_px",
            "half sets: correlation at half a bit, resolution (half a period)",
            "px",
            "lower",
        ),
    ],
)
def test_quantity_of_joins_what_the_fields_on_the_way_say(column, label, unit, better):
    found = quantity_of(column)
    assert (found.label, found.unit, found.better) == (label, unit, better)


@pytest.mark.parametrize(
    ("column", "label", "unit"),
    [
        ("metrics.never_heard_of_db", "never heard of", "dB"),
        ("half_sets.never_heard_of_px", "half sets: never heard of", "px"),
        ("metrics.deep.er.never_m", "deep er: never", "m"),
        ("metrics.neverheardof", "neverheardof", ""),
    ],
)
def test_quantity_of_calls_an_unknown_column_by_its_own_name(column, label, unit):
    assert (quantity_of(column).label, quantity_of(column).unit) == (label, unit)


def test_no_number_of_a_measured_record_is_without_a_label():
    schema = ManifestRow.model_json_schema()
    measured = ("TruthMetrics", "ObjectMetrics", "ImageMetrics", "Crossing", "Alignment", "Identifiability")
    measured += ("HalfSetMetrics", "StoppingFacts")
    unnamed = [
        (record, name)
        for record in measured
        for name, field in schema["$defs"][record]["properties"].items()
        if {"number", "integer"} & {each.get("type") for each in (field, *field.get("anyOf", ()))}
        and field["title"] == name.replace("_", " ").title()
    ]
    assert unnamed == []


def test_the_published_schema_says_units_and_what_is_better():
    field = ManifestRow.model_json_schema()["$defs"]["TruthMetrics"]["properties"]["phase_rmse_rad"]
    assert (field["title"], field["unit"], field["better"]) == ("phase error against the truth", "rad", "lower")
