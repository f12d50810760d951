"""Fourier transforms in compiled loops, against NumPy's in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from shifted_memory import arrays_beginning_at

from fly64dask.reconstruction.lsqml.steps.compiled import forward_kernels, library_for, step_kernels
from fly64dask.reconstruction.lsqml.steps.compiled.own_transforms import RADICES, radices_of
from fly64dask.reconstruction.lsqml.steps.compiled.transforms import plans_for

LIBRARIES = ["fly64dask", "MKL"]
# Of the root of the mean square; errors of single precision grow with the logarithm of the length.
TOLERANCE = 3e-7
SIDES = st.integers(1, 300).filter(lambda length: radices_of(length) is not None)


def random_wave(shape_px, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape_px) + 1j * rng.normal(size=shape_px)).astype(np.complex64)


def forward(plans, wave):
    """The transform from array to array."""
    found = np.empty_like(wave)
    assert forward_kernels.transform_probe(plans.addresses, wave.view(np.float32), found.view(np.float32)) == 0
    return found


def backward(plans, spectrum):
    """The transform in place, divided by the number of pixels."""
    waves, gradient = spectrum[None].copy(), np.empty_like(spectrum[None])
    views = waves.view(np.float32), gradient.view(np.float32)
    assert step_kernels.weigh_probe_direction(plans.addresses, views[0], 1, views[1]) == 0
    return waves[0]


def relative_error(found, wanted):
    return np.sqrt(np.mean(np.abs(found - wanted) ** 2) / np.mean(np.abs(wanted) ** 2))


@pytest.mark.parametrize("library", LIBRARIES)
@settings(max_examples=40, deadline=None)
@given(shape_px=st.tuples(SIDES, SIDES), seed=st.integers(0, 99))
def test_transforms_are_those_of_numpy(library, shape_px, seed):
    wave, plans = random_wave(shape_px, seed), plans_for(shape_px, library)
    assert relative_error(forward(plans, wave), np.fft.fft2(wave.astype(complex))) < TOLERANCE
    assert relative_error(backward(plans, wave), np.fft.ifft2(wave.astype(complex))) < TOLERANCE


@pytest.mark.parametrize("radix", RADICES)
def test_transforms_of_each_radix_are_those_of_numpy(radix):
    wave = random_wave((radix, radix**2))
    found = forward(plans_for(wave.shape, "fly64dask"), wave)
    assert relative_error(found, np.fft.fft2(wave.astype(complex))) < TOLERANCE


@pytest.mark.parametrize("shape_px", [(64, 64), (27, 50)])
def test_transforms_have_the_same_bits_wherever_waves_lie(shape_px):
    found = []
    for offset_bytes in (0, 16, 48):
        with arrays_beginning_at(offset_bytes):
            found.append(forward(plans_for(shape_px, "fly64dask"), random_wave(shape_px)).tobytes())
    assert len(set(found)) == 1


@pytest.mark.parametrize("shape_px", [(64, 64), (27, 50)])
def test_transforms_leave_nothing_of_one_wave_to_the_next(shape_px):
    plans, wave = plans_for(shape_px, "fly64dask"), random_wave(shape_px)
    before = forward(plans, wave)
    assert not np.isfinite(forward(plans, np.full_like(wave, np.nan))).any()
    assert np.array_equal(forward(plans, wave), before)


def test_transforms_of_two_plans_do_not_disturb_each_other():
    waves = [random_wave((48, 80), seed) for seed in range(2)]
    plans = [plans_for((48, 80), "fly64dask") for _ in waves]
    first = [forward(plan, wave) for plan, wave in zip(plans, waves, strict=True)]
    del plans[0]
    assert np.array_equal(forward(plans[0], waves[1]), first[1])


def test_library_for_takes_mkl_for_lengths_with_a_large_prime_factor():
    assert radices_of(2 * 17) is None
    assert library_for((34, 64)) == library_for((64, 34)) == "MKL"
