"""Positions that move the cut of a split are named with both cuts; scans as they are, are not."""

from __future__ import annotations

import numpy as np
import pytest

from fly64dask.scan import doubt_split
from fly64dask.study import SplitRule

RULE = SplitRule()


def raster(glitch: dict[int, float] | None = None, *, axis: int = 0) -> np.ndarray:
    """10 x 10 positions in steps of 6 px from 60 to 114, with some coordinates changed."""
    positions = 60.0 + 6.0 * np.stack(np.divmod(np.arange(100), 10), axis=1)
    for row, value in (glitch or {}).items():
        positions[row, axis] = value
    return positions


def test_a_position_above_all_others_is_named_with_both_cuts() -> None:
    (doubt,) = doubt_split(raster({7: 380.0}), RULE)
    # (60 + 380) / 2 with it, (60 + 114) / 2 without.
    needed = ["1 of 100 positions lies 266 px", "exposure 7 at y 380 px", "cut is at 220 px", "without them at 87"]
    assert [part for part in needed if part not in doubt] == []


def test_positions_below_all_others_are_named_too() -> None:
    (doubt,) = doubt_split(raster({3: -50.0, 9: -52.0}), RULE)
    assert "exposure 3, 9 at y -52 px" in doubt


def test_a_position_that_is_off_along_the_other_axis_moves_no_cut() -> None:
    assert list(doubt_split(raster({7: 380.0}, axis=1), RULE)) == []
    assert len(list(doubt_split(raster({7: 380.0}, axis=1), SplitRule(axis="x")))) == 1


def test_a_whole_field_has_no_cut_to_move() -> None:
    assert list(doubt_split(raster({7: 380.0}), "none")) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_scan_without_glitch_is_not_doubted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert list(doubt_split(rng.uniform(0, 300, (rng.integers(2, 200), 2)), RULE)) == []


def test_rows_and_columns_without_glitch_are_not_doubted() -> None:
    rows = np.stack(np.divmod(np.arange(200.0), 100), axis=1) * 6
    for positions in (raster(), rows, rows[:, ::-1], rows[:1], raster()[:3]):
        assert list(doubt_split(positions, RULE)) == []
