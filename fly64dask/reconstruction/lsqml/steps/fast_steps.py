"""The steps of an LSQML minibatch with pty-chi's signatures and its numbers, in a fraction of its time.

Equations are those of Odstrcil, Menzel, Guizar-Sicairos, Optics Express 26, 3108 (2018). What is
saved on one thread, largest first: the ramp of a sub-pixel shift is a product of two lines, worked
out once for positions that do not move; with one probe mode the object's direction is not worked
out twice; the root of a pixel without photons, ten times as slow as another's, is not taken; the
exit wave's change is one transform, not a difference of two waves, and is kept conjugate, as each
product with it wants it; and what is not read again is overwritten. A GPU spends its time waiting for the
next call, so calls name their device, and nothing is read back or copied there twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ptychi import image_proc, maths
from ptychi.api.enums import BatchingModes

from fly64dask.reconstruction.lsqml.steps.step_arithmetic import (
    as_complex,
    as_rows,
    naming_devices,
    ramps,
    set_gradient,
    solve_jointly,
)
from fly64dask.reconstruction.lsqml.valid_pixels import pixel_weights

if TYPE_CHECKING:
    from ptychi.data_structures.probe import Probe
    from ptychi.data_structures.probe_positions import ProbePositions
    from ptychi.reconstructors.lsqml import LSQMLReconstructor
    from torch import Tensor

# pty-chi 2.2.0, apply_reconstruction_parameter_updates: what is trimmed off the steps of a minibatch.
TRIMMED = 0.1
# The root of exactly 0 takes MKL ten times as long (measured: 393 216 values, a fifth of them 0: 1.5 ms and 0.14 ms).
DARK = 1e-30


class FastSteps:
    """The steps of a built task with one slice, one OPR mode and positions that stay where they are.

    They read and write the object, probe and step sizes of its reconstructor. Their methods stand in for pty-chi's and
    have its signatures: `indices` (n,) int64 are exposures, `y_pred` and `y_true` (n, H, W) float32 their expected and
    measured intensities.
    """

    def __init__(self, reconstructor: LSQMLReconstructor) -> None:
        group = reconstructor.parameter_group
        self.reconstructor = reconstructor
        self.object, self.probe, self.noise = group.object, group.probe, reconstructor.noise_model
        self.shape_px = tuple(group.probe.shape[-2:])
        positions = group.probe_positions.tensor.detach()
        self.device = positions.device
        self.patterns = reconstructor.dataset.patterns.to(self.device)
        self.corners_px = self._corners_px(positions)
        self.ramp_y, self.ramp_x = ramps(positions - positions.round(), self.shape_px)
        # Compact minibatches add up the object's direction, which moves it once an epoch.
        self.compact = reconstructor.options.batching_mode == BatchingModes.COMPACT
        metric = reconstructor.loss_tracker.metric_function
        self.loss_eps = getattr(getattr(metric, "own", metric), "eps", 0.0)
        # (H, W) float32, and 0 at masked pixels; None if all pixels are valid.
        self.pixel_weights = pixel_weights(reconstructor.dataset, self.device)
        # Of the minibatch at hand, (n, H, W) or (n, n_modes, H, W): complex64 waves, float32 amplitudes.
        self.waves: dict[str, Tensor] = {}
        self.damping: tuple[Tensor | None, Tensor | None] = (None, None)
        # As pty-chi hands them over, and the same on the device.
        self.indices: tuple[Tensor | None, Tensor | None] = (None, None)

    def fits(self) -> bool:
        """Whether every patch lies on the object: pty-chi pads it otherwise, here nothing does."""
        rows, columns = (self.corners_px.cpu().T).tolist()
        height, width = (size - part for size, part in zip(self.object.lateral_shape, self.shape_px, strict=True))
        return min(rows) >= 0 and min(columns) >= 0 and max(rows) <= height and max(columns) <= width

    @naming_devices
    def read(self, numbers: list[int] | Tensor) -> list[Tensor]:
        """Read a minibatch at once, in place of the dataset's `__getitems__`.

        `numbers` are exposures, as pty-chi's loader has drawn them, in a list or a tensor. Gives them as (n,) int64 on
        the CPU, and their intensities as (n, H, W) float32 on the device.
        """
        indices = torch.as_tensor(numbers, device="cpu")
        return [indices, self.patterns[self._on_device(indices)]]

    @naming_devices
    def forward(self, indices: Tensor) -> Tensor:
        """Compute expected intensities, summed over the probe's modes, in place of the forward model's `forward`."""
        probe, indices = as_complex(self.probe)[0], self._on_device(indices)
        shifted = torch.fft.fft2(probe[0], norm="forward") * self.ramp_y[indices]
        probes = torch.fft.ifft2(shifted.mul_(self.ramp_x[indices]), norm="forward")[:, None]
        if len(probe) > 1:  # pty-chi shifts the first mode alone
            probes = torch.cat([probes, probe[1:].expand(len(indices), -1, -1, -1)], dim=1)
        patches = self._extract(as_complex(self.object)[0], indices)
        far = torch.fft.fft2(patches[:, None] * probes)
        squares = torch.view_as_real(far).square()
        power = squares[..., 0] + squares[..., 1]
        self.waves = {"patches": patches, "probes": probes, "far": far}
        return power[:, 0] if len(probe) == 1 else power.sum(1)

    @naming_devices
    def update_fourier_error(self, y_pred: Tensor, y_true: Tensor) -> None:
        """Add to the epoch's mean square error of the amplitude, in place of the reconstructor's method."""
        reconstructor = self.reconstructor
        expected, measured = y_pred.sqrt(), y_true.clamp_min(DARK).sqrt_()
        self.waves |= {"expected": expected, "measured": measured}
        squares = self._weighted((expected - measured).square_())
        reconstructor.accumulated_fourier_error += squares.mean(dim=(-2, -1)).sum()
        if reconstructor.current_minibatch == len(reconstructor.dataloader) - 1:
            error = reconstructor.accumulated_fourier_error / len(self.corners_px)
            reconstructor.reconstructor_buffers.fourier_errors.append(error.item())
            reconstructor.accumulated_fourier_error = 0.0

    @naming_devices
    def loss(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """Compute the mean square error of a minibatch's amplitudes, in place of the loss tracker's `metric_function`.

        The expected intensities are overwritten, as nothing reads them after this.
        """
        squares = y_pred.add_(self.loss_eps).sqrt_().sub_((y_true + self.loss_eps).sqrt_()).square_()
        return self._weighted(squares).mean()

    @naming_devices
    def calculate_illumination_map(
        self, probe: Probe, probe_positions: ProbePositions, use_all_modes: bool = False
    ) -> Tensor:
        """Compute the illumination of the object, in place of its method; (Y, X) float32, >= 0.

        It is the intensity of a probe of one OPR mode, of all its modes or the first alone, convolved with the
        positions.
        """
        shape = tuple(self.object.lateral_shape)
        waves = as_complex(probe)[0] if use_all_modes else as_complex(probe)[0, :1]
        rows, columns = self._corners_px(probe_positions.tensor.detach()).T
        visits = torch.zeros(shape, device=waves.device)
        visits.index_put_((rows, columns), torch.ones((), device=waves.device), accumulate=True)
        illumination = torch.view_as_real(waves).square().sum(dim=(0, -1))
        # No patch reaches beyond the object, so the cyclic convolution wraps nothing round.
        spectrum = torch.fft.rfft2(visits) * torch.fft.rfft2(illumination, s=shape)
        return torch.fft.irfft2(spectrum, s=shape).clamp_min_(0)

    def compute_reconstruction_parameter_updates(self, y_pred: Tensor, y_true: Tensor, indices: Tensor) -> None:
        """Set directions of object and probe as gradients, and each exposure's steps, in place of the method."""
        reconstructor = self.reconstructor
        # It may draw random numbers, and where these are drawn is for a mode to say.
        reconstructor.alpha_psi_far = reconstructor.get_psi_far_step_size(y_pred, y_true, indices)
        self._compute(y_pred, y_true, self._on_device(indices))

    @naming_devices
    def _compute(self, y_pred: Tensor, y_true: Tensor, indices: Tensor) -> None:
        reconstructor, waves = self.reconstructor, self.waves
        correction = self._correction(y_pred, y_true, reconstructor.alpha_psi_far.reshape(-1, 1, 1))
        # Eq. 19 without a difference: the change of the far wave, transformed. Conjugate from here on.
        chi = torch.fft.ifft2(waves["far"].mul_(correction[:, None])).conj_physical_()

        of_object = chi * waves["probes"]  # Eq. 24b, mode by mode
        first, before = of_object[:, 0], self._added_up()
        direction, step_first = self._object_direction(first, indices, before)
        if self.probe.n_modes > 1:
            direction, _ = self._object_direction(of_object.sum(1), indices, before)
        set_gradient(self.object, -direction)
        of_probe = chi.mul_(waves["patches"][:, None])  # Eq. 24a
        step_probe = self._probe_direction(of_probe, indices)
        set_gradient(self.probe, -step_probe)
        if reconstructor.options.momentum_acceleration_gain > 0:
            reconstructor._initialize_momentum_buffers()
            reconstructor._update_momentum_buffers(step_probe)

        reconstructor._initialize_object_step_size_buffer()
        reconstructor._initialize_probe_step_size_buffer()
        steps = self._step_sizes(self._extract(step_first, indices), step_probe[0], first, of_probe[:, 0])
        buffers = reconstructor.reconstructor_buffers
        buffers.alpha_object_all_pos_all_slices[indices, 0], buffers.alpha_probe_all_pos[indices] = steps
        self.waves = {}

    @naming_devices
    def apply_reconstruction_parameter_updates(self, indices: Tensor) -> None:
        """Take the steps of object and probe, in place of the reconstructor's method; of the probe alone if minibatches
        are compact.
        """
        epoch, buffers = self.reconstructor.current_epoch, self.reconstructor.reconstructor_buffers
        indices = self._on_device(indices)
        if self.object.optimization_enabled(epoch) and not self.compact:
            mean = maths.trim_mean(buffers.alpha_object_all_pos_all_slices[indices], TRIMMED, dim=0)
            self.object.tensor.data.grad.mul_(mean[:, None, None, None])
            self.object.optimizer.step()
        if self.probe.optimization_enabled(epoch):
            steps = buffers.alpha_probe_all_pos[indices]
            if self.compact:
                steps = steps / len(self.reconstructor.dataloader)
            self.probe.tensor.data.grad.mul_(steps.mean())
            self.probe.optimizer.step()

    def _correction(self, y_pred: Tensor, y_true: Tensor, step: Tensor) -> Tensor:
        """What the far wave is multiplied with to get its change: Eq. 12 and 14."""
        if self.noise.noise_statistics == "gaussian":
            step = step * (2 / (2 * self.noise.sigma) ** 2)
            correction = self.waves["measured"].div_(self.waves["expected"].add_(self.noise.eps)).sub_(1).mul_(step)
        else:
            correction = (y_true / (y_pred + self.noise.eps)).sub_(1).mul_(step)
        return correction if self.pixel_weights is None else correction.mul_(self.pixel_weights > 0)

    def _weighted(self, of_pixels: Tensor) -> Tensor:
        """Weight numbers of pixels, (n, H, W), so that their mean is that of the valid ones; they are overwritten."""
        return of_pixels if self.pixel_weights is None else of_pixels.mul_(self.pixel_weights)

    def _added_up(self) -> Tensor | None:
        """The object's direction of this epoch's compact minibatches so far, (Y, X); None if there is none yet."""
        if not self.compact or self.reconstructor.current_minibatch == 0:
            return None
        return torch.view_as_complex(self.object.tensor.data.grad)[0].neg()

    def _object_direction(self, conjugate: Tensor, indices: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """Eq. 25b: the patches' directions (n, H, W) on the object's grid, and over the illumination it gets; (Y, X).

        Minibatches that do not add up have no use for the first, and get the second twice.
        """
        image = torch.zeros(self.object.lateral_shape, dtype=conjugate.dtype, device=conjugate.device)
        rows, columns = self.corners_px[indices].T
        image = image_proc.batch_put(image, conjugate, rows, columns, op="add", check_bounds=False)
        image.conj_physical_()
        if not self.compact:
            return image.mul_(self._damping()), image
        if before is not None:
            image.add_(before)
        return image, image * self._damping()

    def _damping(self) -> Tensor:
        """One over the damped illumination on the object, (Y, X): it changes once an epoch at most."""
        illumination, damping = self.damping
        if damping is None or illumination is not self.object.preconditioner:
            illumination = self.object.preconditioner
            floor = illumination.max() * self.reconstructor.options.preconditioning_damping_factor
            damping = (illumination.square() + floor.square()).rsqrt_()
            self.damping = illumination, damping
        return damping

    def _probe_direction(self, conjugate: Tensor, indices: Tensor) -> Tensor:
        """Eq. 25a: mean over the exposures, the first mode's shifted back; (n_modes, H, W).

        A sum of shifted waves is the transform of a sum, so that one transform brings all back.
        """
        moved = torch.fft.ifft2(conjugate[:, 0], norm="forward")
        total = moved.mul_(self.ramp_y[indices]).mul_(self.ramp_x[indices]).sum(0, keepdim=True)
        total = torch.fft.fft2(total, norm="forward")
        if self.probe.n_modes > 1:
            total = torch.cat([total, conjugate[:, 1:].sum(0)])
        return total.conj_physical_().div_(len(indices))

    def _step_sizes(self, of_patch: Tensor, of_probe: Tensor, chi_probe: Tensor, chi_patch: Tensor) -> Tensor:
        """Eq. 22, or 23 if solved apart, for the first mode: (2, n) steps of object and probe; overwrites the waves."""
        b_object = chi_probe.mul_(of_patch).sum(dim=(-2, -1)).real
        # The real part of sum(a b) is the dot product of a and conj(b) as real numbers.
        b_probe = as_rows(chi_patch) @ as_rows(of_probe.conj_physical()[None])[0]
        by_object, by_probe = of_patch.mul_(self.waves["probes"][:, 0]), self.waves["patches"].mul_(of_probe)
        a_object, a_probe = (torch.linalg.vector_norm(as_rows(by), dim=1).square_() for by in (by_object, by_probe))
        if self.reconstructor.options.single_slice_solve_obj_prb_step_size_jointly:
            mixed = by_object.conj_physical_().mul_(by_probe).sum(dim=(-2, -1))
            steps = solve_jointly(a_object, a_probe, mixed, b_object, b_probe)
        else:
            steps = torch.stack([b_object / a_object, b_probe / a_probe]).div_(2)
        steps[0] *= self.object.options.optimal_step_size_scaler / self.probe.n_modes
        steps[1] *= self.probe.options.optimal_step_size_scaler
        return steps.clip_(0, None)

    def _corners_px(self, positions_px: Tensor) -> Tensor:
        """Row and column of each patch's first pixel, (n, 2) int64, rounded as pty-chi does."""
        half = torch.tensor(self.shape_px, device=positions_px.device).sub(1.0).div(2.0)
        return (positions_px.round() + self.object.pos_origin_coords - half).round().long()

    def _extract(self, image: Tensor, indices: Tensor) -> Tensor:
        """Patches (n, H, W) of an image; pty-chi's own `batch_slice` waits for the GPU each time."""
        rows, columns = self.corners_px[indices].T
        height, width = self.shape_px
        return image.unfold(0, height, 1).unfold(1, width, 1)[rows, columns]

    def _on_device(self, indices: Tensor) -> Tensor:
        """A minibatch's indices where the task computes, copied there once."""
        known, on_device = self.indices
        if on_device is None or known is not indices:
            on_device = indices.to(self.device)
            self.indices = indices, on_device
        return on_device
