"""A task that computes on a GPU draws the random numbers that it draws on the CPU.

pty-chi draws on the device that it computes on, and a GPU's generators give other numbers for the same
seed: other minibatches, and another perturbation of the Poisson model's steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from ptychi.api.task import PtychographyTask
    from torch.utils.data import RandomSampler


def draw_on_cpu(task: PtychographyTask) -> None:
    """Let a task with minibatches in random order, not run yet, draw its random numbers on the CPU."""
    reconstructor = task.reconstructor
    loader = reconstructor.dataloader
    # The loader keeps its own, on the device: for a seed of worker processes, of which there are none.
    loader.sampler.generator = torch.Generator("cpu")
    loader.batch_sampler.sampler = _CpuOrder(loader.sampler)
    if reconstructor.noise_model.noise_statistics == "poisson":
        step_size = reconstructor.get_psi_far_step_size

        def get_psi_far_step_size(*arguments: Any, **keywords: Any) -> torch.Tensor:
            with _CpuNormals():
                return step_size(*arguments, **keywords)

        reconstructor.get_psi_far_step_size = get_psi_far_step_size


def order_generator(task: PtychographyTask) -> torch.Generator:
    """Give the generator of a task that draws which exposures are in which minibatch."""
    return task.reconstructor.dataloader.batch_sampler.sampler.generator


@dataclass(frozen=True, slots=True)
class _CpuOrder:
    """The order of exposures in each epoch, drawn as a loader draws it on the CPU."""

    sampler: RandomSampler

    @property
    def generator(self) -> torch.Generator:
        """What it is drawn from."""
        return self.sampler.generator

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        with torch.device("cpu"):
            # A loader first takes the seed of worker processes from the same generator.
            torch.empty((), dtype=torch.int64).random_(generator=self.generator)
            return iter(list(self.sampler))


class _CpuNormals(TorchFunctionMode):
    """Draws normal random numbers on the CPU and moves them to the device that is asked for, while it is entered."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch."""
        kwargs = kwargs or {}
        if function is not torch.randn:
            return function(*args, **kwargs)
        return function(*args, **(kwargs | {"device": "cpu"})).to(kwargs["device"])
