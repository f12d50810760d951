"""What the engine makes of data that are not ideal: positions that are off, probes that change, a held probe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fly64dask.reconstruction import COMPILED, Exposures
from fly64dask.reconstruction.half_sets import halve
from fly64dask.reconstruction.lsqml import reconstruct
from fly64dask.reconstruction.lsqml.starting_probe import starting_probe
from fly64dask.simulation import intensity_batches, synthetic_pair
from fly64dask.study import Recipe

N = 80


def quiet(*_):
    """Take no notice of an epoch."""


@pytest.fixture(scope="module")
def scan():
    """80 exposures of 24 x 24 at 1e5 photons, where they should be."""
    pair = synthetic_pair((64, 64), (24, 24), seed=1)
    positions = np.random.default_rng(0).uniform(15, 49, (N, 2))
    intensity = np.concatenate(list(intensity_batches(pair, positions)))
    counts = np.random.default_rng(4).poisson(intensity * 1e5 / intensity.sum(axis=(1, 2)).mean())
    return Exposures(counts=counts.astype(np.uint32), positions_px=positions, probe_guess=pair.probe[None, None])


@pytest.fixture(scope="module")
def jittered(scan):
    """The same, said to be elsewhere."""
    return replace(scan, positions_px=scan.positions_px + np.random.default_rng(3).normal(0, 0.7, (N, 2)))


def run(scan, **keys):
    return reconstruct(
        scan, Recipe(**{"n_epochs": 2, "batch_size": 16, "device": "cpu"} | keys), seed=7, progress=quiet
    )


def distance_px(positions_px, true_px):
    """Root mean square of what is not common to all, px."""
    off = positions_px - true_px
    return np.sqrt(((off - off.mean(axis=0)) ** 2).mean())


def test_refined_positions_come_near_the_true_ones(scan, jittered):
    result = run(jittered, refine_positions=True, n_epochs=40)
    assert result.acceleration.startswith(COMPILED)
    before = distance_px(jittered.positions_px, scan.positions_px)
    assert distance_px(result.positions_px, scan.positions_px) < 0.5 * before


@pytest.mark.parametrize("algorithm", ["rPIE", "ePIE", "DM"])
def test_positions_are_refined_by_the_other_algorithms_on_their_own_steps(jittered, algorithm):
    result = run(jittered, refine_positions=True, algorithm=algorithm, n_epochs=3)
    assert result.acceleration == f"unmodified: {algorithm} has no faster steps"
    assert 0 < np.abs(result.positions_px - jittered.positions_px).max() < 0.35


def test_positions_stay_until_their_first_epoch(jittered):
    result = run(jittered, refine_positions=True, position_update_start=4, n_epochs=4)
    moved = result.positions_px - jittered.positions_px
    # One epoch, each exposure once: no further than one update goes.
    assert 0 < np.abs(moved).max() <= 0.1 + 1e-6


def test_positions_move_no_further_than_the_limit(jittered):
    result = run(jittered, refine_positions=True, position_limit_px=0.25, n_epochs=12)
    assert np.abs(result.positions_px - jittered.positions_px).max() == pytest.approx(0.25, abs=1e-4)


def test_guarded_scan_keeps_its_positions(jittered):
    one = replace(jittered, counts=jittered.counts[:1], positions_px=jittered.positions_px[:1])
    assert run(one, refine_positions=True, on_degenerate="guarded").positions_px is None


def test_halves_refine_their_own_positions(jittered):
    alone = run(jittered, refine_positions=True, n_epochs=4)
    with_halves = run(jittered, refine_positions=True, n_epochs=4, halves="counts")
    assert with_halves.half_objects is not None
    assert np.array_equal(alone.positions_px, with_halves.positions_px)


def test_opr_modes_that_are_made_explain_a_beam_that_moves(scan):
    """The beam is off by 1 px rms in y, so that its derivative is the second mode."""
    off = np.random.default_rng(5).normal(0, 1, N)
    pair = synthetic_pair((64, 64), (24, 24), seed=1)
    slope = np.gradient(pair.probe, axis=0)
    whole = np.rint(scan.positions_px).astype(int) - 12
    waves = np.stack(
        [
            (pair.probe - by * slope) * pair.object_truth[y : y + 24, x : x + 24]
            for by, (y, x) in zip(off, whole, strict=True)
        ]
    )
    intensity = np.abs(np.fft.fftshift(np.fft.fft2(waves), axes=(1, 2))) ** 2
    counts = np.random.default_rng(4).poisson(intensity * 1e6 / intensity.sum(axis=(1, 2)).mean()).astype(np.uint32)
    moving = replace(scan, counts=counts, positions_px=np.rint(scan.positions_px))
    one, two = (run(moving, opr_modes=n, n_epochs=25) for n in (1, 2))
    assert one.opr_weights is None
    assert two.opr_weights.shape == (N, 2)
    assert two.loss[-1] < 0.8 * one.loss[-1]


def test_probe_of_two_opr_modes_without_weights_is_reconstructed(scan):
    two = np.concatenate([scan.probe_guess, 0.1 * np.roll(scan.probe_guess, 3, axis=-2)])
    result = run(replace(scan, probe_guess=two))
    assert (result.probe_recon.shape, result.opr_weights.shape) == ((2, 1, 24, 24), (N, 2))
    assert np.isfinite(result.object_recon).all()


@pytest.mark.parametrize("algorithm", ["rPIE", "DM"])
def test_other_algorithms_take_the_first_opr_mode(scan, algorithm):
    two = np.concatenate([scan.probe_guess, 0.1 * np.roll(scan.probe_guess, 3, axis=-2)])
    first, both = (run(replace(scan, probe_guess=probe), algorithm=algorithm) for probe in (two[:1], two))
    assert np.array_equal(first.object_recon, both.object_recon)


def test_given_opr_weights_leave_the_probe_of_each_exposure_what_it_was(scan):
    probe = np.concatenate([scan.probe_guess, 5 * np.roll(scan.probe_guess, 3, axis=-2)])
    weights = np.random.default_rng(1).normal((1, 0), 0.2, (N, 2)).astype(np.float32)
    exposures = replace(scan, probe_guess=probe, opr_weights=weights)
    begin = starting_probe(exposures, scan.counts.astype(np.float32), None, Recipe(), n_opr=2)
    wanted, found = (
        np.einsum("nk,khw->nhw", of, modes[:, 0]) for of, modes in ((weights, probe), (begin.opr_weights, begin.probe))
    )
    scale = begin.probe[0, 0, 12, 12] / probe[0, 0, 12, 12]
    assert np.allclose(found, scale * wanted, atol=1e-5 * np.abs(found).max())
    # As pty-chi wants further modes: a mean square of 1.
    assert np.mean(np.abs(begin.probe[1]) ** 2) == pytest.approx(1, rel=1e-5)


def test_halves_of_the_exposures_have_the_weights_of_their_own(scan):
    weights = np.arange(2 * N, dtype=np.float32).reshape(N, 2)
    halves = list(halve(replace(scan, opr_weights=weights), "exposures", seed=1))
    assert [half.exposures.opr_weights.tolist() for half in halves] == [weights[0::2].tolist(), weights[1::2].tolist()]


def test_probe_has_the_power_that_the_recipe_says(scan):
    result = run(scan, probe_power_photons=2.5e5, n_epochs=4)
    assert np.sum(np.abs(result.probe_recon) ** 2) == pytest.approx(2.5e5, rel=1e-4)
    # The object is as bright as the photons want it with that probe: below 1, for 1e5 of them.
    assert np.abs(result.object_recon[0, 24:40, 24:40]).mean() == pytest.approx(np.sqrt(1e5 / 2.5e5), rel=0.1)


@pytest.mark.parametrize("probe_modes", [None, 2])
def test_probe_in_a_far_off_unit_begins_as_in_a_usual_one(scan, probe_modes):
    far = replace(scan, probe_guess=(1e-20 * scan.probe_guess).astype(np.complex64))
    counts, recipe = scan.counts.astype(np.float32), Recipe(probe_modes=probe_modes)
    found, usual = (starting_probe(each, counts, None, recipe, n_opr=1).probe for each in (far, scan))
    assert np.allclose(found, usual, rtol=1e-4, atol=1e-6 * np.abs(usual).max())


def test_probe_is_dark_outside_of_its_support(scan):
    free, held = (run(scan, n_epochs=4, **keys).probe_recon for keys in ({}, {"probe_support": 0.3}))
    dark = held[0, 0] == 0
    assert 0.1 < dark.mean() < 0.95
    assert np.abs(free[0, 0][dark]).max() > 0


def test_probe_held_to_support_and_power_runs_on_the_faster_steps_to_the_same_numbers(scan):
    keys = {"probe_support": 0.05, "probe_power_photons": 1e5, "n_epochs": 8}
    ours, unmodified = (run(scan, accelerated=fast, **keys) for fast in (True, False))
    assert ours.acceleration.startswith(COMPILED)
    assert np.allclose(ours.loss, unmodified.loss, rtol=1e-4)
