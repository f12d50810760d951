"""Complex images whose shifts and phase ramps are known exactly."""

from __future__ import annotations

import numpy as np

SHAPE = (96, 110)


def band_limited(seed=0, shape=SHAPE, cut_off_per_px=0.2):
    """Periodic object without frequencies beyond the cut-off, so that any shift of it is exact."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))
    phase, absorption = (
        np.fft.ifft2(np.fft.fft2(rng.normal(size=shape)) * (frequency < cut_off_per_px / 4)).real for _ in range(2)
    )
    return np.exp(0.3j * phase / phase.std() - 0.05 * absorption / absorption.std())


def moved(image, shift_y, shift_x):
    turns = shift_y * np.fft.fftfreq(image.shape[0])[:, None] + shift_x * np.fft.fftfreq(image.shape[1])
    return np.fft.ifft2(np.fft.fft2(image) * np.exp(-2j * np.pi * turns))


def ramp(offset, slope_y, slope_x, shape=SHAPE):
    y, x = np.indices(shape)
    return np.exp(1j * (offset + slope_y * y + slope_x * x))
