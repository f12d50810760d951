"""The steps of an LSQML minibatch on a GPU, recorded once and then launched by one call (a CUDA graph).

A minibatch is some 160 kernels and copies, which take the GPU a tenth of the time that Python needs to call them one by
one (docs/reference/gpu.md). A graph knows tensors by their addresses: what a minibatch reads and writes stays where it
is, and the numbers of its exposures are copied in. Nothing waits for the GPU: the sums of an epoch stay there until
somebody reads them (`state.read_epochs`).
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from ptychi.metrics import MSELossOfSqrt

from fly64dask.reconstruction.lsqml.random_draws import StepSizeOfCpuDraws
from fly64dask.reconstruction.lsqml.steps.step_arithmetic import naming_devices
from fly64dask.reconstruction.lsqml.valid_pixels import LossOfValid

if TYPE_CHECKING:
    from torch import Tensor

    from fly64dask.reconstruction.lsqml.steps.fast_steps import FastSteps

# An object of a task, the name of one of its attributes, and what takes the place of that.
Replacement = tuple[Any, str, Any]
Work = Callable[[], None]
Recorder = Callable[[Work], Work]


# The graphs of this process that there are. They run one after the other, so that all have one memory.
_graphs: weakref.WeakSet[torch.cuda.CUDAGraph] = weakref.WeakSet()


def record_on_gpu(work: Work) -> Work:
    """Record the kernels that a function launches, which must not wait for the GPU; gives what launches them again.

    The function must have run before, as what libraries prepare at a first call cannot be recorded.
    """
    graph, stream = torch.cuda.CUDAGraph(), _recording_stream()
    torch.cuda.empty_cache()  # what the call before has left is no use to a recording, whose memory is its own
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        # Not `torch.cuda.graph`, which looks for garbage first: longer than all the rest takes.
        graph.capture_begin(pool=next((other.pool() for other in _graphs), None), capture_error_mode="thread_local")
        with ExitStack() as failed:
            failed.callback(_end_in_vain, graph)
            work()
            failed.pop_all()
        graph.capture_end()
    _graphs.add(graph)
    torch.cuda.current_stream().wait_stream(stream)
    return graph.replay


def _end_in_vain(graph: torch.cuda.CUDAGraph) -> None:
    """End a recording whose work has failed, perhaps for want of memory: that is to be seen, not what comes of it."""
    with suppress(RuntimeError):
        graph.capture_end()


@functools.cache
def _recording_stream() -> torch.cuda.Stream:
    """Give the stream that all is recorded on: each one has memory of its own, and 32 MB for matrix products."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


@dataclass(slots=True)
class _Recording:
    """One kind of minibatch: called the first time, recorded the second, launched from then on.

    `indices` (n,) int64 and `normals` (n,) float32 are what is copied in. `addresses` are those of the tensors that
    were recorded, and `results` the directions and the far waves' steps that it leaves for pty-chi.
    """

    indices: Tensor
    normals: Tensor
    addresses: tuple[int, ...]
    was_called: bool = False
    launch: Work | None = None
    results: tuple[Tensor, ...] = ()


