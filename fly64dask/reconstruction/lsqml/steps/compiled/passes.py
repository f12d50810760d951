"""The passes over a minibatch of waves as compiled loops, on one thread or several, on arrays alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.reconstruction.lsqml.steps.compiled.buffers import Minibatch, ThreadBuffers
from fly64dask.reconstruction.lsqml.steps.compiled.forward_kernels import compare_minibatch, transform_probe
from fly64dask.reconstruction.lsqml.steps.compiled.memory import floats
from fly64dask.reconstruction.lsqml.steps.compiled.step_kernels import (
    solve_steps,
    step_sums,
    weigh_object_direction,
    weigh_probe_direction,
)
from fly64dask.reconstruction.lsqml.steps.compiled.update_kernels import add_directions, far_step_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.reconstruction.lsqml.steps.compiled.transforms import Library

    Floats = NDArray[np.float32]
    Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What all exposures of a scan have recorded: `counts` (N, H, W) float32, with `weights` (H, W) float32 of the
    pixels, 0 where masked; and how expected intensities are compared with them: by counts with Poisson noise, else by
    amplitudes, with `eps` beside the expected one, and `loss_eps` under the roots of the loss.
    """

    counts: Floats
    weights: Floats
    poisson: bool
    eps: float
    loss_eps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Corners:
    """Where exposures lie: `corners` (N, 2) int64, the first pixel of each patch, and ramps (N, 2 H) and (N, 2 W)
    float32 that move the probe by what the pixels leave.
    """

    corners: Indices
    ramps_y: Floats
    ramps_x: Floats


