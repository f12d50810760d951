"""Diameters of probes whose widths are known from their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fly64dask.scan import probe_diameters

Y, X = np.indices((96, 128))


def gaussian(sigma_px: float, centre: tuple[float, float] = (48.0, 64.0)):
    """A probe whose intensity is a round Gaussian of standard deviation sigma."""
    return np.exp(-((Y - centre[0]) ** 2 + (X - centre[1]) ** 2) / (4 * sigma_px**2)).astype(np.complex64)


@pytest.mark.parametrize("sigma_px", [3.0, 6.5, 10.0])
def test_probe_diameters_of_a_gaussian(sigma_px):
    found = probe_diameters(gaussian(sigma_px))
    assert found.fwhm_px == pytest.approx(2 * np.sqrt(2 * np.log(2)) * sigma_px, rel=0.03)
    # 1 - exp(-r^2 / 2 s^2) = 0.9 of the power lies within r.
    assert found.d90_px == pytest.approx(2 * np.sqrt(2 * np.log(10)) * sigma_px, rel=0.02)


@pytest.mark.parametrize("radius_px", [5.0, 12.3, 30.0])
def test_probe_diameters_of_a_top_hat(radius_px):
    disc = (np.hypot(Y - 48, X - 64) <= radius_px).astype(np.complex64)
    found = probe_diameters(disc)
    assert found.fwhm_px == pytest.approx(2 * radius_px, rel=0.02)
    assert found.d90_px == pytest.approx(2 * radius_px * np.sqrt(0.9), rel=0.02)


@given(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0), st.floats(1e-4, 1e4))
def test_probe_diameters_do_not_depend_on_where_the_probe_is_and_how_bright(dy, dx, brightness):
    moved = probe_diameters(brightness * gaussian(6.0, (48 + dy, 64 + dx)))
    assert moved.fwhm_px == pytest.approx(probe_diameters(gaussian(6.0)).fwhm_px, rel=0.04)
    assert moved.d90_px == pytest.approx(probe_diameters(gaussian(6.0)).d90_px, rel=0.02)


def test_probe_diameters_sum_the_intensities_of_modes():
    # Two modes side by side, each half of an evenly illuminated disc, are that disc.
    disc = (np.hypot(Y - 48, X - 64) <= 20).astype(np.complex64)
    halves = np.stack([disc * (X < 64), disc * (X >= 64)])[None]
    assert probe_diameters(halves) == probe_diameters(disc)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_probe_diameters_refuse_a_probe_without_light(value):
    with pytest.raises(ValueError, match="finite number above 0"):
        probe_diameters(np.full((8, 8), value, dtype=np.complex64))
