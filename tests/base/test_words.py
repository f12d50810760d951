"""Numbers in messages: one has a singular noun and verb, none and several have the plural."""

from __future__ import annotations

import pytest

from fly64dask.base import counted, counted_of


@pytest.mark.parametrize(("number", "words"), [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs")])
def test_counted_has_one_in_the_singular_alone(number, words):
    assert counted(number, "job") == words


def test_counted_takes_another_plural():
    assert [counted(n, "cell was", "cells were") for n in (1, 2)] == ["1 cell was", "2 cells were"]


@pytest.mark.parametrize(
    ("number", "total", "words"),
    [(1, 6, "1 of 6 cells is"), (2, 6, "2 of 6 cells are"), (0, 1, "0 of 1 cell are"), (1, 1, "1 of 1 cell is")],
)
def test_counted_of_has_the_noun_of_all_and_the_verb_of_some(number, total, words):
    assert counted_of(number, total, "cell", "is", "are") == words