class RecordedSteps:
    """The recorded steps of a built task on a GPU, for which `obstacle` gives None.

    `plain` are the steps that are recorded, `record` makes a function that repeats the work of another.
    """

    def __init__(self, plain: FastSteps, record: Recorder = record_on_gpu) -> None:
        self.plain, self.expected, self.reconstructor = plain, plain.expected, plain.reconstructor
        # What is called once an epoch, or before the first minibatch is recorded.
        self.scan, self.loss = plain.scan, plain.loss
        self.forward, self.update_fourier_error = plain.forward, plain.update_fourier_error
        self.compute_reconstruction_parameter_updates = plain.compute_reconstruction_parameter_updates
        self.apply_reconstruction_parameter_updates = plain.apply_reconstruction_parameter_updates
        self.calculate_illumination_map = plain.calculate_illumination_map
        self._record = record
        self._own_minibatch = self.reconstructor.run_minibatch
        self._recordings: dict[tuple[int, bool, bool], _Recording] = {}
        device = self.expected.device
        # Sums of an epoch so far, () float32: of the error of amplitudes, and of the loss.
        self._error, self._loss = (torch.zeros((), device=device) for _ in range(2))
        far_step = self.reconstructor.get_psi_far_step_size
        self._draws = far_step if isinstance(far_step, StepSizeOfCpuDraws) else None
        no_patterns = self.expected.patterns[:0]
        # With Gaussian noise pty-chi's step is a constant, which it fetches from the CPU.
        self._far_step = None if self._is_poisson else far_step(no_patterns, no_patterns, None)

    @property
    def _is_poisson(self) -> bool:
        return bool(self.expected.noise.noise_statistics == "poisson")

    def further_replacements(self) -> list[Replacement]:
        """List what takes the place of a task's own beside what all faster steps replace."""
        reconstructor = self.reconstructor
        changes: list[Replacement] = [(reconstructor, "run_minibatch", self.run_minibatch)]
        if self._far_step is not None:
            changes.append((reconstructor, "get_psi_far_step_size", lambda *_: self._far_step))
        return changes

    def read(self, numbers: list[int] | Tensor) -> list[Tensor]:
        """Read a minibatch, in place of the dataset's `__getitems__`: no intensities, which are read on the GPU."""
        if self.expected.only_rescales():
            return self.expected.read(numbers)
        return [torch.as_tensor(numbers, device="cpu"), self.expected.patterns[:0]]

    def run_minibatch(self, input_data: Sequence[Tensor], y_true: Tensor) -> None:
        """Run a minibatch of the exposures whose numbers `input_data` has, in place of the reconstructor's method."""
        if self.expected.only_rescales():
            self._own_minibatch(input_data, y_true)
            return
        (indices,) = input_data
        recording = self._begin(indices)
        self._run(recording)
        self._count(recording)

    @naming_devices
    def _begin(self, indices: Tensor) -> _Recording:
        """Make ready what a minibatch of such exposures reads."""
        reconstructor = self.reconstructor
        reconstructor.indices.append(indices)
        self.plain.begin_minibatch()
        self.plain.illumination.damping()  # so that it is new where the illumination is
        if reconstructor.current_minibatch == 0:
            self._error.zero_()
            self._loss.zero_()
        recording = self._recording(len(indices))
        _copy_in(recording.indices, indices)
        if self._draws is not None:
            _copy_in(recording.normals, torch.randn(len(indices), device="cpu"))
        return recording

    def _run(self, recording: _Recording) -> None:
        """Call a minibatch that is the first of its kind, record the second, and launch it from then on."""
        if not recording.was_called:
            self._work(recording)
            recording.was_called = True
            return
        if recording.launch is None:
            recording.launch = self._record(functools.partial(self._work, recording))
            recording.results = (
                self.plain.object.tensor.data.grad,
                self.plain.probe.tensor.data.grad,
                self.reconstructor.alpha_psi_far,
            )
        recording.launch()

    @naming_devices
    def _count(self, recording: _Recording) -> None:
        """Leave what a minibatch has made for pty-chi, and the sums of the epoch, unread, after its last one."""
        reconstructor, tracker = self.reconstructor, self.reconstructor.loss_tracker
        if recording.launch is not None:
            self.plain.object.tensor.data.grad, self.plain.probe.tensor.data.grad, reconstructor.alpha_psi_far = (
                recording.results
            )
        tracker.accumulated_num_batches += 1
        if reconstructor.current_minibatch == len(reconstructor.dataloader) - 1:
            tracker.epoch_loss = tracker.epoch_loss + self._loss.double()
            mean_error = self._error.double() / len(self.expected.patterns)
            reconstructor.reconstructor_buffers.fourier_errors.append(mean_error)

    def forget(self) -> None:
        """Forget all recordings; the memory of their results is given back."""
        self._recordings.clear()

    def _recording(self, n_exposures: int) -> _Recording:
        """Find the recording of such a minibatch at this epoch, or begin one."""
        epoch = self.reconstructor.current_epoch
        optimized = [of.optimization_enabled(epoch) for of in (self.plain.object, self.plain.probe)]
        kind = (n_exposures, optimized[0], optimized[1])
        addresses = tuple(tensor.data_ptr() for tensor in self._kept())
        found = self._recordings.get(kind)
        if found is None or found.addresses != addresses:
            device = self.expected.device
            found = self._recordings[kind] = _Recording(
                indices=torch.zeros(n_exposures, dtype=torch.int64, device=device),
                normals=torch.zeros(n_exposures, device=device),
                addresses=addresses,
            )
        return found

    def _kept(self) -> list[Tensor]:
        """The tensors that minibatches read and write and that pty-chi or a checkpoint might put elsewhere."""
        buffers = self.reconstructor.reconstructor_buffers
        return [
            self.plain.object.tensor.data,
            self.plain.probe.tensor.data,
            buffers.alpha_object_all_pos_all_slices,
            buffers.alpha_probe_all_pos,
            self.reconstructor.alpha_psi_far_all_pos,
            self.plain.illumination.damping(),
        ]

    def _work(self, recording: _Recording) -> None:
        """Take the steps of a minibatch: only calls that do not wait for the GPU."""
        indices, expected = recording.indices, self.expected
        if self._draws is not None:
            self._draws.drawn = recording.normals
        try:
            counts = expected.patterns[indices]
            intensities = expected.forward(indices)
            self._error.add_(expected.fourier_error(intensities, counts))
            self.plain.set_updates(intensities, counts, indices)
            self.plain.take_steps(indices)
            self._loss.add_(expected.loss(intensities, counts))
        finally:
            if self._draws is not None:
                self._draws.drawn = None


def _copy_in(to: Tensor, numbers: Tensor) -> None:
    """Copy numbers from the CPU to where a recording reads them, and do not wait until they are there."""
    # Memory that is not pinned would be waited for; torch keeps what is pinned until it has been copied.
    to.copy_(numbers.pin_memory() if to.is_cuda else numbers, non_blocking=True)


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
