"""Targets of a study: one number each, of a kind that the study's cells can be measured by."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tiny import TEXT

from fly64dask.base import InputError
from fly64dask.study import Target, parse_study, resolved_target


def with_targets(text):
    return TEXT.replace("recipe =", f"targets = [{text}]\nrecipe =")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "found none"),
        ({"resolution_px": 3, "phase_error_rad": 0.1}, "found resolution_px, phase_error_rad"),
        ({"phase_error_rad": 0.1, "criterion": "one_bit"}, "belongs to a resolution"),
        ({"phase_error_rad": 0.1, "against": "half_sets"}, "not computed"),
        ({"error_over_floor": 2, "against": "reference"}, "compares with the truth"),
        ({"error_over_floor": 0.5}, "greater than or equal to 1"),
        ({"resolution_px": 0}, "greater than 0"),
        ({"resolution_px": 3, "share": 0}, "greater than 0"),
    ],
)
def test_a_target_that_cannot_be_is_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        Target(**settings)


def test_a_simulated_study_is_measured_against_its_truth():
    study = parse_study(with_targets("{resolution_px = 3}"), origin="x.toml")
    assert resolved_target(study.targets[0], study).against == "truth"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("{error_over_floor = 2}", 'add "noise_free" to doses_photons'),
        ('{resolution_px = 3, against = "half_sets"}', "set halves = 'counts'"),
        ('{resolution_px = 3, against = "reference"}', r"add \[reference\]"),
        ('{resolution_px = 3, criterion = "half", against = "half_sets"}', "correlation of 0.5 with a truth"),
    ],
)
def test_a_study_whose_cells_cannot_be_measured_by_a_target_is_refused(target, words):
    with pytest.raises(InputError, match=words):
        parse_study(with_targets(target), origin="x.toml")
