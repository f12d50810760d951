"""A view that direct selection makes sparser than one with a larger spacing is named wherever its numbers are."""

from __future__ import annotations

import numpy as np
from manifest_rows import row_of_cell
from tiny import tiny_study

from fly64dask.records import notes_of, sparser_notes
from fly64dask.scan import select
from fly64dask.study import Cell, SpacingView

DENSE = SpacingView(name="dense", rule="min_spacing", threshold_px=5.0)
SPARSE = SpacingView(name="sparse", rule="min_spacing", threshold_px=12.0)
NOTE = (
    "view dense keeps 12 exposures of train (direct, at >= 5 px), fewer than view sparse with 44 (greedy, at >= 12 "
    "px): it is the sparser of the two"
)


def row(view, split, kept):
    return row_of_cell(Cell(dose=1e4, view=view, split=split), **kept)


def kept_by(view, positions):
    metadata = select(positions, view).metadata
    return {
        "n_kept": metadata.n_accepted,
        "spacing_threshold": metadata.spacing_threshold,
        "selection_strategy": metadata.selection_strategy,
    }


def pairs_and_single_ones():
    """44 pairs of exposures 1 px apart, 20 px from pair to pair, and 12 exposures 8 px beside one of them."""
    corners = np.array([(20.0 * row, 20.0 * column) for row in range(4) for column in range(11)])
    return np.concatenate([corners, corners + np.array([0, 1]), corners[:12] + np.array([0, -8])])


def test_a_view_that_direct_selection_makes_the_sparser_one_is_named():
    """By hand: 12 of 100 directly, needed 8; none is 12 px from all others, and of each pair one goes."""
    rows = [row(view.name, "train", kept_by(view, pairs_and_single_ones())) for view in (SPARSE, DENSE)]
    assert sparser_notes(rows) == [NOTE]


def test_views_whose_order_is_that_of_their_spacings_are_not_named():
    positions = np.random.default_rng(1).uniform(0, 100, (400, 2))
    assert sparser_notes([row(view.name, "train", kept_by(view, positions)) for view in (DENSE, SPARSE)]) == []


def test_views_of_different_splits_are_not_compared():
    few = {"n_kept": 3, "spacing_threshold": 5.0, "selection_strategy": "direct"}
    many = {"n_kept": 9, "spacing_threshold": 12.0, "selection_strategy": "greedy"}
    assert sparser_notes([row("dense", "train", few), row("sparse", "test", many)]) == []


def test_the_note_is_among_those_of_a_run():
    rows = [row(view.name, "train", kept_by(view, pairs_and_single_ones())) for view in (DENSE, SPARSE)]
    assert NOTE in notes_of(tiny_study(), rows, has_errors=False)
