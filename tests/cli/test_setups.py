"""What people are told of a study's setups: what is not ideal, and the limits of each."""

from __future__ import annotations

import pytest
from limit_rows import TARGET, row_of, rows_of, study_of

from fly64dask.cli.terminal.limits import limits_table
from fly64dask.cli.terminal.matrix import legend_lines
from fly64dask.records import answer_of, caveats_of, setup_note
from fly64dask.study import SetupAxes

IDEAL, SPREAD = "point_spread_px_0", "point_spread_px_2"
STUDY = study_of("close", setup=SetupAxes(point_spread_px=(0.0, 2.0)))
# Errors of the shot noise in the one setup, and in the other one twice as large, which takes four times the dose.
ROWS = [
    row.model_copy(update={"setup_name": name})
    for name, factor in ((IDEAL, 1.0), (SPREAD, 2.0))
    for row in rows_of({dose: [factor * error] * 3 for dose, error in ((1e3, 0.2), (1e4, 0.0632), (1e5, 0.02))})
]


@pytest.mark.parametrize("setup", [None, SetupAxes(), SetupAxes(gap_px=0)])
def test_nothing_is_said_of_an_ideal_setup(setup):
    assert setup_note(study_of(setup=setup)) is None


def test_a_note_has_what_is_not_ideal():
    setup = SetupAxes(gap_px=4, background_photons=(0.0, 0.1), mask="unknown")
    assert setup_note(study_of(setup=setup)) == "setup: background_photons 0 | 0.1, gap_px 4, mask unknown"


def test_the_legend_of_the_matrix_has_the_setup():
    assert [line.plain for line in legend_lines(STUDY, [])] == ["setup: point_spread_px 0 | 2"]


def test_a_cell_without_the_mask_says_how_many_pixels_are_taken_for_dark():
    (caveat,) = caveats_of(row_of(0.1, 1e4, unmasked_share=0.16))
    assert caveat == "16 % of the pixels measure nothing, and are taken for dark"


def test_each_setup_has_a_limit_of_its_own():
    (answer,) = answer_of(STUDY, ROWS, [TARGET]).targets
    ideal, spread = answer.doses
    assert (ideal.setup_name, spread.setup_name) == (IDEAL, SPREAD)
    assert spread.lowest.dose == pytest.approx(4 * ideal.lowest.dose, rel=0.1)


def test_sentences_name_the_setup():
    (answer,) = answer_of(STUDY, ROWS, [TARGET]).targets
    beginnings = [sentence.partition(")")[0] for sentence in answer.sentences[:2]]
    assert beginnings == [f"At 60 % linear overlap (close, whole, {name}" for name in (IDEAL, SPREAD)]


def test_limits_of_two_setups_are_compared_at_their_view_and_split():
    (answer,) = answer_of(STUDY, ROWS, [TARGET]).targets
    assert answer.sentences[-1] == f"Not compared, as the repeats do not differ: {IDEAL} and {SPREAD} (close, whole)."


def test_the_table_of_limits_has_a_column_of_setups():
    table = limits_table(answer_of(STUDY, ROWS, [TARGET]).targets[0], "exposure")
    (of_setups,) = [column for column in table.columns if column.header == "setup"]
    assert list(of_setups.cells) == [IDEAL, SPREAD]
