"""Memory of the compiled passes, made once: memory that is new to a process costs as much as a pass over it."""

from __future__ import annotations

import numpy as np

from fly64dask.reconstruction.lsqml.steps.compiled.memory import floats
from fly64dask.reconstruction.lsqml.steps.compiled.transforms import Library, plans_for

# As many exposures as have two waves each in half a MiB: they are still in a core's second-level cache when they are
# read again.
PIECE_BYTES = 2**19


class Minibatch:
    """What n exposures have, float32, waves with real and imaginary parts in turns.

    `probes` (n, H, 2 W) are the first mode as each has it, `changes` (n, n_modes, H, 2 W) the change of the exit waves
    without its step, `power` (n, H, W) expected intensities. `pieces` are exposures that are worked on at a time, the
    first of them and the first of the next piece.
    """

    def __init__(self, n: int, n_modes: int, shape_px: tuple[int, int], n_threads: int) -> None:
        height, width = shape_px
        self.probes = floats(n, height, 2 * width)
        self.changes = floats(n, n_modes, height, 2 * width)
        self.power = floats(n, height, width)
        size = min(-(-n // n_threads), max(1, PIECE_BYTES // (8 * height * width * (1 + n_modes))))
        self.pieces = [np.array([first, min(first + size, n)]) for first in range(0, n, size)]


class ThreadBuffers:
    """What one thread has: plans of transforms, `scratch` (2, H, 2 W), and sums over its exposures.

    The sums are `of_object` (1 or 2, Y, 2 X), directions of the object by the first mode and by all further ones;
    `of_probe` (n_modes, H, 2 W), directions of the probe, of its first mode the spectrum; and `squares` (2,), squared
    differences of amplitudes, as the Fourier error and as the loss have them.
    """

    def __init__(
        self, n_modes: int, shape_px: tuple[int, int], object_shape_px: tuple[int, int], library: Library
    ) -> None:
        (height, width), (rows, columns) = shape_px, object_shape_px
        self.plans = plans_for(shape_px, library)
        self.scratch = floats(2, height, 2 * width)
        self.of_object = floats(min(n_modes, 2), rows, 2 * columns)
        self.of_probe = floats(n_modes, height, 2 * width)
        self.squares = np.zeros(2)

    def clear(self) -> None:
        """Set the sums to 0."""
        for total in (self.of_object, self.of_probe, self.squares):
            total.fill(0)
