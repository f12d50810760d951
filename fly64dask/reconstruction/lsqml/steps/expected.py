"""What a task expects of its patterns, and how that differs from what was measured, on the faster steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fly64dask.reconstruction.lsqml.steps.places import ScanPlaces
from fly64dask.reconstruction.lsqml.steps.step_arithmetic import as_complex, naming_devices
from fly64dask.reconstruction.lsqml.valid_pixels import pixel_weights

if TYPE_CHECKING:
    from ptychi.reconstructors.lsqml import LSQMLReconstructor
    from torch import Tensor

# The root of exactly 0 takes MKL ten times as long (measured: 393 216 values, a fifth of them 0: 1.5 ms and 0.14 ms).
DARK = 1e-30


class ExpectedPatterns:
    """The forward model of a built task with one slice, its loss and the correction of the far wave.

    Methods that stand in for pty-chi's have its signatures: `indices` (n,) int64 are exposures, `y_pred` and `y_true`
    (n, H, W) float32 their expected and measured intensities. `waves` and `places` are those of the minibatch at hand.
    `scan` is given where another task has the same positions.
    """

    def __init__(self, reconstructor: LSQMLReconstructor, scan: ScanPlaces | None = None) -> None:
        group = reconstructor.parameter_group
        self.reconstructor = reconstructor
        self.object, self.probe, self.noise = group.object, group.probe, reconstructor.noise_model
        self.opr_weights = group.opr_mode_weights
        self.shape_px = tuple(group.probe.shape[-2:])
        self.device = group.probe_positions.tensor.device
        # A turned detector's patterns may be a view with other strides.
        self.patterns = reconstructor.dataset.patterns.to(self.device).contiguous()
        self.scan = scan or ScanPlaces(group.probe_positions, self.object, self.shape_px)
        self.places = self.scan.all
        metric = reconstructor.loss_tracker.metric_function
        self.loss_eps = getattr(getattr(metric, "own", metric), "eps", 0.0)
        # (H, W) float32, and 0 at masked pixels; None if all pixels are valid.
        self.pixel_weights = pixel_weights(reconstructor.dataset, self.device)
        # (n, H, W) or (n, n_modes, H, W): complex64 waves, float32 amplitudes.
        self.waves: dict[str, Tensor] = {}
        # As pty-chi hands them over, and the same on the device.
        self.indices: tuple[Tensor | None, Tensor | None] = (None, None)

    @naming_devices
    def read(self, indices: Tensor) -> Tensor:
        """Read the measured intensities of a minibatch, whose exposures are on the CPU: (n, H, W) on the device."""
        counts: Tensor = self.patterns[self.on_device(indices)]
        return counts

    @naming_devices
    def forward(self, indices: Tensor) -> Tensor:
        """Compute expected intensities, summed over the probe's modes, in place of the forward model's `forward`."""
        probe, indices = as_complex(self.probe), self.on_device(indices)
        self.places = self.scan.of(indices)
        spectrum = torch.fft.fft2(probe[:, 0], norm="forward")
        if len(probe) > 1:  # the weighted sum of OPR modes, of the first mode alone
            weights = self.opr_weights.tensor.detach()[indices].to(spectrum.dtype)
            spectrum = (weights @ spectrum.flatten(1)).unflatten(1, self.shape_px)
        probe = probe[0]
        shifted = (spectrum * self.places.ramp_y).mul_(self.places.ramp_x)
        probes = torch.fft.ifft2(shifted, norm="forward")[:, None]
        if len(probe) > 1:  # pty-chi shifts the first mode alone
            probes = torch.cat([probes, probe[1:].expand(len(indices), -1, -1, -1)], dim=1)
        patches = self.places.extract(as_complex(self.object)[0])
        far = torch.fft.fft2(patches[:, None] * probes)
        squares = torch.view_as_real(far).square()
        power = squares[..., 0] + squares[..., 1]
        self.waves = {"patches": patches, "probes": probes, "far": far}
        return power[:, 0] if len(probe) == 1 else power.sum(1)

    def update_fourier_error(self, y_pred: Tensor, y_true: Tensor) -> None:
        """Add to the epoch's mean square error of the amplitude, in place of the reconstructor's method."""
        self.add_fourier_error(self.fourier_error(y_pred, y_true))

    @naming_devices
    def fourier_error(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """Compute the mean square error of each exposure's amplitude, summed over the exposures, ()."""
        expected, measured = y_pred.sqrt(), y_true.clamp_min(DARK).sqrt_()
        self.waves |= {"expected": expected, "measured": measured}
        return self._weighted((expected - measured).square_()).mean(dim=(-2, -1)).sum()

    def add_fourier_error(self, error: Tensor | float) -> None:
        """Add a minibatch's error, summed over its exposures, to the epoch's, and close the sum after the last one."""
        reconstructor = self.reconstructor
        reconstructor.accumulated_fourier_error += error
        if reconstructor.current_minibatch == len(reconstructor.dataloader) - 1:
            error = reconstructor.accumulated_fourier_error / len(self.patterns)
            reconstructor.reconstructor_buffers.fourier_errors.append(float(error))
            reconstructor.accumulated_fourier_error = 0.0

    @naming_devices
    def loss(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """Compute the mean square error of a minibatch's amplitudes, in place of the loss tracker's `metric_function`.

        The expected intensities are overwritten, as nothing reads them after this.
        """
        squares = y_pred.add_(self.loss_eps).sqrt_().sub_((y_true + self.loss_eps).sqrt_()).square_()
        return self._weighted(squares).mean()

    def only_rescales(self) -> bool:
        """Whether this epoch does no more than find the scale of the probe."""
        rescales: bool = self.reconstructor.options.rescale_probe_intensity_in_first_epoch
        return self.reconstructor.current_epoch == 0 and rescales

    def correction(self, y_pred: Tensor, y_true: Tensor, step: Tensor) -> Tensor:
        """The factor that turns the far wave into its change: Eq. 12 and 14."""
        if self.noise.noise_statistics == "gaussian":
            step = step * (2 / (2 * self.noise.sigma) ** 2)
            correction = self.waves["measured"].div_(self.waves["expected"].add_(self.noise.eps)).sub_(1).mul_(step)
        else:
            correction = (y_true / (y_pred + self.noise.eps)).sub_(1).mul_(step)
        return correction if self.pixel_weights is None else correction.mul_(self.pixel_weights > 0)

    def _weighted(self, of_pixels: Tensor) -> Tensor:
        """Weight numbers of pixels, (n, H, W), so that their mean is that of the valid ones; they are overwritten."""
        return of_pixels if self.pixel_weights is None else of_pixels.mul_(self.pixel_weights)

    def on_device(self, indices: Tensor) -> Tensor:
        """A minibatch's indices where the task computes, copied there once."""
        copied, on_device = self.indices
        if on_device is None or copied is not indices:
            on_device = indices.to(self.device)
            self.indices = indices, on_device
        return on_device
