"""The steps of an LSQML minibatch on a CPU, by compiled passes that take it exposure by exposure.

They take the place of the passes of the steps on torch, and use these for whatever there is once in an epoch. The
correction of the far wave is linear in its exposure's step, so that it is made before the step is known, in the pass
that compares with the counts. With Gaussian noise all steps are the same, and the directions are taken while an
exposure's waves are in the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from fly64dask.reconstruction.lsqml.steps.compiled import CompiledPasses, Corners, Measured, add_at_corners
from fly64dask.reconstruction.lsqml.steps.places import corners_px
from fly64dask.reconstruction.lsqml.steps.step_arithmetic import (
    as_complex,
    as_floats,
    descend,
    intensity_of_modes,
    naming_devices,
    trimmed_mean,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from ptychi.data_structures.probe import Probe
    from ptychi.data_structures.probe_positions import ProbePositions
    from torch import Tensor

    from fly64dask.reconstruction.lsqml.steps.compiled import Library
    from fly64dask.reconstruction.lsqml.steps.fast_steps import FastSteps
    from fly64dask.reconstruction.lsqml.steps.places import Places

    Floats = NDArray[np.float32]

# pty-chi 2.2.0, get_psi_far_step_size with Poisson noise: rounds of improvement, weight of the new step, noise on it.
ROUNDS, NEW_SHARE, PERTURBATION = 2, 0.5, 1e-2


class FusedSteps:
    """The steps of a built task with one slice and one OPR mode, on a CPU, with Fourier transforms of a library.

    Methods that stand in for pty-chi's have its signatures: `indices` (n,) int64 are exposures, `y_pred` and `y_true`
    (n, H, W) float32 their expected and measured intensities. `places` are those of another task with the same
    positions, if there is one.
    """

    def __init__(self, plain: FastSteps, library: Library, places: Corners | None = None) -> None:
        self.library = library
        self.plain, self.expected, self.reconstructor = plain, plain.expected, plain.reconstructor
        self.object, self.probe, self.scan = plain.object, plain.probe, plain.expected.scan
        self.illumination = plain.illumination
        noise, weights = self.expected.noise, self.expected.pixel_weights
        measured = Measured(
            counts=self.expected.patterns.numpy(),
            weights=np.ones(self.expected.shape_px, np.float32) if weights is None else weights.contiguous().numpy(),
            poisson=noise.noise_statistics != "gaussian",
            eps=float(noise.eps),
            loss_eps=float(self.expected.loss_eps),
        )
        self.poisson = measured.poisson
        # What the step of Eq. 16 is multiplied by, with an amplitude's variance of sigma^2.
        self.step_scale = 1.0 if self.poisson else 2 / (2 * noise.sigma) ** 2
        shape_px, n_threads = tuple(self.object.lateral_shape), torch.get_num_threads()
        self.passes = CompiledPasses(measured, self.probe.n_modes, shape_px, library=library, n_threads=n_threads)
        self.n_pixels = measured.weights.size
        # As pty-chi has gradients: (1, Y, X, 2) and (1, n_modes, H, W, 2).
        self.gradients = [torch.zeros(of.tensor.data.shape, device="cpu") for of in (self.object, self.probe)]
        self.places = places or _corners(self.scan.all)
        # Of the minibatch at hand: the steps of its far waves, once directions are taken, and those of the object.
        self.far_steps: Floats | None = None
        self.object_steps, self.probe_steps = torch.zeros((2, 0), device="cpu")

    @naming_devices
    def calculate_illumination_map(
        self, probe: Probe, probe_positions: ProbePositions, use_all_modes: bool = False
    ) -> Tensor:
        """Add up the illumination of the object, in place of its method, (Y, X) float32: as the steps on torch do."""
        intensity = intensity_of_modes(probe, use_all_modes=use_all_modes).contiguous().numpy()
        corners = corners_px(probe_positions.tensor.detach(), self.object, self.expected.shape_px)
        illumination = torch.zeros(tuple(self.object.lateral_shape), device="cpu")
        add_at_corners(intensity, torch.stack(corners, dim=1).numpy(), illumination.numpy())
        return illumination

    @naming_devices
    def read(self, indices: Tensor) -> Tensor:
        """Read the measured intensities of a minibatch, (n, H, W) float32; none, (0, H, W), if no step needs them."""
        if self.expected.only_rescales() or self.reconstructor.loss_tracker.metric_function != self.loss:
            return self.expected.read(indices)
        none: Tensor = self.expected.patterns[:0]
        return none

    @naming_devices
    def forward(self, indices: Tensor) -> Tensor:
        """Compute expected intensities, summed over the probe's modes, in place of the forward model's `forward`."""
        reconstructor, exposures = self.reconstructor, indices.numpy()
        at = exposures
        if self.scan.moving:
            self.places, at = _corners(self.scan.of(indices)), np.arange(len(exposures))
        image, probe = _floats(self.object.tensor.data)[0], _floats(self.probe.tensor.data)[0]
        self.minibatch = self.passes.begin(exposures, at, self.places, image, probe)
        power, self.far_steps = torch.from_numpy(self.minibatch.power), None
        in_epoch = reconstructor.current_minibatch < len(reconstructor.dataloader)
        if not self.poisson and in_epoch and not self.expected.only_rescales():
            reconstructor.alpha_psi_far = reconstructor.get_psi_far_step_size(power, None, indices)
            self.far_steps = self._scaled_far_steps(len(exposures))
        self.passes.compare(self.far_steps)
        return power

    def update_fourier_error(self, y_pred: Tensor, y_true: Tensor) -> None:
        """Add to the epoch's mean square error of the amplitude, in place of the reconstructor's method."""
        self.expected.add_fourier_error(self.passes.squares()[0] / self.n_pixels)

    def loss(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """Give the mean square error of the minibatch's amplitudes, in place of the tracker's `metric_function`."""
        return torch.tensor(self.passes.squares()[1] / (self.n_pixels * len(y_pred)), dtype=torch.float32)

    @naming_devices
    def compute_reconstruction_parameter_updates(self, y_pred: Tensor, y_true: Tensor, indices: Tensor) -> None:
        """Set directions of object and probe as gradients, and each exposure's steps, in place of the method."""
        self.plain.begin_minibatch()
        if self.far_steps is None:
            self._find_far_steps(y_pred, y_true, indices)
            self.far_steps = self._scaled_far_steps(len(indices))
            self.passes.add_directions(self.far_steps)
        self._set_directions()
        if self.scan.moving and self.plain.positions.optimization_enabled(self.reconstructor.current_epoch):
            self._set_position_direction(indices)
        steps = self.passes.steps(self.far_steps, self.of_object, self.of_probe[0], jointly=self.plain.jointly)
        self._set_steps(steps, indices.numpy())

    @naming_devices
    def apply_reconstruction_parameter_updates(self, indices: Tensor) -> None:
        """Take the steps of a minibatch, in place of the reconstructor's method; not the object's if it is compact."""
        epoch = self.reconstructor.current_epoch
        if self.object.optimization_enabled(epoch) and not self.illumination.compact:
            descend(self.object, by=trimmed_mean(self.object_steps))
        if self.probe.optimization_enabled(epoch):
            n_minibatches = len(self.reconstructor.dataloader) if self.illumination.compact else 1
            descend(self.probe, by=self.probe_steps.mean() / n_minibatches)
        if self.plain.positions.optimization_enabled(epoch):
            self.plain.positions.step_optimizer()

    def _find_far_steps(self, y_pred: Tensor, y_true: Tensor, indices: Tensor) -> None:
        """Work out the steps of the far waves, () or (n,), as pty-chi does."""
        reconstructor = self.reconstructor
        if not self.poisson:
            reconstructor.alpha_psi_far = reconstructor.get_psi_far_step_size(y_pred, y_true, indices)
            return
        known = reconstructor.alpha_psi_far_all_pos
        steps = known[indices]
        for _ in range(ROUNDS):
            before = float(steps.mean())
            numerator, denominator = map(torch.from_numpy, self.passes.sum_far_steps(before))
            steps = numerator.div(denominator).masked_fill_(denominator <= 0, 0.0)
            steps = steps.mul_(NEW_SHARE).add_((1 - NEW_SHARE) * before).clamp_(0, 1)
        steps = torch.randn(steps.shape, device="cpu").mul_(PERTURBATION).add_(steps)
        known[indices] = reconstructor.alpha_psi_far = steps

    def _scaled_far_steps(self, n: int) -> Floats:
        """Give the factors (n,) that the corrections of the far waves are multiplied by."""
        factors = np.empty(n, np.float32)
        factors[:] = self.reconstructor.alpha_psi_far.numpy() * self.step_scale
        return factors

    def _set_directions(self) -> None:
        """Set the directions of object and probe as gradients; `of_object` and `of_probe` are those of the steps."""
        reconstructor, compact, damping = (
            self.reconstructor,
            self.illumination.compact,
            self.illumination.damping().numpy(),
        )
        of_object, of_probe = self.gradients
        adds_up = compact and reconstructor.current_minibatch != 0
        gradients = _floats(of_object)[0], _floats(of_probe)[0]
        self.of_object, self.of_probe = self.passes.directions(damping, gradients, compact=compact, adds_up=adds_up)
        self.object.tensor.data.grad, self.probe.tensor.data.grad = of_object, of_probe
        if reconstructor.options.momentum_acceleration_gain > 0:
            reconstructor._initialize_momentum_buffers()
            reconstructor._update_momentum_buffers(torch.from_numpy(self.of_probe.view(np.complex64)))

    def _set_steps(self, steps: Floats, exposures: NDArray[np.int64]) -> None:
        """Set the steps (2, n) of object and probe as `FastSteps.set_steps` does; they are overwritten.

        By NumPy: after a pass over a minibatch's waves little of torch's code is left in the cache, so that its calls
        took 4 % of an epoch of 1000 exposures.
        """
        buffers, scalers = self.reconstructor.reconstructor_buffers, (self.object.options, self.probe.options)
        scales = [options.optimal_step_size_scaler for options in scalers]
        steps[0] *= scales[0] / self.probe.n_modes
        steps[1] *= scales[1]
        np.maximum(steps, 0, out=steps)
        buffers.alpha_object_all_pos_all_slices.numpy()[exposures, 0] = steps[0]
        buffers.alpha_probe_all_pos.numpy()[exposures] = steps[1]
        self.object_steps, self.probe_steps = torch.from_numpy(steps)

    def _set_position_direction(self, indices: Tensor) -> None:
        """Set the direction of the positions, by pty-chi's own functions."""
        n = len(indices)
        patches = self.scan.of(indices).extract(as_complex(self.object)[0])[:, None]
        probes = torch.from_numpy(self.minibatch.probes.view(np.complex64))[:, None]
        if self.probe.n_modes > 1:
            probes = torch.cat([probes, as_complex(self.probe)[0, 1:].expand(n, -1, -1, -1)], dim=1)
        of_first = torch.from_numpy(self.minibatch.changes[:, :1].view(np.complex64))
        assert self.far_steps is not None
        change = of_first * torch.from_numpy(self.far_steps)[:, None, None, None]
        # The object's patches have no say in the gradient of a position.
        self.reconstructor.update_probe_positions(change, indices, patches, None, probes, apply_updates=False)


def _corners(places: Places) -> Corners:
    """Give places as the compiled passes have them."""
    return Corners(
        corners=torch.stack([places.rows, places.columns], dim=1).numpy(),
        ramps_y=as_floats(places.ramp_y[:, :, 0]),
        ramps_x=as_floats(places.ramp_x[:, 0]),
    )


def _floats(values: Tensor) -> Floats:
    """View pty-chi's (..., H, W, 2) as (..., H, 2 W) in the same memory."""
    floats = values.detach().numpy()
    return floats.reshape(*floats.shape[:-2], -1)
