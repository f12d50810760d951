"""What the group of a view says of the exposures that it keeps."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import tiny_study

from fly64dask.datasets import describe_view
from fly64dask.scan import select
from fly64dask.store import ViewAttributes
from fly64dask.study import OverlapMeasure

RADIUS_PX = 10.0
Y, X = np.indices((24, 24))
DISC = (np.hypot(Y - 12, X - 12) <= RADIUS_PX).astype(np.complex64)[None, None]
# Two positions, one radius apart.
POSITIONS = np.array([[20.0, 20.0], [20.0, 30.0]])


def described(overlap: OverlapMeasure) -> ViewAttributes:
    study = tiny_study(overlap=overlap)
    return describe_view(study, "all", "train", POSITIONS, select(POSITIONS, study.views[0]), DISC)


def test_describe_view_takes_the_overlap_of_discs_of_the_studys_diameter():
    # Unit discs through each other's centres share 0.391 of their area.
    found = described(OverlapMeasure(diameter_px=2 * RADIUS_PX))
    assert found.overlap_diameter_px == 2 * RADIUS_PX
    assert found.image_overlap == pytest.approx(0.3910022189557706)


def test_describe_view_takes_the_probes_diameter_where_the_study_has_none():
    # An evenly illuminated disc of radius R holds 90 % of its power within sqrt(0.9) R.
    found = described(OverlapMeasure())
    assert found.overlap_diameter_px == pytest.approx(2 * RADIUS_PX * np.sqrt(0.9), rel=0.02)
    as_given = described(OverlapMeasure(diameter_px=found.overlap_diameter_px))
    assert (found.image_overlap, found.group_overlap) == (as_given.image_overlap, as_given.group_overlap)
