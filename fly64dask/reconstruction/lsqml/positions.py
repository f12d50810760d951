"""Scan positions that a task refines: how far one may move, and how far it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from ptychi.api.task import PtychographyTask

    from fly64dask.study import Recipe

# Of one minibatch, along each axis: pty-chi's default.
MOST_PER_UPDATE_PX = 0.1


def limit_positions(task: PtychographyTask, recipe: Recipe) -> None:
    """Let a task that has not run yet move a position a little in each update, and never far from where it began.

    Far is `position_limit_px` along each axis: by as much the object's array is larger than the scan needs.
    """
    positions = task.probe_positions
    began, step = positions.initial_positions, positions.step_optimizer

    @torch.no_grad()
    def step_optimizer(*arguments: Any, **keywords: Any) -> None:
        before = positions.data
        step(*arguments, **keywords)
        moved = (positions.data - before).clamp_(-MOST_PER_UPDATE_PX, MOST_PER_UPDATE_PX)
        drift = (before + moved - began).clamp_(-recipe.position_limit_px, recipe.position_limit_px)
        positions.set_data(began + drift)

    positions.step_optimizer = step_optimizer


def drift_px(task: PtychographyTask) -> NDArray[np.float32] | None:
    """Copy how far a task has moved each position, (n, 2) float32, order (y, x); None if it moves none."""
    positions = task.probe_positions
    if not positions.optimizable:
        return None
    return np.asarray((positions.data - positions.initial_positions).detach().cpu())
