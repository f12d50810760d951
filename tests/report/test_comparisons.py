"""What a report says of views beside each other: lines with factors where repeats tell a spread, else a sentence."""

from __future__ import annotations

import pytest
from limit_rows import TARGET, rows_of, study_of, totals_of

from fly64dask.records.derived import relative_error
from fly64dask.report.answer import answer_content

CLOSE = [0.10, 0.11, 0.105]
LOOSE = [2.00 * CLOSE[0], 2.02 * CLOSE[1], 1.98 * CLOSE[2]]


def comparisons_of(loose, close, **changes):
    study = study_of("loose", "close", doses=(1e4,), repeats=len(loose), **changes)
    rows = [*rows_of({1e4: loose}, view="loose"), *rows_of({1e4: close})]
    completed = [row.model_copy(update={"relative": relative_error(row, None)}) for row in rows]
    return answer_content(totals_of(study, completed), "runs/mine", []).comparisons


@pytest.mark.parametrize("targets", [(), (TARGET,)])
def test_a_line_has_the_factor_and_which_view_is_better(targets):
    (row,) = comparisons_of(LOOSE, CLOSE, targets=targets).rows
    assert (row.first, row.second, row.lower, row.words) == ("loose", "close", "close", "close is better")
    assert row.factor.startswith("0.500 (0.4")


def test_views_within_the_spread_have_a_line_that_calls_none_better():
    (row,) = comparisons_of([0.9 * CLOSE[0], 1.1 * CLOSE[1], 0.95 * CLOSE[2]], CLOSE).rows
    assert (row.lower, row.words) == (None, "no difference beyond the spread")


def test_without_repeats_a_sentence_says_why_nothing_is_said():
    found = comparisons_of([0.2], [0.1])
    assert found.rows == ()
    assert found.sentences == ("Nothing can be said of differences between views: one repeat tells no spread.",)
