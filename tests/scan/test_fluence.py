"""Overlap of beams and fluence, against what a raster of Gaussian beams gives on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fly64dask.scan import (
    BeamFields,
    describe_light,
    dose_deviation,
    fluence_per_px2,
    illumination_map,
    measure_beams,
    photons_per_exposure,
)

FWHM_PX = 20.0
# Of a Gaussian beam: 1 - 2^-(D / FWHM)^2 = 0.9. At the rim of that disc it has a tenth of its brightest pixel.
D90_PX = FWHM_PX * math.sqrt(math.log2(10))
STEP_PX = 4.0
BEAMS = BeamFields(illuminated_area_px2=500, illuminated_share=0.8)


def gaussian_probe(size=96):
    y, x = np.indices((size, size)) - size // 2
    return np.exp(-2 * math.log(2) * (y**2 + x**2) / FWHM_PX**2).astype(np.complex64)[None, None]


def raster(n_y, n_x, step_px=STEP_PX):
    y, x = np.mgrid[:n_y, :n_x]
    return 100.0 + step_px * np.stack([y.ravel(), x.ravel()], axis=1)


@pytest.fixture(scope="module")
def beams():
    return measure_beams(raster(40, 50), gaussian_probe())


def test_measure_beams_finds_the_step_of_a_raster(beams):
    assert beams.step_px == STEP_PX


def test_measure_beams_takes_visits_of_one_place_as_one_position():
    twice = np.concatenate([raster(5, 5), raster(5, 5)])
    assert measure_beams(twice, gaussian_probe()).step_px == STEP_PX


def test_measure_beams_finds_the_diameters_of_a_gaussian_beam(beams):
    assert beams.probe_fwhm_px == pytest.approx(FWHM_PX, rel=0.02)
    assert beams.probe_d90_px == pytest.approx(D90_PX, rel=0.02)


def test_measure_beams_gives_the_linear_overlap_of_the_disc_that_holds_90_percent(beams):
    assert beams.linear_overlap == pytest.approx(1 - STEP_PX / D90_PX, abs=0.005)


def test_measure_beams_says_below_0_how_far_beams_are_from_touching():
    assert measure_beams(raster(3, 3, step_px=2 * D90_PX), gaussian_probe()).linear_overlap == pytest.approx(
        -1, rel=0.02
    )


def test_measure_beams_lights_a_dense_raster_up_to_where_its_edge_falls_to_a_tenth(beams):
    # The edge of a broad field illuminated by Gaussian beams of deviation s is half a step out: an error function.
    deviation_px = FWHM_PX / math.sqrt(8 * math.log(2))
    beyond_px = STEP_PX / 2 + 1.2816 * deviation_px  # where a normal distribution leaves a tenth
    sides = [STEP_PX * (n - 1) + 2 * beyond_px for n in (40, 50)]
    assert beams.illuminated_area_px2 == pytest.approx(math.prod(sides), rel=0.02)  # corners are round


def test_measure_beams_counts_as_many_beams_on_a_pixel_as_discs_that_lie_there(beams):
    # Far from its edges, a raster has a beam for each square of its step.
    area_px2 = math.pi * D90_PX**2 / 4
    inner = 40 * 50 * STEP_PX**2 / beams.illuminated_area_px2
    assert beams.areal_oversampling == pytest.approx(area_px2 / STEP_PX**2 * inner, rel=0.02)


def test_fluence_of_a_dense_raster_is_that_of_its_step(beams):
    photons = 1000.0
    fluence = fluence_per_px2(40 * 50 * photons, beams)
    # Darker towards the edges than the photons of an exposure on the square of a step.
    assert 0.75 * photons / STEP_PX**2 < fluence < photons / STEP_PX**2
    wide = measure_beams(raster(120, 120), gaussian_probe())
    assert 0.9 * photons / STEP_PX**2 < fluence_per_px2(120**2 * photons, wide) < photons / STEP_PX**2


def test_fluence_times_the_lit_area_is_the_light_that_falls_on_it(beams):
    positions, probe, photons = raster(40, 50), gaussian_probe(), 1000.0
    probe = probe * math.sqrt(photons / (np.abs(probe) ** 2).sum())
    on_sample = illumination_map(probe, positions, (500, 500), (0, 0))
    lit = on_sample[on_sample >= 0.1 * on_sample.max()].sum()
    assert fluence_per_px2(40 * 50 * photons, beams) * beams.illuminated_area_px2 == pytest.approx(lit, rel=1e-5)
    assert on_sample.sum() * beams.illuminated_share == pytest.approx(lit, rel=1e-5)


def test_a_single_position_has_no_step_and_no_linear_overlap():
    alone = measure_beams(raster(1, 1), gaussian_probe())
    assert alone.step_px is None
    assert alone.linear_overlap is None
    assert alone.areal_oversampling == 1.0
    assert alone.illuminated_share == pytest.approx(0.9, abs=0.01)


def test_modes_of_a_probe_are_summed():
    probe = gaussian_probe()
    modes = np.concatenate([0.6 * probe, 0.8j * probe], axis=1)
    assert measure_beams(raster(3, 3), modes).probe_d90_px == pytest.approx(D90_PX, rel=0.02)


@pytest.mark.parametrize(("dose_by", "photons"), [("exposure", 40.0), ("total", 4.0), ("fluence", 2500.0)])
def test_photons_per_exposure_counts_a_dose_as_the_study_says(dose_by, photons):
    # Of 10 exposures: 40 photons per px^2 on 500 px^2 are 20 000, four fifths of what 10 exposures of 2500 hold.
    assert photons_per_exposure(40.0, dose_by, n_kept=10, beams=BEAMS) == pytest.approx(photons, rel=1e-12)


def test_describe_light_counts_the_photons_that_there_are_where_they_are_known():
    light = describe_light(
        BEAMS,
        n_kept=10,
        dose_photons=100.0,
        mean_counts_photons=110.0,
        incident_photons=125.0,
        pixel_size_nm=(2.0, 2.0),
    )
    assert light.total_photons == 1100.0
    assert light.fluence_photons_per_px2 == pytest.approx(1100 * 0.8 / 500)
    assert light.fluence_photons_per_nm2 == pytest.approx(1100 * 0.8 / 500 / 4)
    assert light.incident_photons == 125.0


def test_describe_light_of_a_plan_counts_the_photons_that_are_asked():
    light = describe_light(BEAMS, n_kept=10, dose_photons=100.0)
    assert light.total_photons == 1000.0
    assert light.mean_counts_photons is None
    assert light.fluence_photons_per_nm2 is None


@pytest.mark.parametrize(
    ("dose", "mean", "n_kept", "is_said"),
    [
        (1e4, 62.5, 322, True),  # a scan of which another part holds nearly all photons
        (1e4, 10_400.0, 322, False),  # 72 standard deviations, and 4 %: no object is equally dark everywhere
        (1e4, 10_600.0, 322, True),
        (100.0, 140.0, 1, False),  # 40 %, and 4 standard deviations
        (100.0, 160.0, 1, True),
    ],
)
def test_dose_deviation_is_said_beyond_noise_and_a_share(dose, mean, n_kept, is_said):
    assert (dose_deviation(dose, mean, n_kept) is not None) == is_said


def test_dose_deviation_of_few_photons_is_not_said_for_what_chance_does():
    rng = np.random.default_rng(5)
    means = rng.poisson(20.0, size=(2000, 6)).mean(axis=1)
    assert [mean for mean in means if dose_deviation(20.0, mean, 6)] == []


def test_dose_deviation_names_what_was_found_and_asked():
    assert "real mean of 62.5 photons per exposure, asked for 1e+04" in (dose_deviation(1e4, 62.5, 322) or "")
