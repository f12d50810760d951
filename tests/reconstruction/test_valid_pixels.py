"""Detector pixels that measure nothing: what they leave of the engine's numbers, by NumPy and by the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import special

from fly64dask.base import InputError
from fly64dask.reconstruction import Exposures
from fly64dask.reconstruction.lsqml import begin, reconstruct
from fly64dask.reconstruction.lsqml.process_settings import settings_put_back
from fly64dask.reconstruction.lsqml.stopping_rule import held_out_deviance
from fly64dask.study import Recipe

N, SIDE = 40, 24
# A cross of gaps beside the centre, and a corner: a fifth of the pixels and a third of the light.
VALID = np.ones((SIDE, SIDE), bool)
VALID[13:15], VALID[:, 10], VALID[:5, :7] = False, False, False


def quiet(*_):
    """Take no notice of an epoch."""


def probe():
    y, x = np.mgrid[-12:12, -12:12]
    return np.exp(-(x**2 + y**2) / 50 + 0.04j * (x**2 + y**2)).astype(np.complex64)


@pytest.fixture(scope="module")
def truth():
    """A phase object of 60 x 60 px."""
    y, x = np.mgrid[:60, :60]
    return np.exp(0.4j * np.sin(y / 4) * np.cos(x / 5))


@pytest.fixture(scope="module")
def scan(truth):
    """Whole-pixel positions, 1e5 photons an exposure, all of the detector."""
    rng = np.random.default_rng(5)
    corners = rng.integers(0, 36, (N, 2))
    waves = np.stack([probe() * truth[r : r + 24, c : c + 24] for r, c in corners])
    pattern = np.abs(np.fft.fftshift(np.fft.fft2(waves), axes=(1, 2))) ** 2
    counts = rng.poisson(pattern * 1e5 / pattern.sum(axis=(1, 2)).mean()).astype(np.uint32)
    return Exposures(counts=counts, positions_px=corners + 12.0, probe_guess=probe()[None, None])


def masked(scan, valid=VALID):
    return replace(scan, counts=scan.counts * valid, valid_pixels=valid)


def run(scan, **keys):
    return reconstruct(
        scan, Recipe(**{"n_epochs": 2, "batch_size": 10, "device": "cpu"} | keys), seed=7, progress=quiet
    )


def error_rad(result, truth):
    """Phase rms about its mean, where the scan has been; whole pixels need no alignment."""
    y, x = -np.array(result.object_origin_px)
    found = result.object_recon[0, y + 12 : y + 48, x + 12 : x + 48]
    rest = np.angle(found * truth[12:48, 12:48].conj())
    return np.std(np.angle(np.exp(1j * (rest - np.angle(np.exp(1j * rest).mean())))))


@pytest.mark.parametrize("accelerated", [True, False])
def test_mask_that_is_all_valid_gives_the_bits_of_none(scan, accelerated):
    recipe = {"accelerated": accelerated, "stop": "held_out", "n_epochs": 4}
    none, every = run(scan, **recipe), run(replace(scan, valid_pixels=np.ones_like(VALID)), **recipe)
    for name in ("object_recon", "probe_recon", "loss", "validation"):
        assert np.array_equal(getattr(none, name), getattr(every, name)), name


@pytest.mark.parametrize("algorithm", ["LSQML", "rPIE", "ePIE", "DM"])
def test_masked_pixels_do_not_pull_the_object_towards_darkness(scan, truth, algorithm):
    recipe = {"algorithm": algorithm, "n_epochs": 15, "optimise_probe": False}
    told, dark = (
        error_rad(run(of, **recipe), truth) for of in (masked(scan), replace(scan, counts=scan.counts * VALID))
    )
    assert told < 0.6 * dark


@pytest.mark.parametrize("keys", [{}, {"accelerated": False}, {"algorithm": "rPIE"}])
def test_loss_is_the_mean_over_valid_pixels(scan, keys):
    # In LSQML's first epoch the probe is scaled alone, so that its loss is that of the starting probe.
    result = run(masked(scan), n_epochs=1, batch_size="all", **keys)
    far_field = np.abs(np.fft.fftshift(np.fft.fft2(probe().astype(np.complex128)))) ** 2
    mean = (scan.counts * VALID).mean(axis=0)
    expected = far_field * mean.sum() / far_field[VALID].sum()
    eps = 1e-7  # pty-chi adds it to both
    wanted = ((np.sqrt(expected + eps) - np.sqrt(scan.counts + eps))[:, VALID] ** 2).mean()
    assert result.loss[0] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("accelerated", [True, False])
def test_starting_probe_is_scaled_to_the_photons_of_valid_pixels(scan, accelerated):
    # The gaps hold a third of the light: the probe has all of it all the same.
    assert (scan.counts * VALID).sum() < 0.8 * scan.counts.sum()
    told, whole = (run(of, n_epochs=1, accelerated=accelerated) for of in (masked(scan), scan))
    power = [np.sum(np.abs(result.probe_recon) ** 2) for result in (told, whole)]
    assert power[0] == pytest.approx(power[1], rel=0.02)


def test_held_out_photons_are_judged_on_valid_pixels_alone(scan):
    recipe = Recipe(n_epochs=1, batch_size=10, device="cpu", stop="held_out")
    with settings_put_back(1):
        running = begin(masked(scan), recipe, seed=7, device="cpu")
        full, shown = running.tasks.full, running.tasks.tasks["photons not held out"]
        found = held_out_deviance(full, shown).noise
        expected = np.concatenate(
            [shown.reconstructor.forward_model(batch).detach().numpy() for batch in torch.arange(N).split(10)]
        )
        held_out = (full.dataset.patterns - shown.dataset.patterns).numpy()
    valid, m = np.fft.ifftshift(VALID), np.maximum(expected / 9, 1e-6)
    deviance = 2 * (special.xlogy(held_out, held_out / m) - held_out + m)
    assert found == pytest.approx(deviance[:, valid].mean(), rel=1e-4)


def test_halves_of_the_counts_have_the_mask(scan):
    result = run(masked(scan), halves="counts")
    alone = run(masked(scan))
    assert result.half_objects is not None
    assert np.array_equal(result.object_recon, alone.object_recon)


def test_mask_of_another_size_is_refused(scan):
    with pytest.raises(InputError, match=r"valid_pixels of shape \(23, 24\) beside patterns of \(24, 24\) px"):
        run(replace(scan, valid_pixels=VALID[1:]))


def test_mask_without_light_of_the_probe_is_refused(scan):
    even = np.ones((1, 1, SIDE, SIDE), np.complex64)  # its far field is the one pixel in the middle
    valid = VALID.copy()
    valid[12, 12] = False
    with pytest.raises(InputError, match=r"no light on the \d+ valid pixels"):
        run(replace(masked(scan, valid), probe_guess=even))


@pytest.mark.usefixtures("untested_version")
def test_masked_scan_is_refused_by_a_pty_chi_that_is_not_tested(scan):
    with pytest.raises(InputError, match=r"pty-chi 9\.9 is installed"):
        run(masked(scan))
