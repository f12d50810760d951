"""Compiled passes over a minibatch: whatever an LSQML step does between its Fourier transforms, each array read once.

Complex arrays come as float32 with real and imaginary part next to each other along the last axis, so that (n, H, 2 W)
are n waves of H x W pixels; that is how torch lays complex64 out, so nothing is copied. `at` (n,) int64 says which
exposure of the scan each of the minibatch is: `rows` and `columns` (N,) int64, the first pixel of its patch on the
object, and the ramps (N, 2 H) and (N, 2 W), whose product moves the probe by a fraction of a pixel, are of all N.

Rows are sliced before the innermost loop, and division does not check for zero: only then does the compiler use the
processor's vector instructions. Sums are kept in single precision along a row, in double precision over rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Indices = NDArray[np.int64]
    Kernel = TypeVar("Kernel", bound=Callable[..., object])

ZERO, ONE = np.float32(0), np.float32(1)
# pty-chi 2.2.0, get_psi_far_step_size: added to the expected intensity.
XI_EPS = np.float32(1e-5)
# Types as Numba writes them: one float32, contiguous float32 of one to four axes, exposures, two sums.
F, F1, F2, F3, F4 = "f4", "f4[::1]", "f4[:,::1]", "f4[:,:,::1]", "f4[:,:,:,::1]"
I1, D1 = "i8[::1]", "f8[::1]"


def compiled(*arguments: str) -> Callable[[Kernel], Kernel]:
    """Compile a function for arguments of these types when the module is imported, or take it from Numba's cache."""
    signature = f"void({', '.join(arguments)})"
    decorator: Any = numba.njit(signature, cache=True, fastmath=True, error_model="numpy", nogil=True)
    return cast("Callable[[Kernel], Kernel]", decorator)


