"""An object that is given more finely than the detector resolves it: what is lost, and what its border does."""

from __future__ import annotations

import numpy as np
import pytest

from fly64dask.simulation import make_pair, measure_object_band, phase_plate_probe

POSITIONS = np.random.default_rng(0).uniform(16, 80, (60, 2))


def band(image, oversampling=2):
    pair = make_pair(image.astype(np.complex64), phase_plate_probe((32, 32)), oversampling=oversampling)
    return measure_object_band(pair, POSITIONS)


def stripes(cycles):
    """So many whole periods along x, in a field of 192 fine pixels, which is 96 of the detector's."""
    return 1 + 0.3 * np.exp(2j * np.pi * cycles * np.arange(192) / 192) * np.ones((192, 1))


def test_the_grid_model_has_no_band_of_the_object():
    assert band(np.ones((96, 96)), oversampling=1) is None


def test_structure_that_the_grid_holds_is_not_beyond_it():
    assert band(stripes(40)).beyond_grid == pytest.approx(0, abs=1e-5)


def test_structure_finer_than_the_grid_is_beyond_it():
    # Of two gratings, the one of 60 periods is finer than 96 px hold, and has four fifths of the power.
    assert band(stripes(40) + 2 * (stripes(60) - 1)).beyond_grid == pytest.approx(0.8, abs=1e-4)


def test_an_empty_object_has_no_error_of_its_border():
    found = band(np.ones((192, 192)))
    assert found.border_error < 1e-6
    assert found.warnings() == []


def test_a_phase_that_differs_between_opposite_borders_is_warned_of():
    found = band(np.exp(1j * np.linspace(0, 3, 192))[:, None] * np.ones((1, 192)))
    assert len(found.warnings()) == 1
    assert "enlarge the object" in found.warnings()[0]
