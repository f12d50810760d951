"""The steps of an LSQML minibatch on a GPU in a form that can be recorded once and launched by one call.

A minibatch is some 160 kernels and copies, which take the GPU a fraction of the time that Python needs to call them one
by one (docs/reference/gpu.md). A recording knows tensors by their addresses: what a minibatch reads and writes stays
where it is, and its random numbers are drawn before. Nothing waits for the GPU: the sums of an epoch stay there until
somebody reads them (`state.read_epochs`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from ptychi.metrics import MSELossOfSqrt

from fly64dask.reconstruction.lsqml.random_draws import StepSizeOfCpuDraws
from fly64dask.reconstruction.lsqml.steps.step_arithmetic import naming_devices
from fly64dask.reconstruction.lsqml.valid_pixels import LossOfValid

if TYPE_CHECKING:
    from torch import Tensor

    from fly64dask.reconstruction.lsqml.steps.fast_steps import FastSteps
    from fly64dask.reconstruction.lsqml.steps.replacements import Replacement


@dataclass(frozen=True, slots=True, kw_only=True)
class Minibatch:
    """The exposures of a minibatch, (n,) int64, and normal random numbers for the steps of their far waves, (n,)
    float32, or (0,) if the noise model needs none.
    """

    indices: Tensor
    normals: Tensor


# What a minibatch leaves for pty-chi: directions of object and probe, and the steps of its far waves.
Results = tuple["Tensor", "Tensor", "Tensor"]


class RecordedSteps:
    """The steps `plain` of a built task for which `obstacle` gives None, as work that does not wait for the GPU."""

    def __init__(self, plain: FastSteps) -> None:
        self.plain, self.expected, self.reconstructor = plain, plain.expected, plain.reconstructor
        # Of the waves of one exposure.
        self.wave_bytes = plain.probe.n_modes * math.prod(self.expected.shape_px) * 8
        # Sums of an epoch so far, (2,) float32: of the error of amplitudes, and of the loss.
        self._sums = torch.zeros(2, device=self.expected.device)
        far_step = self.reconstructor.get_psi_far_step_size
        self._draws = far_step if isinstance(far_step, StepSizeOfCpuDraws) else None
        no_patterns = self.expected.patterns[:0]
        # With Gaussian noise pty-chi's step is a constant, which it fetches from the CPU.
        is_poisson = self.expected.noise.noise_statistics == "poisson"
        self._far_step = None if is_poisson else far_step(no_patterns, no_patterns, None)
        # Of the epoch at hand: whether object and probe move, and the addresses of what minibatches read and write.
        self.moves: tuple[bool, bool] = (True, True)
        self.addresses: tuple[int, ...] = ()

    def replacements(self) -> list[Replacement]:
        """List what takes the place of a task's own beside what all faster steps replace."""
        if self._far_step is None:
            return []
        return [(self.reconstructor, "get_psi_far_step_size", lambda *_: self._far_step)]

    def drawn(self, indices: Tensor) -> Minibatch:
        """Draw the random numbers of a minibatch of exposures, (n,) int64 on the CPU."""
        n_normals = 0 if self._draws is None else len(indices)
        return Minibatch(indices=indices, normals=torch.randn(n_normals, device="cpu"))

    @naming_devices
    def begin_epoch(self) -> None:
        """Make ready what the minibatches of an epoch read, before the first of them."""
        self.plain.begin_minibatch()
        self.plain.illumination.damping()  # so that it is new where the illumination is
        self._sums.zero_()
        epoch, buffers = self.reconstructor.current_epoch, self.reconstructor.reconstructor_buffers
        object_, probe = self.plain.object, self.plain.probe
        self.moves = object_.optimization_enabled(epoch), probe.optimization_enabled(epoch)
        # Those that pty-chi or a checkpoint might put elsewhere.
        kept = (
            object_.tensor.data,
            probe.tensor.data,
            buffers.alpha_object_all_pos_all_slices,
            buffers.alpha_probe_all_pos,
            self.reconstructor.alpha_psi_far_all_pos,
            self.plain.illumination.damping(),
        )
        self.addresses = tuple(tensor.data_ptr() for tensor in kept)

    def work(self, minibatch: Minibatch) -> None:
        """Take the steps of a minibatch, which is on the GPU: only calls that do not wait for it."""
        indices, expected = minibatch.indices, self.expected
        if self._draws is not None:
            self._draws.drawn = minibatch.normals
        try:
            counts = expected.patterns[indices]
            intensities = expected.forward(indices)
            error = expected.fourier_error(intensities, counts)
            self.plain.set_updates(intensities, counts, indices)
            self.plain.take_steps(indices)
            self._sums.add_(torch.stack([error, expected.loss(intensities, counts)]))
        finally:
            if self._draws is not None:
                self._draws.drawn = None

    @naming_devices
    def end_epoch(self, n_minibatches: int) -> None:
        """Give pty-chi the sums of an epoch, unread, after its last minibatch."""
        tracker = self.reconstructor.loss_tracker
        error, loss = self._sums.double().unbind()
        tracker.accumulated_num_batches += n_minibatches
        tracker.epoch_loss = tracker.epoch_loss + loss
        self.reconstructor.reconstructor_buffers.fourier_errors.append(error / len(self.expected.patterns))

    @property
    def results(self) -> Results:
        """What the last minibatch has left for pty-chi."""
        return self.plain.object.tensor.data.grad, self.plain.probe.tensor.data.grad, self.reconstructor.alpha_psi_far

    @results.setter
    def results(self, results: Results) -> None:
        self.plain.object.tensor.data.grad, self.plain.probe.tensor.data.grad, self.reconstructor.alpha_psi_far = (
            results
        )


def obstacle(plain: FastSteps) -> str | None:
    """Say why minibatches of a task are not recorded; None if they are."""
    reconstructor = plain.reconstructor
    metric = reconstructor.loss_tracker.metric_function
    reasons = {
        "compact minibatches add to each other": plain.illumination.compact,
        "the probe has momentum": reconstructor.options.momentum_acceleration_gain > 0,
        "positions are refined": plain.expected.scan.moving,
        "the probe has several OPR modes": plain.probe.n_opr_modes > 1,
        "pixels with few photons are left out": reconstructor.options.exclude_measured_pixels_below is not None,
        "its loss is another": type(metric.own if isinstance(metric, LossOfValid) else metric) is not MSELossOfSqrt,
    }
    return next((reason for reason, is_so in reasons.items() if is_so), None)
