"""Halves of exposures: independent photons, what two objects share, how far they resolve, and the best epoch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.ndimage import gaussian_filter

from fly64dask.base import DegenerateScanError, InputError
from fly64dask.metrics import PhasePlane, crossing, frc, remove_phase_ramp
from fly64dask.reconstruction import BestEpoch, EpochEstimate, Exposures, HalfSetEstimator, compare_halves
from fly64dask.reconstruction.best_epoch import MAX_SNAPSHOTS, contenders, scores
from fly64dask.reconstruction.half_sets import halve, hold_out, planes_of
from fly64dask.study import Recipe

PROBE = np.ones((1, 1, 24, 24), np.complex64)
ESTIMATES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30)


def scan(counts, positions=None):
    if positions is None:
        positions = np.random.default_rng(1).uniform(0, 30, (len(counts), 2))
    return Exposures(counts=counts, positions_px=positions, probe_guess=PROBE)


def poisson(mean, n=400):
    return np.random.default_rng(5).poisson(mean, (n, 24, 24)).astype(np.uint16)


@pytest.fixture(scope="module")
def halves():
    whole = poisson(3.0)
    return whole, [part.exposures.counts for part in halve(scan(whole), "counts", seed=123)]


def test_halve_gives_each_photon_to_one_half(halves):
    whole, (first, second) = halves
    assert np.array_equal(first + second, whole)
    assert first.dtype == whole.dtype


def test_halve_makes_poisson_counts_of_half_the_mean(halves):
    # 230400 pixels: the mean of 1.5 is known to 0.0026, the variance to 0.0053 (standard errors).
    for half in halves[1]:
        assert half.mean() == pytest.approx(1.5, abs=0.012)
        assert half.var() == pytest.approx(1.5, abs=0.025)


def test_halve_makes_independent_counts(halves):
    # Halves of one sum would correlate at -1 if the sum were fixed; of Poisson counts they do not at all.
    assert abs(np.corrcoef(*(half.ravel() for half in halves[1]))[0, 1]) < 0.01


def test_halve_is_the_same_for_the_same_seed_and_another_for_another():
    first, again, other = (next(halve(scan(poisson(1.0, 5)), "counts", seed=s)).exposures.counts for s in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_halve_gives_each_half_a_seed_of_its_own():
    assert len({123, *(part.seed for part in halve(scan(poisson(1.0, 5)), "counts", seed=123))}) == 3


def test_halve_by_exposures_takes_them_in_turns():
    whole = scan(poisson(1.0, 7))
    first, second = (part.exposures for part in halve(whole, "exposures", seed=1))
    assert np.array_equal(first.positions_px, whole.positions_px[[0, 2, 4, 6]])
    assert np.array_equal(second.counts, whole.counts[[1, 3, 5]])


def test_halve_refuses_a_half_without_light():
    counts = np.zeros((3, 24, 24), np.uint16)
    counts[0, 3, 3] = 1
    with pytest.raises(InputError, match="0 photons"):
        list(halve(scan(counts), "counts", seed=1))


def test_halve_by_exposures_refuses_a_half_that_spans_no_pixel():
    positions = np.array([[10.0, 10.0], [10.0, 12.0], [10.5, 30.0], [30.0, 31.0]])
    with pytest.raises(DegenerateScanError, match=r"spanning 0\.5 px in y"):
        list(halve(scan(poisson(1.0, 4), positions), "exposures", seed=1))


def test_hold_out_leaves_out_a_tenth_of_the_photons():
    kept = hold_out(scan(poisson(3.0)), seed=4).exposures.counts
    assert kept.sum() / poisson(3.0).sum() == pytest.approx(0.9, abs=0.002)


@pytest.mark.parametrize(
    "divide", [lambda given: next(halve(given, "counts", seed=1)), lambda given: hold_out(given, seed=1)]
)
def test_expected_counts_are_not_divided(divide):
    expected = dataclasses.replace(scan(np.full((4, 24, 24), 0.7, np.float32)), noise_free=True)
    with pytest.raises(InputError, match="noise-free exposures"):
        divide(expected)


def test_halve_by_exposures_divides_expected_counts_too():
    whole = dataclasses.replace(scan(np.full((4, 24, 24), 0.7, np.float32)), noise_free=True)
    assert [part.exposures.noise_free for part in halve(whole, "exposures", seed=1)] == [True, True]


def test_scores_equal_a_case_worked_by_hand():
    # Twice the largest signal is 0.36, its root 0.6; roots of the signals are 0, 0.2 and 0.42426.
    found = scores(np.array([0.0, 0.04, 0.18]), np.array([0.0, 0.01, 0.3]))
    assert found == pytest.approx([0.36, 0.01 + 0.4**2, 0.3 + 0.175736**2], abs=1e-6)


def test_best_epoch_without_any_agreement_is_the_first():
    course = BestEpoch()
    for noise in (0.0, 0.1, 0.2):
        course.add(EpochEstimate(signal=0.0, noise=noise), lambda: None)
    assert course.best == 0


@given(ESTIMATES)
def test_contenders_hold_whatever_epoch_is_best_later(estimates):
    signal, noise = np.array(estimates).T
    found = contenders(signal, noise)
    for later in (0.0, 0.1, 0.5, 2.0, 30.0):
        # One more epoch that shows as much signal as ever, or more, and is too noisy to be best itself.
        every = scores(np.append(signal, signal.max() + later), np.append(noise, 1e6))[:-1]
        assert every[found].min() == pytest.approx(every.min(), abs=1e-9)


@given(ESTIMATES)
def test_best_epoch_keeps_its_own_snapshot_and_few(estimates):
    course = BestEpoch()
    for epoch, (signal, noise) in enumerate(estimates):
        course.add(EpochEstimate(signal=signal, noise=noise), lambda epoch=epoch: epoch)
    assert course.snapshots[course.best] == course.best
    assert len(course.snapshots) <= MAX_SNAPSHOTS


@given(ESTIMATES)
def test_best_epoch_has_the_lowest_score_while_few_contend(estimates):
    course, most = BestEpoch(), 0
    for epoch, (signal, noise) in enumerate(estimates):
        course.add(EpochEstimate(signal=signal, noise=noise), lambda epoch=epoch: epoch)
        most = max(most, len(contenders(*np.array(estimates[: epoch + 1]).T)))
    if most <= MAX_SNAPSHOTS:
        assert course.scores()[course.best] == pytest.approx(course.scores().min(), abs=1e-12)


def phase_objects(seed=3, noise_rad=0.1, shape=(60, 80)):
    """Two objects with one phase, noises and ramps of their own; the area, and the phases without the ramps."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    area = (y > 8) & (y < 50) & (x > 10) & (x < 70)
    common = 0.4 * np.sin(x / 3) * np.cos(y / 4)
    phases = [common + rng.normal(0, noise_rad, shape) for _ in range(2)]
    ramps = (0.3 + 0.11 * y - 0.2 * x, -2.0 + 0.02 * x)
    images = [1.3 * np.exp(1j * (phase + ramp)) for phase, ramp in zip(phases, ramps, strict=True)]
    return np.array(images, np.complex64), area, common


