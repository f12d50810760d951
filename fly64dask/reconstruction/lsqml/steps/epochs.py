"""An epoch of a task on the faster steps, as pty-chi's `IterativeReconstructor.run` has it, but without its loader.

The loader goes through the exposures of a minibatch one by one, and on a GPU it waits once in an epoch. The same
exposures are drawn here (`random_draws.draw_minibatches`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fly64dask.reconstruction.lsqml.random_draws import draw_minibatches

if TYPE_CHECKING:
    from ptychi.api.task import PtychographyTask
    from torch import Tensor

    from fly64dask.reconstruction.lsqml.steps.replacements import Steps


@torch.no_grad()
def run_epoch(task: PtychographyTask, steps: Steps) -> None:
    """Run one epoch, minibatch by minibatch."""
    reconstructor = task.reconstructor
    for reconstructor.current_minibatch, indices in enumerate(begin_epoch(task)):
        reconstructor.run_minibatch([indices], steps.read(indices))
    end_epoch(task)


@torch.no_grad()
def begin_epoch(task: PtychographyTask) -> list[Tensor]:
    """Begin an epoch; gives the exposures of its minibatches, (n,) int64 each, on the CPU."""
    reconstructor = task.reconstructor
    if reconstructor.current_epoch == 0:
        reconstructor.run_pre_run_hooks()
    reconstructor.run_pre_epoch_hooks()
    reconstructor.current_minibatch = 0
    return draw_minibatches(task)


@torch.no_grad()
def end_epoch(task: PtychographyTask) -> None:
    """End an epoch whose minibatches have run."""
    reconstructor = task.reconstructor
    reconstructor.current_minibatch = len(reconstructor.dataloader)
    reconstructor.run_post_epoch_hooks()
    reconstructor.step_all_step_size_schedulers()
    reconstructor.loss_tracker.conclude_epoch(epoch=reconstructor.current_epoch)
    reconstructor.current_epoch += 1
    reconstructor.pbar.update(1)
