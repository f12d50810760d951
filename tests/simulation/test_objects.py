"""The built-in objects, against what each is said to be."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fly64dask.simulation import make_object, synthetic_pair

KINDS = ["speckle", "siemens_star", "photographs", "white_noise"]
SHAPE = (96, 140)


def make(kind: str, seed: int = 3, shape: tuple[int, int] = SHAPE, oversampling: int = 1) -> np.ndarray:
    return make_object(kind, shape, seed=seed, probe_size_px=32, oversampling=oversampling)


@pytest.mark.parametrize("kind", KINDS)
def test_make_object_depends_on_its_seed_alone(kind):
    assert np.array_equal(make(kind), make(kind))
    assert not np.array_equal(make(kind), make(kind, seed=4))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(8, 8), (33, 600), (700, 41)])
def test_make_object_absorbs_and_never_amplifies_at_any_shape(kind, shape):
    transmission = make(kind, shape=shape)
    assert transmission.shape == shape
    assert transmission.dtype == np.complex64
    assert np.abs(transmission).max() <= 1 + 1e-6
    assert np.abs(transmission).min() > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_make_object_has_phases_of_a_few_tenths_of_a_radian(kind):
    assert 0.15 < np.angle(make(kind)).std() < 0.5


@pytest.mark.parametrize("kind", ["siemens_star", "photographs"])
def test_make_object_on_a_finer_grid_shows_the_same(kind):
    fine = make(kind, oversampling=2)
    assert fine.shape == (192, 280)
    binned = fine.reshape(96, 2, 140, 2).mean(axis=(1, 3))
    assert np.corrcoef(np.angle(binned).ravel(), np.angle(make(kind)).ravel())[0, 1] > 0.9


def test_synthetic_pair_of_the_fine_model_illuminates_a_finer_object():
    pair = synthetic_pair(SHAPE, (32, 32), seed=1, kind="siemens_star", oversampling=2)
    assert pair.object_fine is not None
    assert pair.object_fine.shape == (192, 280)
    assert pair.object_truth.shape == SHAPE


def test_siemens_star_has_36_spokes_of_one_phase_and_half_the_angle():
    star = make("siemens_star", shape=(201, 201))
    angles = np.linspace(0, 2 * np.pi, 3600, endpoint=False)
    ring = star[np.rint(100 + 90 * np.sin(angles)).astype(int), np.rint(100 + 90 * np.cos(angles)).astype(int)]
    is_spoke = np.angle(ring) > 0.25
    assert (np.diff(is_spoke.astype(int), append=is_spoke[0].astype(int)) == 1).sum() == 36
    assert is_spoke.mean() == pytest.approx(0.5, abs=0.02)
    assert len(np.unique(star)) == 2


def test_siemens_star_is_empty_where_spokes_are_narrower_than_a_pixel():
    # 36 periods of 2 px fill a circle of radius 36 / pi = 11.5 px.
    star = make("siemens_star", shape=(201, 201))
    y, x = np.indices(star.shape) - 100
    assert len(np.unique(star[np.hypot(y, x) < 11.4])) == 1
    assert len(np.unique(star[np.hypot(y, x) < 13])) == 2


def test_white_noise_has_all_frequencies_alike():
    phase = np.angle(make("white_noise", shape=(256, 256)))
    power = np.abs(np.fft.fft2(phase - phase.mean())) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    low, high = power[(frequency > 0) & (frequency < 0.1)].mean(), power[frequency > 0.4].mean()
    assert low == pytest.approx(high, rel=0.15)


def test_photographs_are_files_of_an_installed_package(monkeypatch):
    # Without pooch, scikit-image cannot download anything.
    monkeypatch.setitem(sys.modules, "pooch", None)
    for name in [name for name in sys.modules if name.startswith("skimage.data")]:
        monkeypatch.delitem(sys.modules, name)
    assert np.abs(make("photographs")).std() > 0.01