def test_half_set_estimator_finds_the_phase_that_remove_phase_ramp_finds():
    images, area, _ = phase_objects()
    expected = remove_phase_ramp(images[0], area)[area]
    assert np.allclose(HalfSetEstimator(area).phase(images[0]), expected - expected.mean(), atol=1e-5)


def test_half_set_estimator_tells_common_structure_from_noise():
    images, area, common = phase_objects()
    # All photons have half the noise power of half of them.
    full = np.exp(1j * (common + np.random.default_rng(9).normal(0, 0.1 / 2**0.5, area.shape)))
    estimate = HalfSetEstimator(area).estimate(full.astype(np.complex64), images)
    assert estimate.signal == pytest.approx(common[area].var(), rel=0.05)
    assert estimate.noise == pytest.approx(0.1**2 / 2, rel=0.08)


def thick_halves(rng):
    """Phases of several turns whose two halves have planes of their own, and what the planes leave."""
    y, x = np.indices((128, 128))
    area = np.hypot(y - 64, x - 64) < 55
    phase = gaussian_filter(rng.normal(size=area.shape), 8, mode="wrap")
    thick = 20 * phase / np.ptp(phase)
    halves = [np.exp(1j * (thick + rng.normal(0, 0.3, area.shape))) for _ in range(2)]
    planes = (rng.uniform(-3, 3) + 0.02 * rng.normal() * y + 0.02 * rng.normal() * x for _ in halves)
    images = [half * np.exp(1j * plane) for half, plane in zip(halves, planes, strict=True)]
    return np.array(images, np.complex64), area, np.var(np.angle(halves[0] * halves[1].conj())[area])


def test_planes_of_a_phase_that_wraps_leave_what_the_halves_differ_by():
    """Each fitted by itself, one of these 20 pairs differs by 2.2 times the noise that was put in."""
    for seed in range(20):
        images, area, known = thick_halves(np.random.default_rng(seed))
        flat = [
            image * plane.wave(area.shape).conj()
            for image, plane in zip(images, planes_of(images, PhasePlane(area)), strict=True)
        ]
        assert np.var(np.angle(flat[0] * flat[1].conj())[area]) == pytest.approx(known, rel=0.02)


def test_half_set_estimator_finds_most_of_a_phase_that_wraps_in_both_halves():
    """Noise turns few of the pixels over; with planes of their own one of these pairs had a ratio of 1.8."""
    for seed in range(20):
        images, area, _ = thick_halves(np.random.default_rng(seed))
        estimate = HalfSetEstimator(area).estimate(images[0], images)
        assert estimate.signal > 4 * estimate.noise


