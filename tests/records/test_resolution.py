"""The resolution that a measured cell is shown with."""

from __future__ import annotations

import pytest

from fly64dask.metrics import Crossing, HalfSetMetrics
from fly64dask.records import resolution_words

CROSSING = Crossing(shell=4.0, frequency_per_px=0.2, resolution_px=2.5)


@pytest.mark.parametrize(
    ("half_sets", "words"),
    [
        (None, "no resolution"),
        (HalfSetMetrics(split_by="counts", missing="a half holds no photon"), "no resolution"),
        (HalfSetMetrics(split_by="counts", resolution_px=2.5, half_bit=CROSSING), "2.5 px"),
        (HalfSetMetrics(split_by="counts", resolution_px=2.5, resolution_nm=21.0, half_bit=CROSSING), "2.5 px = 21 nm"),
        # Halves that agree up to Nyquist have no crossing: pixels show nothing finer.
        (HalfSetMetrics(split_by="counts", resolution_px=1.0, resolution_nm=8.4), "≤ 1 px = 8.4 nm"),
    ],
)
def test_resolution_words_are_in_px_and_nm(half_sets, words):
    assert resolution_words(half_sets) == words
