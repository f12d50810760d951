"""Tasks of one process run epoch by epoch, in turns or together, each to the bits that it has alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from fly64dask.base import NotFiniteError
from fly64dask.reconstruction.lsqml.random_draws import order_generator, seed_streams
from fly64dask.reconstruction.lsqml.state import (
    TaskState,
    capture,
    latest_loss,
    n_epochs_run,
    random_state,
    read_epochs,
    restore,
    set_random_state,
)
from fly64dask.reconstruction.lsqml.steps import Acceleration, accelerated
from fly64dask.reconstruction.lsqml.steps.epochs import begin_epoch, end_epoch, run_epoch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from ptychi.api.task import PtychographyTask
    from torch import Tensor

    from fly64dask.reconstruction.lsqml.steps import Launches

FULL_DATA, HALVES, SHOWN_PHOTONS = "full data", ("first half", "second half"), "photons not held out"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededTask:
    """A task that has not run yet, with the seed of its minibatches."""

    task: PtychographyTask
    seed: int


class InterleavedTasks:
    """A task with the full data and its companions, `FULL_DATA` first, all on one device.

    They run one epoch each in turns, or together, where a GPU gets the minibatches of all by the same launches.

    pty-chi shares dtype, default device and the random streams of torch and NumPy among all tasks of a process. The
    first two are the same for tasks of one recipe; each task gets its place in the streams back before it draws.
    """

    def __init__(self, seeded: dict[str, SeededTask]) -> None:
        self.tasks = {name: of_subset.task for name, of_subset in seeded.items()}
        self._streams: dict[str, TaskState] = {}
        # What is not finite in each after the latest epoch; empty if everything is.
        self._bad: dict[str, str] = {}
        self._acceleration = Acceleration(ways={}, steps={})
        for name, task in self.tasks.items():
            # `random_seed` does not reach the loader that draws the minibatches.
            order_generator(task).manual_seed(seeded[name].seed)
            # The Poisson noise model draws from torch's own stream, the order of uniform minibatches from NumPy's.
            seed_streams(seeded[name].seed)
            self._streams[name] = random_state(task)

    @property
    def full(self) -> PtychographyTask:
        """The task whose object is wanted."""
        return self.tasks[FULL_DATA]

    @property
    def n_epochs_run(self) -> int:
        """Number of epochs that every task has run."""
        return n_epochs_run(self.full)

    @property
    def has_halves(self) -> bool:
        """Whether two halves of the data run beside the full data."""
        return HALVES[0] in self.tasks

    @contextmanager
    def accelerated(self, *, enabled: bool) -> Iterator[str]:
        """Let all tasks run on the faster steps while the block lasts; yields what the full data's run on."""
        try:
            with accelerated(self.tasks, enabled=enabled) as self._acceleration:
                yield self._acceleration.ways[FULL_DATA]
        finally:
            self._acceleration = Acceleration(ways={}, steps={})

    def run_epoch(self) -> float:
        """Run one epoch of each task; gives the full data's loss.

        Raises NotFiniteError if the full data's loss, object or probe is NaN or infinite. `companion_problem` finds the
        same in a companion.
        """
        launches, self._bad = self._acceleration.launches, {}
        if launches is None or launches.steps[FULL_DATA].expected.only_rescales():
            self._run_in_turns()
        else:
            self._run_together(launches)
        ended = {name: task for name, task in self.tasks.items() if name not in self._bad}
        self._bad |= zip(ended, _not_finite(list(ended.values())), strict=True)
        if bad := self._bad[FULL_DATA]:
            epoch = self.n_epochs_run + (FULL_DATA not in ended)
            raise NotFiniteError(
                f"after epoch {epoch} of {self.full.reconstructor_options.num_epochs}: {bad} not finite",
                remedy="check the exposures for outliers, or lower the batch size or the step sizes",
            )
        return latest_loss(self.full)

    def _run_in_turns(self) -> None:
        for name, task in self.tasks.items():
            with self._streams_of(name), self._noticing_nan(name):
                if name in self._acceleration.steps:
                    run_epoch(task, self._acceleration.steps[name])
                else:
                    task.run(1)

    def _run_together(self, launches: Launches) -> None:
        minibatches = {}
        for name, task in self.tasks.items():
            with self._streams_of(name):
                minibatches[name] = [launches.steps[name].drawn(numbers) for numbers in begin_epoch(task)]
        launches.run_epoch(minibatches)
        for name, task in self.tasks.items():
            with self._noticing_nan(name):
                end_epoch(task)

    @contextmanager
    def _noticing_nan(self, name: str) -> Iterator[None]:
        """Let a task's epoch break off if object or probe are not finite: pty-chi raises where it makes several modes
        of the probe orthogonal.
        """
        try:
            yield
        except RuntimeError:
            task = self.tasks[name]
            self._bad[name] = " and ".join(of for of, values in _changing(task) if not bool(values.isfinite().all()))
            if not self._bad[name]:
                raise

    def companion_problem(self) -> str | None:
        """Say what is not finite in a companion after the last epoch; None if everything is finite."""
        for name, bad in self._bad.items():
            if name != FULL_DATA and bad:
                return f"{name} after epoch {self.n_epochs_run}: {bad} not finite"
        return None

    def drop_companions(self) -> None:
        """Go on with the full data alone."""
        self._give_streams(FULL_DATA)
        self.tasks, self._bad = {FULL_DATA: self.full}, {}
        if self._acceleration.launches is not None:
            self._acceleration.launches.forget()  # none of them is launched again: they have a minibatch of each task

    def half_objects(self) -> NDArray[np.complex64]:
        """Copy the objects of the two halves, (2, Y, X) complex64: the only slice of each."""
        return self._objects(HALVES)

    def full_and_half_objects(self) -> NDArray[np.complex64]:
        """Copy the objects of the full data and of the two halves, (3, Y, X) complex64: the only slice of each."""
        return self._objects((FULL_DATA, *HALVES))

    def _objects(self, names: Sequence[str]) -> NDArray[np.complex64]:
        # In one copy, as a GPU is waited for only once.
        objects = torch.stack([self.tasks[name].object.data.detach()[0] for name in names])
        return np.asarray(objects.cpu().numpy()).astype(np.complex64, copy=False)

    def capture(self) -> dict[str, TaskState]:
        """Gather the state of every task between two epochs, by its name."""
        states = {}
        for name, task in self.tasks.items():
            self._give_streams(name)
            states[name] = capture(task)
        return states

    def restore(self, states: dict[str, TaskState]) -> bool:
        """Put the tasks where they were when `capture` was called; companions that had been dropped are dropped.

        Gives whether all of them are there.
        """
        self.tasks = {name: task for name, task in self.tasks.items() if name in states}
        are_there = True
        for name, task in self.tasks.items():
            are_there &= restore(task, states[name])
            self._streams[name] = random_state(task)
        return are_there

    @contextmanager
    def _streams_of(self, name: str) -> Iterator[None]:
        """Let a task draw from where it was, and keep where it is afterwards."""
        self._give_streams(name)
        yield
        if len(self.tasks) > 1:
            self._streams[name] = random_state(self.tasks[name])

    def _give_streams(self, name: str) -> None:
        if len(self.tasks) > 1:  # the only task has them all the time
            set_random_state(self.tasks[name], self._streams[name])


