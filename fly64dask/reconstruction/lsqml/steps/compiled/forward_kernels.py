"""From object, probe and positions to the change of the exit waves, exposure by exposure, in one compiled loop.

An exposure's waves stay in the cache from its first Fourier transform to its third. Complex arrays come as float32 with
real and imaginary part next to each other along the last axis, so that (n, H, 2 W) are n waves of H x W pixels; that is
how torch lays complex64 out, so nothing is copied. Rows are sliced before the innermost loop: only then does the
compiler use the processor's vector instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.reconstruction.lsqml.steps.compiled.compiling import D1, F1, F2, F3, F4, I0, I1, I2, F, compiled
from fly64dask.reconstruction.lsqml.steps.compiled.transforms import BACKWARD, BETWEEN, FORWARD, IN_PLACE, call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Indices = NDArray[np.int64]

ZERO, ONE = np.float32(0), np.float32(1)


@compiled(I1, F2, F2, returns=I0)
def transform_probe(plans: Indices, probe: Floats, spectrum: Floats) -> int:
    """Write the Fourier transform of a probe (H, 2 W), not scaled, to `spectrum`; gives the number that failed."""
    return int(call(plans[FORWARD], plans[BETWEEN], probe.ctypes.data, spectrum.ctypes.data) != 0)


@compiled(F2, F1, F1, F2)
def shift_probe(spectrum: Floats, ramp_y: Floats, ramp_x: Floats, shifted: Floats) -> None:
    """Write a spectrum (H, 2 W) over its number of pixels, times two ramps, (2 H,) and (2 W,), to `shifted`."""
    height, double_width = shifted.shape
    scale = ONE / np.float32(height * (double_width // 2))
    for i in range(height):
        y_re, y_im = scale * ramp_y[2 * i], scale * ramp_y[2 * i + 1]
        source, target = spectrum[i], shifted[i]
        for j in range(double_width // 2):
            re = source[2 * j] * ramp_x[2 * j] - source[2 * j + 1] * ramp_x[2 * j + 1]
            im = source[2 * j] * ramp_x[2 * j + 1] + source[2 * j + 1] * ramp_x[2 * j]
            target[2 * j] = re * y_re - im * y_im
            target[2 * j + 1] = re * y_im + im * y_re


@compiled(F2, I0, I0, F2, F2)
def exit_wave(image: Floats, row: int, column: int, probe: Floats, wave: Floats) -> None:
    """Write the product of a probe (H, 2 W) and the object's patch (Y, 2 X) at its first pixel to `wave`."""
    height, double_width = wave.shape
    for i in range(height):
        patch, source, target = image[row + i, 2 * column : 2 * column + double_width], probe[i], wave[i]
        for j in range(double_width // 2):
            target[2 * j] = patch[2 * j] * source[2 * j] - patch[2 * j + 1] * source[2 * j + 1]
            target[2 * j + 1] = patch[2 * j] * source[2 * j + 1] + patch[2 * j + 1] * source[2 * j]


@compiled(F3, F2, F2, "b1", F, F, F2, D1)
def compare_with_counts(
    far: Floats,
    counts: Floats,
    weights: Floats,
    poisson: bool,
    eps: float,
    loss_eps: float,
    power: Floats,
    sums: Doubles,
) -> None:
    """Compare far waves (n_modes, H, 2 W) with the measured intensities; multiply them by their correction.

    `counts` (H, W) are photons, `weights` (H, W) of the pixels, 0 where masked. `power` (H, W) gets the expected
    intensities. Eq. 12 and 14: the correction is root(counts) / root(power) - 1 with Gaussian noise and
    counts / power - 1 with Poisson noise, without the step. The sums over pixels of (root(power) - root(counts))^2 and
    of the same with `loss_eps` under both roots are added to `sums` (2,): in single precision along a row, in double
    precision over rows.
    """
    n_modes, height, double_width = far.shape
    width = double_width // 2
    for i in range(height):
        row_power, row_counts, row_weights = power[i], counts[i], weights[i]
        for mode in range(n_modes):
            wave = far[mode, i]
            if mode == 0:
                for j in range(width):
                    row_power[j] = wave[2 * j] * wave[2 * j] + wave[2 * j + 1] * wave[2 * j + 1]
            else:
                for j in range(width):
                    row_power[j] += wave[2 * j] * wave[2 * j] + wave[2 * j + 1] * wave[2 * j + 1]
        row_squares, row_loss = ZERO, ZERO
        for mode in range(n_modes):
            wave = far[mode, i]
            for j in range(width):
                expected, measured, weight = row_power[j], row_counts[j], row_weights[j]
                amplitude, wanted = np.sqrt(expected), np.sqrt(measured)
                difference = amplitude - wanted
                of_loss = np.sqrt(expected + loss_eps) - np.sqrt(measured + loss_eps)
                if mode == 0:
                    row_squares += difference * difference * weight
                    row_loss += of_loss * of_loss * weight
                ratio = measured / (expected + eps) if poisson else wanted / (amplitude + eps)
                correction = ratio - ONE if weight > ZERO else ZERO
                wave[2 * j] *= correction
                wave[2 * j + 1] *= correction
        sums[0] += row_squares
        sums[1] += row_loss


@compiled(I1, I1, I1, F2, F3, F2, I2, F2, F2, F3, F2, "b1", F, F, I1, F3, F3, F4, F3, D1, returns=I0)
def compare_minibatch(
    part: Indices,
    at: Indices,
    exposures: Indices,
    spectrum: Floats,
    modes: Floats,
    image: Floats,
    corners: Indices,
    ramps_y: Floats,
    ramps_x: Floats,
    counts: Floats,
    weights: Floats,
    poisson: bool,
    eps: float,
    loss_eps: float,
    plans: Indices,
    scratch: Floats,
    probes: Floats,
    changes: Floats,
    power: Floats,
    sums: Doubles,
) -> int:
    """Work out what the exposures from `part[0]` to `part[1]` of a minibatch are expected to be and should have been.

    `exposures` (n,) are the minibatch's in the scan, of which `counts` (N, H, W) has all; `at` (n,) their places among
    `corners` (N, 2), the first pixel of each patch, and the ramps (N, 2 H) and (N, 2 W). `modes` (n_modes, H, 2 W) is
    the probe, of which the first mode, by its `spectrum`, is moved. `probes` (n, H, 2 W) gets that mode,
    `changes` (n, n_modes, H, 2 W) the change of the exit waves without its step, `power` (n, H, W) the expected
    intensities; `sums` as for one exposure. `plans` are the addresses of those that `plans_for` gives, `scratch`
    (>= 1, H, 2 W) is overwritten. Gives the number of transforms that failed.
    """
    n_modes, n_failed = modes.shape[0], 0
    forward, backward, between, in_place = plans[FORWARD], plans[BACKWARD], plans[BETWEEN], plans[IN_PLACE]
    wave = scratch[0]
    for k in range(part[0], part[1]):
        shift_probe(spectrum, ramps_y[at[k]], ramps_x[at[k]], wave)
        n_failed += call(backward, between, wave.ctypes.data, probes[k].ctypes.data) != 0
        row, column = corners[at[k], 0], corners[at[k], 1]
        far = changes[k]
        for mode in range(n_modes):
            exit_wave(image, row, column, probes[k] if mode == 0 else modes[mode], wave)
            n_failed += call(forward, between, wave.ctypes.data, far[mode].ctypes.data) != 0
        compare_with_counts(far, counts[exposures[k]], weights, poisson, eps, loss_eps, power[k], sums)
        for mode in range(n_modes):
            n_failed += call(backward, in_place, far[mode].ctypes.data, far[mode].ctypes.data) != 0
    return n_failed
