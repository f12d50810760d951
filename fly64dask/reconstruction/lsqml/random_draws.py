"""A task draws the same random numbers from the same seed, in any process and on a GPU as on the CPU.

pty-chi draws on the device that it computes on, and a GPU's generators give other numbers for the same
seed: other minibatches, and another perturbation of the Poisson model's steps. Compact and uniform minibatches
are drawn once, when a task is built, from the streams of NumPy and torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import ptychi.api  # noqa: F401  # its modules import each other: the others can only be loaded after this one
import torch
from ptychi.io_handles import PtychographyCompactBatchSampler, PtychographyUniformBatchSampler
from torch.overrides import TorchFunctionMode
from torch.utils.data import RandomSampler

from fly64dask.base import InputError
from fly64dask.reconstruction.lsqml.steps.step_arithmetic import naming_devices
from fly64dask.reconstruction.lsqml.versions import REMEDY, untested

if TYPE_CHECKING:
    from ptychi.api.task import PtychographyTask

log = logging.getLogger(__name__)


@contextmanager
def drawing_batches(seed: int) -> Iterator[None]:
    """Let a task that is built in this block draw its compact or uniform minibatches to the same bits.

    Compact ones are clusters of scikit-learn's k-means, which on several threads sums in any order.
    """
    from threadpoolctl import threadpool_limits

    seed_streams(seed)
    with threadpool_limits(limits=1):
        yield


def seed_streams(seed: int) -> None:
    """Seed the streams of torch and NumPy that all tasks of a process draw from."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)


def draw_on_cpu(task: PtychographyTask, seed: int = 0) -> None:
    """Let a task, not run yet, draw its random numbers on the CPU; `seed` as it was built with.

    A pty-chi that is not tested draws its own, on its device: the same seed then gives other numbers than on the CPU.
    """
    problem = untested("random numbers drawn on the CPU")
    if problem is not None:
        log.warning("engine=own_random_numbers reason=%s", problem)
        return
    reconstructor = task.reconstructor
    loader = reconstructor.dataloader
    if isinstance(loader.sampler, RandomSampler):
        # The loader keeps its own, on the device: for a seed of worker processes, of which there are none.
        loader.sampler.generator = torch.Generator("cpu")
        loader.batch_sampler.sampler = _CpuOrder(loader.sampler)
    if isinstance(loader.batch_sampler, PtychographyUniformBatchSampler):
        with torch.device("cpu"):
            seed_streams(seed)
            loader.batch_sampler.build_or_sync_indices()
    noise_model = getattr(reconstructor, "noise_model", None)  # LSQML's alone
    if noise_model is not None and noise_model.noise_statistics == "poisson":
        reconstructor.get_psi_far_step_size = StepSizeOfCpuDraws(reconstructor.get_psi_far_step_size)


def order_generator(task: PtychographyTask) -> torch.Generator:
    """Give the generator of a task that draws which exposures are in which minibatch, if these are random ones."""
    loader = task.reconstructor.dataloader
    return getattr(getattr(loader.batch_sampler, "sampler", None), "generator", None) or loader.generator


@naming_devices
def draw_minibatches(task: PtychographyTask) -> list[torch.Tensor]:
    """Draw which exposures are in the minibatches of an epoch, (n,) int64 each, on the CPU, as a task's loader does.

    The loader goes through random ones one by one, which takes as long as a GPU needs for a minibatch.
    """
    loader, generator = task.reconstructor.dataloader, order_generator(task)
    if generator.device.type == "cpu":
        _draw_seed_of_workers(generator)
    if not isinstance(loader.sampler, RandomSampler):
        return [torch.as_tensor(numbers, device="cpu") for numbers in loader.batch_sampler]
    n = len(loader.dataset)
    order = torch.randperm(n, generator=generator, device="cpu")
    # The sampler draws another one at its end, of which it takes what is left of its number of samples: nothing.
    torch.randperm(n, generator=generator, device="cpu")
    return list(torch.split(order, loader.batch_size))


def batches_name(task: PtychographyTask) -> str | None:
    """Name what a task's loader keeps its minibatches in, if they are the same in all epochs."""
    sampler = task.reconstructor.dataloader.batch_sampler
    attributes = {
        PtychographyCompactBatchSampler: "clusters_of_indices",
        PtychographyUniformBatchSampler: "batches_of_indices",
    }
    return attributes.get(type(sampler))


@dataclass(slots=True)
class StepSizeOfCpuDraws:
    """The Poisson model's step size of a task, `own` as pty-chi computes it, with the noise on it drawn on the CPU.

    `drawn` (n,) float32 are normal random numbers, on the device, to take in place of new ones: what is recorded for a
    GPU cannot ask the CPU.
    """

    own: Callable[..., torch.Tensor]
    drawn: torch.Tensor | None = None

    def __call__(self, *arguments: object, **keywords: object) -> torch.Tensor:
        """Compute the step of each exposure's far wave, (n,) float32."""
        with _CpuNormals(self.drawn) as normals:
            step = self.own(*arguments, **keywords)
        if normals.n_draws == 0:
            raise InputError("self-check of the Poisson model: its steps drew nothing on the CPU", remedy=REMEDY)
        return step


@dataclass(frozen=True, slots=True)
class _CpuOrder:
    """The order of exposures in each epoch, drawn as a loader draws it on the CPU."""

    sampler: RandomSampler

    @property
    def generator(self) -> torch.Generator:
        """The generator that the order is drawn from."""
        return self.sampler.generator

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        with torch.device("cpu"):
            _draw_seed_of_workers(self.generator)
            return iter(list(self.sampler))


def _draw_seed_of_workers(generator: torch.Generator) -> None:
    """Draw what a loader takes from its generator first: a seed of worker processes, of which there are none."""
    torch.empty((), dtype=torch.int64, device="cpu").random_(generator=generator)


class _CpuNormals(TorchFunctionMode):
    """Draws normal random numbers on the CPU and moves them to the device that is asked for, while it is entered; or
    gives those that were drawn before.
    """

    def __init__(self, drawn: torch.Tensor | None = None) -> None:
        super().__init__()
        self.drawn, self.n_draws = drawn, 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch."""
        kwargs = kwargs or {}
        if function is not torch.randn:
            return function(*args, **kwargs)
        self.n_draws += 1
        if self.drawn is not None:
            return self.drawn
        return function(*args, **(kwargs | {"device": "cpu"})).to(kwargs["device"])
