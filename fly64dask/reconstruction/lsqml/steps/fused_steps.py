"""The steps of an LSQML minibatch on a CPU: compiled passes over the data between the Fourier transforms.

They take the place of the passes of the steps on torch, and use these for whatever there is once in a minibatch. The
correction of the far wave is linear in its exposure's step, so that it is made before the step is known, in the pass
that compares with the counts. Buffers are made once: memory that is new to a process costs as much as a pass. Passes
and transforms go through a minibatch in pieces that stay in the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from fly64dask.reconstruction.lsqml.steps import kernels
from fly64dask.reconstruction.lsqml.steps.buffers import Minibatch
from fly64dask.reconstruction.lsqml.steps.step_arithmetic import (
    StepSums,
    as_complex,
    as_floats,
    naming_devices,
    set_gradient,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from fly64dask.reconstruction.lsqml.steps.fast_steps import FastSteps
    from fly64dask.reconstruction.lsqml.steps.places import Places

# pty-chi 2.2.0, get_psi_far_step_size with Poisson noise: rounds of improvement, weight of the new step, noise on it.
ROUNDS, NEW_SHARE, PERTURBATION = 2, 0.5, 1e-2


class FusedSteps:
    """The steps of a built task with one slice and one OPR mode, on a CPU.

    Methods that stand in for pty-chi's have its signatures: `indices` (n,) int64 are exposures, `y_pred` and `y_true`
    (n, H, W) float32 their expected and measured intensities.
    """

    def __init__(self, plain: FastSteps) -> None:
        self.plain, self.expected, self.reconstructor = plain, plain.expected, plain.reconstructor
        self.object, self.probe = plain.object, plain.probe
        self.scan, self.read = plain.expected.scan, plain.expected.read
        self.calculate_illumination_map = plain.calculate_illumination_map
        self.apply_reconstruction_parameter_updates = plain.apply_reconstruction_parameter_updates
        height, width = self.expected.shape_px
        weights = self.expected.pixel_weights
        self.weights = np.ones((height, width), np.float32) if weights is None else weights.contiguous().numpy()
        self.counts = self.expected.patterns.numpy()
        noise = self.expected.noise
        self.poisson = noise.noise_statistics != "gaussian"
        # What the step of Eq. 16 is multiplied by, with an amplitude's variance of sigma^2.
        self.step_scale = 1.0 if self.poisson else 2 / (2 * noise.sigma) ** 2
        self.eps, self.loss_eps = float(noise.eps), float(self.expected.loss_eps)
        self._minibatches: dict[int, Minibatch] = {}
        # Further modes of the probe, (n_modes - 1, H, 2 W), the object (Y, 2 X), and where the exposures lie on it.
        self.rest = np.zeros((0, height, 2 * width), np.float32)
        self.image = as_floats(as_complex(self.object)[0])
        self.at = np.zeros(0, np.int64)
        self._take_places(self.scan.all)
        # Sums over a minibatch's pixels of squared differences of amplitudes: the error's, and the loss's.
        self.squares = np.zeros(2)

    @naming_devices
    def forward(self, indices: Tensor) -> Tensor:
        """Compute expected intensities, summed over the probe's modes, in place of the forward model's `forward`."""
        minibatch, exposures = self._minibatch(len(indices)), indices.numpy()
        self.at = exposures
        if self.scan.moving:
            self._take_places(self.scan.of(indices))
            self.at = np.arange(len(indices))
        modes = as_complex(self.probe)[0]
        self.rest, self.image = as_floats(modes[1:]), as_floats(as_complex(self.object)[0])
        spectrum = as_floats(torch.fft.fft2(modes[0], norm="forward"))
        self.squares = np.zeros(2)
        for piece in minibatch.pieces:
            at = self.at[piece.part]
            kernels.shift_probes(spectrum, self.ramp_y, self.ramp_x, at, piece.shifted.floats)
            torch.fft.ifft2(piece.shifted.tensor, norm="forward", out=piece.probes.tensor)
            kernels.exit_waves(
                self.image, self.rows, self.columns, at, piece.probes.floats, self.rest, piece.near.floats
            )
            torch.fft.fft2(piece.near.tensor, out=piece.far.tensor)
            kernels.compare_with_counts(
                piece.far.floats,
                self.counts,
                exposures[piece.part],
                self.weights,
                self.poisson,
                self.eps,
                self.loss_eps,
                piece.power,
                self.squares,
            )
        return minibatch.power

    def update_fourier_error(self, y_pred: Tensor, y_true: Tensor) -> None:
        """Add to the epoch's mean square error of the amplitude, in place of the reconstructor's method."""
        self.expected.add_fourier_error(torch.tensor(self.squares[0] / self.weights.size, dtype=torch.float32))

    def loss(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """Give the mean square error of the minibatch's amplitudes, in place of the tracker's `metric_function`."""
        return torch.tensor(self.squares[1] / y_true.numel(), dtype=torch.float32)

    @naming_devices
    def compute_reconstruction_parameter_updates(self, y_pred: Tensor, y_true: Tensor, indices: Tensor) -> None:
        """Set directions of object and probe as gradients, and each exposure's steps, in place of the method."""
        minibatch = self._minibatch(len(indices))
        self.reconstructor.alpha_psi_far = self._far_steps(y_pred, y_true, indices)
        of_object, of_first, of_rest = self._directions(minibatch)
        step_object = self._set_object_direction(of_object)
        step_probe = self._set_probe_direction(of_first, of_rest)
        if self.scan.moving and self.plain.positions.optimization_enabled(self.reconstructor.current_epoch):
            self._set_position_direction(minibatch, indices)
        self._set_steps(minibatch, step_object, step_probe, indices)

    def _far_steps(self, y_pred: Tensor, y_true: Tensor, indices: Tensor) -> Tensor:
        """Work out the steps of the far waves, () or (n,), as pty-chi does."""
        if not self.poisson:
            step: Tensor = self.reconstructor.get_psi_far_step_size(y_pred, y_true, indices)
            return step
        known, exposures = self.reconstructor.alpha_psi_far_all_pos, indices.numpy()
        sums, steps = torch.empty((2, len(indices)), device="cpu"), known[indices]
        for _ in range(ROUNDS):
            before = float(steps.mean())
            kernels.far_step_sums(y_pred.numpy(), self.counts, exposures, self.weights, before, sums.numpy())
            numerator, denominator = sums
            steps = numerator.div(denominator).masked_fill_(denominator <= 0, 0.0)
            steps = steps.mul_(NEW_SHARE).add_((1 - NEW_SHARE) * before).clamp_(0, 1)
        steps = torch.randn(steps.shape, device="cpu").mul_(PERTURBATION).add_(steps)
        known[indices] = steps
        return steps

    def _directions(self, minibatch: Minibatch) -> tuple[Tensor, Tensor, NDArray[np.float32]]:
        """Sum up directions over the exposures: of the object, by the first mode and by all further ones,
        (1 or 2, Y, X); the first mode's spectrum (H, W); and the further modes, (n_modes - 1, H, 2 W).
        """
        steps = (self.reconstructor.alpha_psi_far.reshape(-1) * self.step_scale).expand(len(self.at)).contiguous()
        n_images = 2 if len(self.rest) else 1
        of_object = torch.zeros((n_images, *self.object.lateral_shape), dtype=torch.complex64, device="cpu")
        of_first = torch.zeros(self.expected.shape_px, dtype=torch.complex64, device="cpu")
        on_object, spectrum, of_rest = as_floats(of_object), as_floats(of_first), np.zeros_like(self.rest)
        for piece in minibatch.pieces:
            at = self.at[piece.part]
            torch.fft.ifft2(piece.far.tensor, out=piece.near.tensor)
            kernels.directions(
                piece.near.floats,
                steps.numpy()[piece.part],
                self.image,
                self.rows,
                self.columns,
                at,
                piece.probes.floats,
                self.rest,
                piece.far.floats,
                on_object,
                piece.shifted.floats,
                of_rest,
            )
            torch.fft.fft2(piece.shifted.tensor, out=piece.moved.tensor)
            kernels.sum_shifted_back(piece.moved.floats, self.ramp_y, self.ramp_x, at, spectrum)
        return of_object, of_first, of_rest

    def _set_object_direction(self, of_object: Tensor) -> Tensor:
        """Set the direction of the object as its gradient; gives that of which the steps are made, (Y, X)."""
        before = self.plain.added_up()
        by_all_modes = of_object.sum(0) if len(self.rest) else None
        direction, step_object = self.plain.over_illumination(of_object[0], before)
        if by_all_modes is not None:
            direction, _ = self.plain.over_illumination(by_all_modes, before)
        set_gradient(self.object, -direction)
        return step_object

    def _set_probe_direction(self, of_first: Tensor, of_rest: NDArray[np.float32]) -> Tensor:
        """Set the direction of the probe as its gradient, Eq. 25a; gives the first mode's, (H, W)."""
        step_probe = torch.fft.ifft2(of_first)[None]
        if len(of_rest):
            rest = torch.from_numpy(of_rest.view(np.complex64))
            step_probe = torch.cat([step_probe, rest])
        step_probe = step_probe.div_(len(self.at))
        set_gradient(self.probe, -step_probe)
        if self.reconstructor.options.momentum_acceleration_gain > 0:
            self.reconstructor._initialize_momentum_buffers()
            self.reconstructor._update_momentum_buffers(step_probe)
        first: Tensor = step_probe[0]
        return first

    def _set_steps(self, minibatch: Minibatch, step_object: Tensor, step_probe: Tensor, indices: Tensor) -> None:
        """Set the steps of object and probe for each exposure, from their directions, (Y, X) and (H, W)."""
        sums = np.empty((6, len(self.at)), np.float32)
        kernels.step_sums(
            minibatch.far.floats,
            self.image,
            as_floats(step_object),
            self.rows,
            self.columns,
            self.at,
            minibatch.probes.floats,
            as_floats(step_probe),
            sums,
        )
        a_object, a_probe, real, imaginary, b_object, b_probe = sums
        mixed = real + np.complex64(1j) * imaginary
        of_steps = StepSums(a_object=a_object, a_probe=a_probe, mixed=mixed, b_object=b_object, b_probe=b_probe)
        with np.errstate(all="ignore"):  # what is not finite is found, and named, at the end of the epoch
            of_object, of_probe = of_steps.steps(jointly=self.plain.jointly)
        self.plain.set_steps((torch.from_numpy(of_object), torch.from_numpy(of_probe)), indices)

    def _set_position_direction(self, minibatch: Minibatch, indices: Tensor) -> None:
        """Set the direction of the positions, by pty-chi's own functions."""
        patches = self.scan.of(indices).extract(as_complex(self.object)[0])[:, None]
        probes = minibatch.probes.tensor[:, None]
        if len(self.rest):
            rest = as_complex(self.probe)[0, 1:].expand(len(indices), -1, -1, -1)
            probes = torch.cat([probes, rest], dim=1)
        # The object's patches have no say in the gradient of a position.
        self.reconstructor.update_probe_positions(
            minibatch.far.tensor[:, :1], indices, patches, None, probes, apply_updates=False
        )

    def _minibatch(self, n: int) -> Minibatch:
        """Give the buffers of a minibatch of n exposures: an epoch has one or two sizes."""
        if n not in self._minibatches:
            self._minibatches[n] = Minibatch(n, self.probe.n_modes, self.expected.shape_px)
        return self._minibatches[n]

    def _take_places(self, places: Places) -> None:
        """Take places of exposures: first pixels of patches, (N,), ramps (N, 2 H) and (N, 2 W)."""
        self.rows, self.columns = places.rows.contiguous().numpy(), places.columns.contiguous().numpy()
        self.ramp_y, self.ramp_x = as_floats(places.ramp_y[:, :, 0]), as_floats(places.ramp_x[:, 0])
