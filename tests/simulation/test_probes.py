"""The built-in probe, against what the forward models and an instrument need."""

from __future__ import annotations

import numpy as np
import pytest

from fly64dask.simulation import measure_probe_light, phase_plate_probe

SHAPES = [(32, 32), (62, 62), (63, 63), (64, 64), (64, 63), (48, 96), (128, 128)]


def brightest_at_rim(probe: np.ndarray) -> float:
    intensity = np.abs(probe) ** 2
    rim = np.concatenate([intensity[0], intensity[-1], intensity[:, 0], intensity[:, -1]])
    return rim.max() / intensity.max()


@pytest.mark.parametrize("shape", SHAPES)
def test_phase_plate_probe_lies_within_the_band_and_the_array(shape):
    probe = phase_plate_probe(shape)
    assert measure_probe_light(probe).beyond_band < 3e-4  # forward models need 1e-3
    assert brightest_at_rim(probe) < 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_phase_plate_probe_has_one_unit_of_light(shape):
    assert (np.abs(phase_plate_probe(shape).astype(complex)) ** 2).sum() == pytest.approx(1, abs=1e-5)


def test_phase_plate_probe_is_nearly_the_same_at_nearly_the_same_size():
    # 62, 63 and 64 px: correlation of the complex waves on the pixels that all of them have, about their centres.
    smaller, odd, larger = (
        phase_plate_probe(shape)[shape[0] // 2 - 30 : shape[0] // 2 + 30, shape[1] // 2 - 30 : shape[1] // 2 + 30]
        for shape in ((62, 62), (63, 63), (64, 64))
    )
    for other in (smaller, odd):
        assert abs(np.vdot(other, larger)) / np.linalg.norm(other) / np.linalg.norm(larger) > 0.9


def test_phase_plate_probe_is_evenly_bright_in_real_space_and_not_on_the_detector():
    # The illuminated area begins at a tenth of the brightest pixel: nothing inside the pinhole falls out of it.
    probe = phase_plate_probe((64, 64)).astype(complex)
    offset = np.arange(64) - 32
    inside = np.hypot(offset[:, None], offset) < 0.18 * 64
    intensity = np.abs(probe) ** 2
    assert intensity[inside].min() > 0.1 * intensity.max()
    # A lens alone fills its aperture evenly; speckle has a standard deviation of its mean (Goodman, Speckle Phenomena).
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(probe))) ** 2
    bright = spectrum[np.hypot(offset[:, None], offset) < 0.1 * 64]
    assert bright.std() / bright.mean() == pytest.approx(1, abs=0.4)


def test_phase_plate_probe_has_stray_light_at_every_frequency():
    # Single precision has 1e-7 of the brightest: below that, phases would be those of rounding errors.
    amplitude = np.abs(np.fft.fft2(phase_plate_probe((64, 64)).astype(complex)))
    assert np.quantile(amplitude, 0.01) > 1e-5 * amplitude.max()
