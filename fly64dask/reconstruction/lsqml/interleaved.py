"""LSQML tasks of one process -> stepped in turns, each to the bits that it has alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fly64dask.base import NotFiniteError
from fly64dask.reconstruction.lsqml.acceleration import accelerated
from fly64dask.reconstruction.lsqml.state import capture, latest_loss, losses, random_state, restore, set_random_state

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from ptychi.api.task import PtychographyTask


FULL, HALVES, KEPT = "full data", ("first half", "second half"), "kept photons"


class Turns:
    """A task with the full data and its companions, which take turns epoch by epoch.

    Parameters
    ----------
    tasks : dict of str to PtychographyTask
        By what they reconstruct, `FULL` first; built for one device, not run yet.
    seeds : dict of str to int
        Of each one's minibatches.

    Notes
    -----
    pty-chi shares dtype, default device and the random streams of torch, NumPy and Python among all
    tasks of a process. The first two are the same for tasks of one recipe; each task gets its own
    place in the streams back before its turn.
    """

    def __init__(self, tasks: dict[str, PtychographyTask], seeds: dict[str, int]) -> None:
        self.tasks = tasks
        self.streams: dict[str, dict[str, Any]] = {}
        for name, task in tasks.items():
            # `random_seed` does not reach the loader that draws the minibatches.
            task.reconstructor.dataloader.generator.manual_seed(seeds[name])
            torch.manual_seed(seeds[name])  # the Poisson noise model draws from torch's own stream
            self.streams[name] = random_state(task)

    @property
    def full(self) -> PtychographyTask:
        """The task whose object is wanted."""
        return self.tasks[FULL]

    @property
    def n_epochs_run(self) -> int:
        """Epochs that every task has run."""
        return len(losses(self.full))

    @contextmanager
    def accelerated(self, *, wanted: bool) -> Iterator[str]:
        """Let all tasks run on the faster steps while the block lasts; yields what the full data's run on."""
        with ExitStack() as stack:
            ways = {name: stack.enter_context(accelerated(task, wanted=wanted)) for name, task in self.tasks.items()}
            yield ways[FULL]

    def run_epoch(self) -> float:
        """Run one epoch of each task; returns the full data's loss.

        Raises
        ------
        NotFiniteError
            If the full data's loss, object or probe is NaN or infinite. A companion's is for
            `bad_companion` to find.
        """
        for name, task in self.tasks.items():
            self._give_streams(name)
            task.run(1)
            if len(self.tasks) > 1:
                self.streams[name] = random_state(task)
        loss = latest_loss(self.full)
        if bad := _not_finite(self.full):
            raise NotFiniteError(
                f"after epoch {self.n_epochs_run} of {self.full.reconstructor_options.num_epochs}: {bad} not finite "
                f"(loss {loss})",
                remedy="check the exposures for outliers, or lower the batch size",
            )
        return loss

    def bad_companion(self) -> str | None:
        """What is not finite in a companion, in words; None if all is."""
        for name, task in self.tasks.items():
            if name != FULL and (bad := _not_finite(task)):
                return f"{name} after epoch {self.n_epochs_run}: {bad} not finite"
        return None

    def dismiss_companions(self) -> None:
        """Go on with the full data alone."""
        self._give_streams(FULL)
        self.tasks = {FULL: self.full}

    def half_objects(self) -> NDArray[np.complex64] | None:
        """Objects of the two halves, (2, Y, X) complex64: the only slice of each; None if there are none."""
        if HALVES[0] not in self.tasks:
            return None
        return np.stack([as_array(self.tasks[name], "object")[0] for name in HALVES])

    def capture(self) -> dict[str, bytes]:
        """Write down every task between two epochs."""
        states = {}
        for name, task in self.tasks.items():
            self._give_streams(name)
            states[name] = capture(task)
        return states

    def restore(self, states: dict[str, bytes]) -> None:
        """Put every task where it was when `capture` was called."""
        for name, state in states.items():
            restore(self.tasks[name], state)
            self.streams[name] = random_state(self.tasks[name])

    def _give_streams(self, name: str) -> None:
        if len(self.tasks) > 1:  # the only task has them all the time
            set_random_state(self.tasks[name], self.streams[name])


def as_array(task: PtychographyTask, name: str) -> NDArray[np.complex64]:
    """Copy a task's `object` (n_slices, Y, X) or `probe` (n_opr, n_modes, H, W) as complex64."""
    return np.asarray(task.get_data_to_cpu(name, as_numpy=True)).astype(np.complex64)


def to_bytes(state: Any) -> bytes:
    """Numbers, strings, bytes, tensors, lists and dicts -> bytes that are read back without running code."""
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def from_bytes(data: bytes) -> Any:
    """What `to_bytes` wrote, tensors on the CPU."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _not_finite(task: PtychographyTask) -> str:
    found: dict[str, Any] = {"loss": np.isfinite(latest_loss(task))}
    for name, parameter in (("object", task.object), ("probe", task.probe)):
        values = parameter.tensor.data
        # A sum is finite only if all of it is, and is the shorter way to know.
        found[name] = bool(values.sum().isfinite()) or bool(values.isfinite().all())
    return " and ".join(name for name, finite in found.items() if not finite)