@compiled(F2, F2, F2, I1, F3)
def shift_probes(spectrum: Floats, ramp_y: Floats, ramp_x: Floats, at: Indices, shifted: Floats) -> None:
    """Write the probe's spectrum (H, 2 W), moved to each exposure, to `shifted` (n, H, 2 W)."""
    n, height, double_width = shifted.shape
    for k in range(n):
        x = ramp_x[at[k]]
        y = ramp_y[at[k]]
        for i in range(height):
            y_re, y_im = y[2 * i], y[2 * i + 1]
            source, target = spectrum[i], shifted[k, i]
            for j in range(double_width // 2):
                re = source[2 * j] * x[2 * j] - source[2 * j + 1] * x[2 * j + 1]
                im = source[2 * j] * x[2 * j + 1] + source[2 * j + 1] * x[2 * j]
                target[2 * j] = re * y_re - im * y_im
                target[2 * j + 1] = re * y_im + im * y_re


@compiled(F2, I1, I1, I1, F3, F3, F4)
def exit_waves(
    image: Floats, rows: Indices, columns: Indices, at: Indices, probes: Floats, rest: Floats, waves: Floats
) -> None:
    """Write the product of each exposure's patch of the object (Y, 2 X) and each probe mode to `waves`.

    `probes` (n, H, 2 W) is the first mode as each exposure has it, `rest` (n_modes - 1, H, 2 W) are the others, which
    are the same for all exposures; `waves` (n, n_modes, H, 2 W).
    """
    n, n_modes, height, double_width = waves.shape
    for k in range(n):
        row, column = rows[at[k]], 2 * columns[at[k]]
        for mode in range(n_modes):
            for i in range(height):
                patch = image[row + i, column : column + double_width]
                probe = probes[k, i] if mode == 0 else rest[mode - 1, i]
                target = waves[k, mode, i]
                for j in range(double_width // 2):
                    target[2 * j] = patch[2 * j] * probe[2 * j] - patch[2 * j + 1] * probe[2 * j + 1]
                    target[2 * j + 1] = patch[2 * j] * probe[2 * j + 1] + patch[2 * j + 1] * probe[2 * j]


@compiled(F4, F3, I1, F2, "b1", F, F, F3, D1)
def compare_with_counts(
    far: Floats,
    counts: Floats,
    at: Indices,
    weights: Floats,
    poisson: bool,
    eps: float,
    loss_eps: float,
    power: Floats,
    sums: Doubles,
) -> None:
    """Compare the far waves (n, n_modes, H, 2 W) with the measured intensities; multiply them by their correction.

    `counts` (N, H, W) are the photons of all exposures, `weights` (H, W) of the pixels, 0 where masked. `power`
    (n, H, W) gets the expected intensities. Eq. 12 and 14: the correction is root(counts) / root(power) - 1 with
    Gaussian noise and counts / power - 1 with Poisson noise, without the step. `sums` (2,), 0 before, gets the sums
    over all pixels of (root(power) - root(counts))^2 and of the same with `loss_eps` under both roots.
    """
    n, n_modes, height, double_width = far.shape
    width = double_width // 2
    for k in range(n):
        for i in range(height):
            row_power, row_counts, row_weights = power[k, i], counts[at[k], i], weights[i]
            for mode in range(n_modes):
                wave = far[k, mode, i]
                if mode == 0:
                    for j in range(width):
                        row_power[j] = wave[2 * j] * wave[2 * j] + wave[2 * j + 1] * wave[2 * j + 1]
                else:
                    for j in range(width):
                        row_power[j] += wave[2 * j] * wave[2 * j] + wave[2 * j + 1] * wave[2 * j + 1]
            row_squares, row_loss = ZERO, ZERO
            for mode in range(n_modes):
                wave = far[k, mode, i]
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


@compiled(F3, F3, I1, F2, F, F2)
def far_step_sums(power: Floats, counts: Floats, at: Indices, weights: Floats, before: float, sums: Floats) -> None:
    """Compute the sums over pixels of which pty-chi makes the steps of the far waves with Poisson noise.

    With xi = 1 - counts / power, 0 where a pixel's weight is 0, and `before` the step that is to be improved,
    `sums` (2, n) gets those of xi (power - counts / (1 - before xi)) and of xi^2 power.
    """
    n, height, width = power.shape
    for k in range(n):
        numerator, denominator = ZERO, ZERO
        for i in range(height):
            row_power, row_counts, row_weights = power[k, i], counts[at[k], i], weights[i]
            for j in range(width):
                expected, measured = row_power[j], row_counts[j]
                xi = ONE - measured / (expected + XI_EPS) if row_weights[j] > ZERO else ZERO
                numerator += xi * (expected - measured / (ONE - before * xi))
                denominator += xi * xi * expected
        sums[0, k], sums[1, k] = numerator, denominator


@compiled(F4, F1, F2, I1, I1, I1, F3, F3, F4, F3, F3, F3)
def directions(
    chi: Floats,
    steps: Floats,
    image: Floats,
    rows: Indices,
    columns: Indices,
    at: Indices,
    probes: Floats,
    rest: Floats,
    changes: Floats,
    of_object: Floats,
    of_probes: Floats,
    of_rest: Floats,
) -> None:
    """Take the directions of object and probe from the change of the exit waves, `chi` (n, n_modes, H, 2 W).

    It is multiplied by its exposure's step first, which `changes`, of the same shape, gets. Eq. 24b: `of_object`
    (1 or 2, Y, 2 X), 0 before, gets the sum over exposures of chi and the conjugate probe on the object's grid, by the
    first mode and by all further ones; Eq. 24a: `of_probes` (n, H, 2 W) gets chi times the conjugate patch for the
    first mode, `of_rest` (n_modes - 1, H, 2 W), 0 before, its sum over exposures for each further mode.
    """
    n, n_modes, height, double_width = chi.shape
    for k in range(n):
        row, column, step = rows[at[k]], 2 * columns[at[k]], steps[k]
        for mode in range(n_modes):
            for i in range(height):
                wave, change = chi[k, mode, i], changes[k, mode, i]
                probe = probes[k, i] if mode == 0 else rest[mode - 1, i]
                patch = image[row + i, column : column + double_width]
                if mode == 0:
                    target = of_probes[k, i]
                    first = of_object[0, row + i, column : column + double_width]
                    for j in range(double_width // 2):
                        re, im = wave[2 * j] * step, wave[2 * j + 1] * step
                        change[2 * j], change[2 * j + 1] = re, im
                        first[2 * j] += re * probe[2 * j] + im * probe[2 * j + 1]
                        first[2 * j + 1] += im * probe[2 * j] - re * probe[2 * j + 1]
                        target[2 * j] = re * patch[2 * j] + im * patch[2 * j + 1]
                        target[2 * j + 1] = im * patch[2 * j] - re * patch[2 * j + 1]
                else:
                    further = of_object[1, row + i, column : column + double_width]
                    total = of_rest[mode - 1, i]
                    for j in range(double_width // 2):
                        re, im = wave[2 * j] * step, wave[2 * j + 1] * step
                        change[2 * j], change[2 * j + 1] = re, im
                        further[2 * j] += re * probe[2 * j] + im * probe[2 * j + 1]
                        further[2 * j + 1] += im * probe[2 * j] - re * probe[2 * j + 1]
                        total[2 * j] += re * patch[2 * j] + im * patch[2 * j + 1]
                        total[2 * j + 1] += im * patch[2 * j] - re * patch[2 * j + 1]


@compiled(F3, F2, F2, I1, F2)
def sum_shifted_back(spectra: Floats, ramp_y: Floats, ramp_x: Floats, at: Indices, total: Floats) -> None:
    """Add the spectra (n, H, 2 W), each moved back by its exposure's fraction of a pixel, to `total` (H, 2 W).

    A sum of shifted waves is the transform of a sum, so that one transform brings all of them back.
    """
    n, height, double_width = spectra.shape
    for k in range(n):
        x = ramp_x[at[k]]
        y = ramp_y[at[k]]
        for i in range(height):
            y_re, y_im = y[2 * i], -y[2 * i + 1]
            source, target = spectra[k, i], total[i]
            for j in range(double_width // 2):
                re = source[2 * j] * x[2 * j] + source[2 * j + 1] * x[2 * j + 1]
                im = source[2 * j + 1] * x[2 * j] - source[2 * j] * x[2 * j + 1]
                target[2 * j] += re * y_re - im * y_im
                target[2 * j + 1] += re * y_im + im * y_re


@compiled(F4, F2, F2, I1, I1, I1, F3, F2, F2)
def step_sums(
    chi: Floats,
    image: Floats,
    direction: Floats,
    rows: Indices,
    columns: Indices,
    at: Indices,
    probes: Floats,
    of_probe: Floats,
    sums: Floats,
) -> None:
    """Compute the sums over pixels of which Eq. 22 and 23 make each exposure's steps, for the first mode.

    With u the object's direction (Y, 2 X) on the exposure's patch times its probe, and v the patch of the object times
    the probe's direction (H, 2 W), `sums` (6, n) gets |u|^2, |v|^2, the real and imaginary part of conj(u) v, and the
    real parts of conj(chi) u and conj(chi) v.
    """
    n, _, height, double_width = chi.shape
    for k in range(n):
        row, column = rows[at[k]], 2 * columns[at[k]]
        u_u, v_v, u_v_re, u_v_im, chi_u, chi_v = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
        for i in range(height):
            wave, probe, moved = chi[k, 0, i], probes[k, i], of_probe[i]
            patch = image[row + i, column : column + double_width]
            on_patch = direction[row + i, column : column + double_width]
            for j in range(double_width // 2):
                u_re = on_patch[2 * j] * probe[2 * j] - on_patch[2 * j + 1] * probe[2 * j + 1]
                u_im = on_patch[2 * j] * probe[2 * j + 1] + on_patch[2 * j + 1] * probe[2 * j]
                v_re = patch[2 * j] * moved[2 * j] - patch[2 * j + 1] * moved[2 * j + 1]
                v_im = patch[2 * j] * moved[2 * j + 1] + patch[2 * j + 1] * moved[2 * j]
                u_u += u_re * u_re + u_im * u_im
                v_v += v_re * v_re + v_im * v_im
                u_v_re += u_re * v_re + u_im * v_im
                u_v_im += u_re * v_im - u_im * v_re
                chi_u += wave[2 * j] * u_re + wave[2 * j + 1] * u_im
                chi_v += wave[2 * j] * v_re + wave[2 * j + 1] * v_im
        sums[0, k], sums[1, k], sums[2, k], sums[3, k], sums[4, k], sums[5, k] = u_u, v_v, u_v_re, u_v_im, chi_u, chi_v
