"""The built-in probe, against what the forward models and an instrument need."""

from __future__ import annotations

import numpy as np
import pytest

from fly64dask.simulation import diffuser_probe, measure_probe_light

SHAPES = [(32, 32), (62, 62), (63, 63), (64, 64), (64, 63), (48, 96), (128, 128)]


def brightest_at_rim(probe: np.ndarray) -> float:
    intensity = np.abs(probe) ** 2
    rim = np.concatenate([intensity[0], intensity[-1], intensity[:, 0], intensity[:, -1]])
    return rim.max() / intensity.max()


@pytest.mark.parametrize("shape", SHAPES)
def test_diffuser_probe_lies_within_the_band_and_the_array(shape):
    probe = diffuser_probe(shape)
    assert measure_probe_light(probe).beyond_band < 3e-4  # forward models need 1e-3
    assert brightest_at_rim(probe) < 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_diffuser_probe_has_one_unit_of_light(shape):
    assert (np.abs(diffuser_probe(shape).astype(complex)) ** 2).sum() == pytest.approx(1, abs=1e-5)


def test_diffuser_probe_is_nearly_the_same_at_nearly_the_same_size():
    # 62, 63 and 64 px: correlation of the complex waves on the pixels that all of them have, about their centres.
    smaller, odd, larger = (
        diffuser_probe(shape)[shape[0] // 2 - 30 : shape[0] // 2 + 30, shape[1] // 2 - 30 : shape[1] // 2 + 30]
        for shape in ((62, 62), (63, 63), (64, 64))
    )
    for other in (smaller, odd):
        assert abs(np.vdot(other, larger)) / np.linalg.norm(other) / np.linalg.norm(larger) > 0.9


def test_diffuser_probe_is_speckled():
    # Fully developed speckle: where a pinhole is lit, intensity has an exponential distribution, whose standard
    # deviation is its mean (Goodman, Speckle Phenomena in Optics). The 80 px around the middle hold many speckles.
    probe = diffuser_probe((256, 256))[128 - 40 : 128 + 40, 128 - 40 : 128 + 40]
    intensity = np.abs(probe) ** 2
    assert intensity.std() / intensity.mean() == pytest.approx(1, abs=0.15)