class CompiledPasses:
    """The passes over a minibatch of a scan, one after the other: `begin`, `compare`, `add_directions`, `directions`,
    `steps`. `library` is that of the Fourier transforms.

    Complex arrays are float32 with real and imaginary parts in turns: object (Y, 2 X), probe (n_modes, H, 2 W). On
    several threads each has its own exposures, and its own sums over them, which are added in one order: the same
    number of threads gives the same numbers.
    """

    def __init__(
        self,
        measured: Measured,
        n_modes: int,
        object_shape_px: tuple[int, int],
        *,
        library: Library,
        n_threads: int,
    ) -> None:
        self.measured, self.library = measured, library
        self._shape_px: tuple[int, int] = measured.weights.shape
        self.threads = [ThreadBuffers(n_modes, self._shape_px, object_shape_px, library) for _ in range(n_threads)]
        self._pool = ThreadPoolExecutor(n_threads) if n_threads > 1 else None
        self._minibatches: dict[int, Minibatch] = {}
        self._spectrum = floats(self._shape_px[0], 2 * self._shape_px[1])

    def close(self) -> None:
        """End the threads; without it they end at some time after the last user has gone."""
        if self._pool is not None:
            self._pool.shutdown()

    def begin(self, exposures: Indices, at: Indices, places: Corners, image: Floats, probe: Floats) -> Minibatch:
        """Take up a minibatch of `exposures` (n,) of the scan, which lie at `at` (n,) of the places; gives its buffers.

        `image` and `probe` are its object and probe. An epoch has minibatches of one or two sizes.
        """
        self._exposures, self._at, self._places, self._image, self._probe = exposures, at, places, image, probe
        n = len(exposures)
        if n not in self._minibatches:
            self._minibatches[n] = Minibatch(n, len(probe), self._shape_px, len(self.threads))
        self._minibatch = self._minibatches[n]
        for buffers in self.threads:
            buffers.clear()
        self._check(transform_probe(self.threads[0].plans.addresses, probe[0], self._spectrum))
        return self._minibatch

    def compare(self, steps: Floats | None) -> None:
        """Work out probes, expected intensities, squared differences, and the change of the exit waves without steps.

        If the steps of the far waves (n,) are known already, directions are added while the waves are in the cache.
        """

        def of_piece(piece: Indices, buffers: ThreadBuffers) -> int:
            n_failed = self._compare_piece(piece, buffers)
            return n_failed if steps is None else n_failed + self._directions_of_piece(piece, buffers, steps)

        self._for_each_piece(of_piece)

    def add_directions(self, steps: Floats) -> None:
        """Add the directions of all exposures, whose far waves' steps (n,) are now known."""
        self._for_each_piece(lambda piece, buffers: self._directions_of_piece(piece, buffers, steps))

    def directions(
        self, damping: Floats, gradients: tuple[Floats, Floats], *, compact: bool, adds_up: bool
    ) -> tuple[Floats, Floats]:
        """Make the sums over the exposures the gradients of object (Y, 2 X) and probe (n_modes, H, 2 W).

        `damping`, `compact` and `adds_up` as for `weigh_object_direction`. Gives the directions of which the steps are
        made, and that of all the probe's modes, in memory that the next minibatch overwrites.
        """
        first, *others = self.threads
        for other in others:
            first.of_object += other.of_object
            first.of_probe += other.of_probe
        weigh_object_direction(first.of_object, damping, compact, adds_up, gradients[0])
        n = len(self._at)
        self._check(weigh_probe_direction(first.plans.addresses, first.of_probe, n, gradients[1]))
        return first.of_object[0], first.of_probe

    def squares(self) -> tuple[float, float]:
        """Sum the squared differences of amplitudes over all pixels: the Fourier error's, and the loss's."""
        error, loss = 0.0, 0.0
        for buffers in self.threads:
            error += float(buffers.squares[0])
            loss += float(buffers.squares[1])
        return error, loss

    def sum_far_steps(self, before: float) -> Floats:
        """Compute the two sums (2, n) of which a step of the far waves is made with Poisson noise."""
        sums = np.empty((2, len(self._at)), np.float32)
        measured, power = self.measured, self._minibatch.power
        far_step_sums(power, measured.counts, self._exposures, measured.weights, before, sums)
        return sums

    def steps(self, far_steps: Floats, of_object: Floats, of_probe: Floats, *, jointly: bool) -> Floats:
        """Solve for the steps of object and probe (2, n), from the steps of the far waves (n,) and the directions of
        object (Y, 2 X) and of the probe's first mode (H, 2 W).
        """
        minibatch, sums, steps = self._minibatch, *np.empty((2, 6, len(self._at)), np.float32)

        def of_piece(piece: Indices, _: ThreadBuffers) -> int:
            corners, image = self._places.corners, self._image
            waves = minibatch.probes, minibatch.changes
            step_sums(piece, self._at, far_steps, image, of_object, corners, *waves, of_probe, sums)
            return 0

        self._for_each_piece(of_piece)
        solve_steps(sums, jointly, steps[:2])
        return steps[:2]

    def _compare_piece(self, piece: Indices, buffers: ThreadBuffers) -> int:
        minibatch, places, measured = self._minibatch, self._places, self.measured
        n_failed: int = compare_minibatch(
            piece,
            self._at,
            self._exposures,
            self._spectrum,
            self._probe,
            self._image,
            places.corners,
            places.ramps_y,
            places.ramps_x,
            measured.counts,
            measured.weights,
            measured.poisson,
            measured.eps,
            measured.loss_eps,
            buffers.plans.addresses,
            buffers.scratch,
            minibatch.probes,
            minibatch.changes,
            minibatch.power,
            buffers.squares,
        )
        return n_failed

    def _directions_of_piece(self, piece: Indices, buffers: ThreadBuffers, steps: Floats) -> int:
        minibatch, places = self._minibatch, self._places
        n_failed: int = add_directions(
            piece,
            self._at,
            steps,
            self._probe,
            self._image,
            places.corners,
            places.ramps_y,
            places.ramps_x,
            buffers.plans.addresses,
            buffers.scratch,
            minibatch.probes,
            minibatch.changes,
            buffers.of_object,
            buffers.of_probe,
        )
        return n_failed

    def _for_each_piece(self, work: Callable[[Indices, ThreadBuffers], int]) -> None:
        """Let each thread work on its pieces of the minibatch; RuntimeError if a transform failed."""
        n_threads = len(self.threads)

        def of_thread(number: int) -> int:
            pieces = self._minibatch.pieces[number::n_threads]
            return sum(work(piece, self.threads[number]) for piece in pieces)

        run = map if self._pool is None else self._pool.map
        self._check(sum(run(of_thread, range(n_threads))))

    def _check(self, n_failed: int) -> None:
        if n_failed:
            n = len(self._at)
            raise RuntimeError(
                f"{n_failed} Fourier transforms of {self.library} failed in a minibatch of {n} exposures"
            )