def test_half_set_estimator_finds_no_signal_in_phases_that_are_noise_throughout():
    rng = np.random.default_rng(4)
    full, *halves = np.exp(2j * np.pi * rng.random((3, 128, 128)))
    estimate = HalfSetEstimator(np.ones((128, 128), bool)).estimate(
        full.astype(np.complex64), np.array(halves, np.complex64)
    )
    # Uniform phases have a mean square of pi^2 / 3; those of 16384 pixels correlate by 1 / 128, one standard error.
    assert estimate.signal < 0.05 * np.pi**2 / 3
    assert estimate.noise == pytest.approx(np.pi**2 / 3, rel=0.06)


def test_half_set_estimator_finds_no_signal_where_halves_disagree():
    images, area, _ = phase_objects(noise_rad=0.3)
    opposite = np.stack([images[0], images[0].conj()])
    assert HalfSetEstimator(area).estimate(images[0], opposite).signal == 0


def test_compare_halves_resolves_equal_objects_up_to_nyquist():
    images, area, _ = phase_objects(noise_rad=0.0)
    found, curve = compare_halves(images, area, "counts")
    assert curve.correlation.min() > 0.99
    assert (found.half_bit, found.half, found.against_truth, found.n_pixels) == (None, None, None, area.sum())


def test_compare_halves_that_agree_up_to_nyquist_leads_with_a_pixel():
    images, area, _ = phase_objects(noise_rad=0.0)
    found, _ = compare_halves(images, area, "counts", pixel_nm=(8.0, 8.0))
    assert (found.resolution_px, found.resolution_nm) == (1.0, 8.0)


def test_compare_halves_leads_with_the_resolution_at_half_a_bit():
    images, area, _ = phase_objects(noise_rad=0.8)
    found, _ = compare_halves(images, area, "counts", pixel_nm=(8.0, 8.0))
    assert found.resolution_px == found.half_bit.resolution_px
    assert found.resolution_nm == pytest.approx(8 * found.resolution_px)


def test_compare_halves_resolves_less_the_noisier_they_are():
    found = [compare_halves(*phase_objects(noise_rad=r)[:2], "counts")[0] for r in (0.2, 0.8)]
    assert found[0].half.resolution_px < found[1].half.resolution_px


def test_compare_halves_takes_off_planes_where_the_phase_wraps():
    """Of a thick object no image has a plane of its own that noise leaves alone; here its planes are known."""
    y, x = np.indices((128, 128))
    area = np.hypot(y - 64, x - 64) < 55
    found, known = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        phase = gaussian_filter(rng.normal(size=area.shape), 10, mode="wrap")
        thick = np.exp(20j * phase / np.ptp(phase))
        halves = [thick + 0.25 * (rng.normal(size=area.shape) + 1j * rng.normal(size=area.shape)) for _ in range(2)]
        planes = [np.exp(1j * (rng.uniform(-3, 3) + 0.02 * rng.normal() * y + 0.02 * rng.normal() * x)) for _ in halves]
        found.append(compare_halves(np.stack(np.multiply(halves, planes)), area, "counts")[0].resolution_px)
        known.append(crossing(frc(*halves, area), "half_bit").resolution_px)
    assert np.max(np.abs(np.log(np.divide(found, known)))) < 0.2


def test_compare_halves_expects_more_of_the_full_data_than_of_a_half():
    # A spectrum that falls slowly, so that a line between two rings is a good guess of what lies between.
    rng = np.random.default_rng(2)
    common = 2.0 * gaussian_filter(rng.normal(size=(256, 256)), 1.5)
    images = [np.exp(1j * (common + rng.normal(0, 0.5, common.shape))) for _ in range(2)]
    area = np.pad(np.ones((240, 240), bool), 8)
    found, curve = compare_halves(np.array(images, np.complex64), area, "counts")
    # A correlation of halves of 1/3 is one of 1/2 for full data sets; of 1/7 one of 1/2 with the truth.
    crossings = (found.half.frequency_per_px, found.against_truth.frequency_per_px)
    assert np.interp(crossings, curve.frequency_per_px, curve.correlation) == pytest.approx([1 / 3, 1 / 7], abs=0.03)


def test_recipe_of_half_sets_has_halves_of_the_counts():
    recipe = Recipe(stop="half_sets")
    assert (recipe.halves, recipe.patience) == ("counts", 10)
    assert Recipe.model_validate(recipe.model_dump()) == recipe


@pytest.mark.parametrize(
    "keys",
    [{"stop": "half_sets", "halves": "exposures"}, {"stop": "half_sets", "halves": "none"}, {"patience": 5}],
)
def test_recipe_refuses_keys_that_contradict_each_other(keys):
    with pytest.raises(ValueError, match=r"leave (halves|patience) out"):
        Recipe(**keys)
