"""The steps of a minibatch against its directions, in compiled loops.

Arrays are as in `forward_kernels`: complex waves as float32, `at` (n,) the exposures of a minibatch among `corners`
(N, 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.reconstruction.lsqml.steps.compiled.compiling import F1, F2, F3, F4, I0, I1, I2, compiled
from fly64dask.reconstruction.lsqml.steps.compiled.transforms import BACKWARD, IN_PLACE, call
from fly64dask.reconstruction.lsqml.steps.step_arithmetic import DAMPING, SQUARE_FLOOR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Indices = NDArray[np.int64]

ZERO, ONE = np.float32(0), np.float32(1)


@compiled(F3, F2, "b1", "b1", F2)
def weigh_object_direction(of_object: Floats, damping: Floats, compact: bool, adds_up: bool, gradient: Floats) -> None:
    """Eq. 25b: make a minibatch's direction of the object its gradient (Y, 2 X), and that of which its steps are made.

    `damping` (Y, X) is one over the damped illumination. The gradient is the negative sum over all modes, damped, or,
    of compact minibatches, not yet damped and added to what is there if the minibatch adds up. `of_object[0]` becomes
    the damped direction by the first mode, with what is there.
    """
    n_images, height, double_width = of_object.shape
    for i in range(height):
        first, further, factors, row = of_object[0, i], of_object[n_images - 1, i], damping[i], gradient[i]
        for j in range(double_width // 2):
            re, im, factor = first[2 * j], first[2 * j + 1], factors[j]
            all_re, all_im = re, im
            if n_images > 1:
                all_re, all_im = re + further[2 * j], im + further[2 * j + 1]
            if adds_up:
                re, im = re - row[2 * j], im - row[2 * j + 1]
                all_re, all_im = all_re - row[2 * j], all_im - row[2 * j + 1]
            first[2 * j], first[2 * j + 1] = re * factor, im * factor
            weight = ONE if compact else factor
            row[2 * j], row[2 * j + 1] = -all_re * weight, -all_im * weight


@compiled(I1, F3, I0, F3, returns=I0)
def weigh_probe_direction(plans: Indices, of_probe: Floats, n: int, gradient: Floats) -> int:
    """Eq. 25a: make the sum over n exposures, (n_modes, H, 2 W), of the first mode its spectrum, their mean, and its
    negative the probe's gradient. Gives the number of transforms that failed.
    """
    n_modes, height, double_width = of_probe.shape
    spectrum = of_probe[0].ctypes.data
    n_failed = int(call(plans[BACKWARD], plans[IN_PLACE], spectrum, spectrum) != 0)
    share = ONE / np.float32(n)
    for mode in range(n_modes):
        for i in range(height):
            row, negative = of_probe[mode, i], gradient[mode, i]
            for j in range(double_width):
                row[j] *= share
                negative[j] = -row[j]
    return n_failed


@compiled(I1, I1, F1, F2, F2, I2, F3, F4, F2, F2)
def step_sums(
    part: Indices,
    at: Indices,
    steps: Floats,
    image: Floats,
    direction: Floats,
    corners: Indices,
    probes: Floats,
    changes: Floats,
    of_probe: Floats,
    sums: Floats,
) -> None:
    """Compute the sums over pixels of which Eq. 22 and 23 make each exposure's steps, for the first mode.

    With u the object's direction (Y, 2 X) on the exposure's patch times its probe, v the patch of the object times the
    probe's direction (H, 2 W), and chi the change times its step, `sums` (6, n) gets |u|^2, |v|^2, the real and
    imaginary part of conj(u) v, and the real parts of conj(chi) u and conj(chi) v.
    """
    height, double_width = of_probe.shape
    for k in range(part[0], part[1]):
        row, column = corners[at[k], 0], 2 * corners[at[k], 1]
        u_u, v_v, u_v_re, u_v_im, chi_u, chi_v = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
        for i in range(height):
            wave, probe, moved = changes[k, 0, i], probes[k, i], of_probe[i]
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
        sums[0, k], sums[1, k], sums[2, k], sums[3, k] = u_u, v_v, u_v_re, u_v_im
        sums[4, k], sums[5, k] = chi_u * steps[k], chi_v * steps[k]


@compiled(F2, "b1", F2)
def solve_steps(sums: Floats, jointly: bool, steps: Floats) -> None:
    """Solve for the steps of object and probe, `steps` (2, n), as `StepSums.steps` does: in double precision."""
    n = sums.shape[1]
    mean_object, mean_probe = 0.0, 0.0
    for k in range(n):
        mean_object += (sums[0, k] + SQUARE_FLOOR) / n
        mean_probe += (sums[1, k] + SQUARE_FLOOR) / n
    for k in range(n):
        b_object, b_probe = float(sums[4, k]), float(sums[5, k])
        if not jointly:
            steps[0, k], steps[1, k] = b_object / sums[0, k] / 2, b_probe / sums[1, k] / 2
            continue
        a_object = sums[0, k] + SQUARE_FLOOR + DAMPING * mean_object
        a_probe = sums[1, k] + SQUARE_FLOOR + DAMPING * mean_probe
        m_object, m_probe = sums[2, k] / a_object, sums[2, k] / a_probe
        determinant = ONE - m_object * m_probe - (sums[3, k] / a_object) * (sums[3, k] / a_probe)
        b_object, b_probe = b_object / a_object, b_probe / a_probe
        steps[0, k] = (b_object - m_object * b_probe) / determinant
        steps[1, k] = (b_probe - m_probe * b_object) / determinant
