"""The forward model against closed forms: a Gaussian beam through a grating has a pattern that can be written down."""

from __future__ import annotations

import numpy as np
import pytest

from fly64dask.simulation import Pair, intensity_batches, make_pair, measure_probe_light, resample
from fly64dask.simulation.forward import exit_waves

SIDES = [(64, 64), (63, 63), (62, 62), (64, 63)]
FIELD_PX = (160, 180)
SIGMA_PX = 5.0
STRENGTH = 0.4
POSITIONS = np.array([[60.0, 70.0], [61.25, 70.5], [59.5, 71.75], [80.4999, 90.5001], [77.123, 64.876]])


def gaussian_probe(shape: tuple[int, int]) -> np.ndarray:
    y, x = (np.arange(size) - size // 2 for size in shape)
    return np.exp(-(y[:, None] ** 2 + x**2) / (2 * SIGMA_PX**2)).astype(np.complex64)


def grating(frequency: tuple[float, float], *, fineness: int = 1) -> np.ndarray:
    """1 + a exp(2 pi i f r), frequency in cycles per px of the detector's grid."""
    y, x = (np.arange(fineness * size) / fineness for size in FIELD_PX)
    return (1 + STRENGTH * np.exp(2j * np.pi * (frequency[0] * y[:, None] + frequency[1] * x))).astype(np.complex64)


def closed_form(shape: tuple[int, int], frequency: tuple[float, float], position: np.ndarray) -> np.ndarray:
    """|G(q) + a exp(2 pi i f p) G(q - f)|^2 with G the Gaussian's own transform, zero frequency at (H // 2, W // 2)."""
    q_y, q_x = (np.fft.fftshift(np.fft.fftfreq(size)) for size in shape)

    def beam(f_y: float, f_x: float) -> np.ndarray:
        square = (q_y[:, None] - f_y) ** 2 + (q_x - f_x) ** 2
        return 2 * np.pi * SIGMA_PX**2 * np.exp(-2 * np.pi**2 * SIGMA_PX**2 * square)

    order = STRENGTH * np.exp(2j * np.pi * np.dot(frequency, position))
    return np.abs(beam(0, 0) + order * beam(*frequency)) ** 2 / (shape[0] * shape[1])


@pytest.mark.parametrize("shape", SIDES)
@pytest.mark.parametrize("fineness", [1, 2, 4])
def test_a_gaussian_beam_through_a_grating_gives_the_closed_form_at_any_position(shape, fineness):
    frequency = (0.03, -0.05)  # orders overlap, so that the pattern tells the beam's place on the grating
    fine = grating(frequency, fineness=fineness)
    pair = Pair(
        object_truth=grating(frequency), probe=gaussian_probe(shape), object_fine=fine if fineness > 1 else None
    )
    patterns = np.concatenate(list(intensity_batches(pair, POSITIONS)))
    expected = np.stack([closed_form(shape, frequency, position) for position in POSITIONS])
    assert patterns.shape == (len(POSITIONS), *shape)
    assert np.abs(patterns - expected).max() < 1e-5 * expected.max()


def test_the_fine_model_loses_what_is_scattered_beyond_the_detector():
    # The first order is centred at 0.7 cycles per px, and the detector ends at 0.5.
    frequency = (0.7, 0.0)
    pair = Pair(
        object_truth=grating(frequency), probe=gaussian_probe((64, 64)), object_fine=grating(frequency, fineness=2)
    )
    (pattern,) = intensity_batches(pair, POSITIONS[:1])
    empty = Pair(object_truth=np.ones(FIELD_PX, np.complex64), probe=pair.probe)
    (unscattered,) = intensity_batches(empty, POSITIONS[:1])
    assert pattern.sum() == pytest.approx(unscattered.sum(), rel=1e-5)


def test_the_grid_model_takes_a_period_below_two_pixels_for_a_longer_one():
    pair = Pair(object_truth=grating((0.7, 0.0)), probe=gaussian_probe((64, 64)))
    aliased = Pair(object_truth=grating((-0.3, 0.0)), probe=pair.probe)
    for patterns, others in zip(
        intensity_batches(pair, POSITIONS[:1]), intensity_batches(aliased, POSITIONS[:1]), strict=True
    ):
        assert np.allclose(patterns, others, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("fineness", [1, 2])
def test_a_pattern_has_the_light_of_its_exit_wave(fineness):
    pair = make_pair(grating((0.05, 0.02), fineness=fineness), gaussian_probe((64, 64)), oversampling=fineness)
    light = (np.abs(exit_waves(pair, POSITIONS)) ** 2).sum(axis=(1, 2)) / fineness**2
    patterns = np.concatenate(list(intensity_batches(pair, POSITIONS)))
    assert np.allclose(patterns.sum(axis=(1, 2)), light, rtol=1e-5)


def test_resample_keeps_what_both_grids_can_hold():
    image = grating((0.025, -0.1))  # whole periods in the field
    assert np.allclose(resample(image, (320, 360)), grating((0.025, -0.1), fineness=2), atol=1e-5)
    assert np.allclose(resample(resample(image, (320, 360)), FIELD_PX), image, atol=1e-5)


def test_resample_takes_away_what_the_coarser_grid_cannot_hold():
    assert np.allclose(resample(grating((0.7, 0.0), fineness=2), FIELD_PX), 1.0, atol=1e-5)


def test_probe_light_of_a_gaussian_is_its_tail():
    # Of a Gaussian's power exp(-(2 pi s f)^2) lies beyond frequency f, and beyond 1 / (2 pi) px in both directions.
    probe = np.exp(-((np.arange(64) - 32) ** 2)[:, None] / 2 - ((np.arange(64) - 32) ** 2) / 2)
    light = measure_probe_light(probe)
    assert light.beyond_band == pytest.approx(np.exp(-((2 * np.pi * 0.4) ** 2)), rel=0.15)
    assert light.at_rim < 1e-12
    assert len(light.warnings()) == 1


def test_probe_light_at_the_rim_of_a_flat_probe_is_the_rims_share():
    light = measure_probe_light(np.ones((64, 64)))
    assert light.at_rim == pytest.approx(1 - 60**2 / 64**2)
    assert "at the rim" in light.warnings()[0]