def as_array(task: PtychographyTask, name: str) -> NDArray[np.complex64]:
    """Copy a task's `object` (n_slices, Y, X) or `probe` (n_opr, n_modes, H, W), in pty-chi's units, as complex64."""
    return np.asarray(task.get_data_to_cpu(name, as_numpy=True)).astype(np.complex64)


def probe_in_photons(task: PtychographyTask) -> NDArray[np.complex64]:
    """Copy a task's probe in sqrt(photons), (n_opr, n_modes, H, W) complex64: the sum of its squares is what an
    exposure is illuminated with.

    pty-chi's transform is not normalised, so its own probe is smaller by the root of the number of pixels.
    """
    probe = as_array(task, "probe")
    return probe * np.float32(np.sqrt(probe.shape[-2] * probe.shape[-1]))


def opr_weights(task: PtychographyTask) -> NDArray[np.float32] | None:
    """Copy the weights of a task's OPR modes in each exposure, (n, n_opr) float32; None of one mode."""
    weights = task.reconstructor.parameter_group.opr_mode_weights
    return np.asarray(weights.data.detach().cpu()) if weights.n_opr_modes > 1 else None


def _not_finite(tasks: Sequence[PtychographyTask]) -> list[str]:
    """Say of each task what is NaN or infinite after an epoch, and read its loss; empty where everything is finite."""
    named = [_changing(task) for task in tasks]
    # A sum is finite only if all of it is, and is the shorter way to know.
    sums = iter(read_epochs(tasks, [values.sum().double() for of in named for _, values in of]))
    found = []
    for task, of_task in zip(tasks, named, strict=True):
        bad = [] if np.isfinite(latest_loss(task)) else ["loss"]
        bad += [name for name, values in of_task if not (np.isfinite(next(sums)) or bool(values.isfinite().all()))]
        found.append(" and ".join(bad))
    return found


def _changing(task: PtychographyTask) -> list[tuple[str, Tensor]]:
    """List what a task reconstructs, by its name."""
    parameters = {"object": task.object, "probe": task.probe}
    if task.probe_positions.optimizable:
        parameters["positions"] = task.probe_positions
    return [(name, parameter.tensor.data) for name, parameter in parameters.items()]
