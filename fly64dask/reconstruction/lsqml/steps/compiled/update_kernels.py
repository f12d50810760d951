"""From the change of the exit waves to the directions of object and probe, exposure by exposure, in compiled loops.

Arrays are as in `forward_kernels`: complex waves as float32, `at` (n,) the exposures of a minibatch among `corners`
(N, 2) and ramps (N, 2 H) and (N, 2 W).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.reconstruction.lsqml.steps.compiled.compiling import F1, F2, F3, F4, I0, I1, I2, F, compiled
from fly64dask.reconstruction.lsqml.steps.compiled.transforms import BETWEEN, FORWARD, call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Indices = NDArray[np.int64]

ZERO, ONE = np.float32(0), np.float32(1)
# pty-chi 2.2.0, get_psi_far_step_size: added to the expected intensity.
XI_EPS = np.float32(1e-5)


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


@compiled(F2, F, F2, I0, I0, F2, F2, F2)
def directions_of_first(
    change: Floats,
    step: float,
    image: Floats,
    row: int,
    column: int,
    probe: Floats,
    of_object: Floats,
    of_probe: Floats,
) -> None:
    """Add an exposure's direction of the object to `of_object` (Y, 2 X), and write that of its probe to `of_probe`.

    Eq. 24b and 24a, by the first mode: its change (H, 2 W) times the step, times the conjugate probe or patch.
    """
    height, double_width = change.shape
    first, last = 2 * column, 2 * column + double_width
    for i in range(height):
        wave, source, target = change[i], probe[i], of_probe[i]
        patch, added = image[row + i, first:last], of_object[row + i, first:last]
        for j in range(double_width // 2):
            re, im = wave[2 * j] * step, wave[2 * j + 1] * step
            added[2 * j] += re * source[2 * j] + im * source[2 * j + 1]
            added[2 * j + 1] += im * source[2 * j] - re * source[2 * j + 1]
            target[2 * j] = re * patch[2 * j] + im * patch[2 * j + 1]
            target[2 * j + 1] = im * patch[2 * j] - re * patch[2 * j + 1]


@compiled(F2, F, F2, I0, I0, F2, F2, F2)
def directions_of_further(
    change: Floats,
    step: float,
    image: Floats,
    row: int,
    column: int,
    probe: Floats,
    of_object: Floats,
    of_probe: Floats,
) -> None:
    """Add an exposure's directions by a further mode, which is not moved, to those of object and mode."""
    height, double_width = change.shape
    first, last = 2 * column, 2 * column + double_width
    for i in range(height):
        wave, source, total = change[i], probe[i], of_probe[i]
        patch, added = image[row + i, first:last], of_object[row + i, first:last]
        for j in range(double_width // 2):
            re, im = wave[2 * j] * step, wave[2 * j + 1] * step
            added[2 * j] += re * source[2 * j] + im * source[2 * j + 1]
            added[2 * j + 1] += im * source[2 * j] - re * source[2 * j + 1]
            total[2 * j] += re * patch[2 * j] + im * patch[2 * j + 1]
            total[2 * j + 1] += im * patch[2 * j] - re * patch[2 * j + 1]


@compiled(F2, F1, F1, F2)
def add_shifted_back(spectrum: Floats, ramp_y: Floats, ramp_x: Floats, total: Floats) -> None:
    """Add a spectrum (H, 2 W), moved back by the product of two ramps, (2 H,) and (2 W,), to `total`."""
    height, double_width = spectrum.shape
    for i in range(height):
        y_re, y_im = ramp_y[2 * i], -ramp_y[2 * i + 1]
        source, target = spectrum[i], total[i]
        for j in range(double_width // 2):
            re = source[2 * j] * ramp_x[2 * j] + source[2 * j + 1] * ramp_x[2 * j + 1]
            im = source[2 * j + 1] * ramp_x[2 * j] - source[2 * j] * ramp_x[2 * j + 1]
            target[2 * j] += re * y_re - im * y_im
            target[2 * j + 1] += re * y_im + im * y_re


@compiled(I1, I1, F1, F3, F2, I2, F2, F2, I1, F3, F3, F4, F3, F3, returns=I0)
def add_directions(
    part: Indices,
    at: Indices,
    steps: Floats,
    modes: Floats,
    image: Floats,
    corners: Indices,
    ramps_y: Floats,
    ramps_x: Floats,
    plans: Indices,
    scratch: Floats,
    probes: Floats,
    changes: Floats,
    of_object: Floats,
    of_probe: Floats,
) -> int:
    """Add the directions of the exposures from `part[0]` to `part[1]` of a minibatch to the sums over all of them.

    `steps` (n,) are those of the far waves. `of_object` (1 or 2, Y, 2 X) gets the object's by the first mode and by all
    further ones; `of_probe` (n_modes, H, 2 W) each mode's, of the first one its spectrum: a sum of shifted waves is the
    transform of a sum, so that one transform brings all of them back. Gives the number of transforms that failed.
    """
    n_failed = 0
    of_first, spectrum = scratch[0], scratch[1]
    for k in range(part[0], part[1]):
        row, column, step = corners[at[k], 0], corners[at[k], 1], steps[k]
        directions_of_first(changes[k, 0], step, image, row, column, probes[k], of_object[0], of_first)
        n_failed += call(plans[FORWARD], plans[BETWEEN], of_first.ctypes.data, spectrum.ctypes.data) != 0
        add_shifted_back(spectrum, ramps_y[at[k]], ramps_x[at[k]], of_probe[0])
        for mode in range(1, modes.shape[0]):
            directions_of_further(changes[k, mode], step, image, row, column, modes[mode], of_object[1], of_probe[mode])
    return n_failed


@compiled(F2, I2, F2)
def add_at_corners(patch: Floats, corners: Indices, image: Floats) -> None:
    """Add a patch (H, W) to an image (Y, X) at each of the first pixels `corners` (n, 2)."""
    height, width = patch.shape
    for k in range(len(corners)):
        row, column = corners[k, 0], corners[k, 1]
        for i in range(height):
            source, target = patch[i], image[row + i, column : column + width]
            for j in range(width):
                target[j] += source[j]
