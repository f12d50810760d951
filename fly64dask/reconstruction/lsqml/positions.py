"""Scan positions that a task refines: how far one may move, and how far it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from fly64dask.base import InputError
from fly64dask.reconstruction.lsqml.versions import REMEDY, untested

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from ptychi.api.task import PtychographyTask
    from ptychi.data_structures.probe_positions import ProbePositions

    from fly64dask.study import Recipe

# Of one minibatch, along each axis: pty-chi's default.
MOST_PER_UPDATE_PX = 0.1
# Positions are single precision: so far may one seem to lie beyond its limit.
ROUNDING_PX = 1e-2


@dataclass(frozen=True, slots=True)
class LimitedStep:
    """An update of positions, `own` as pty-chi makes it, that moves none far from where it began."""

    own: Callable[..., None]
    positions: ProbePositions
    limit_px: float

    @torch.no_grad()
    def __call__(self, *arguments: object, **keywords: object) -> None:
        """Make one update."""
        before, began = self.positions.data, self.positions.initial_positions
        self.own(*arguments, **keywords)
        moved = (self.positions.data - before).clamp_(-MOST_PER_UPDATE_PX, MOST_PER_UPDATE_PX)
        drift = (before + moved - began).clamp_(-self.limit_px, self.limit_px)
        self.positions.set_data(began + drift)


def limit_positions(task: PtychographyTask, recipe: Recipe) -> None:
    """Let a task that has not run yet move a position a little in each update, and never far from where it began.

    Far is `position_limit_px` along each axis: by as much the object's array is larger than the scan needs. Raises
    InputError for a pty-chi that is not tested: it may move positions in another place.
    """
    problem = untested("limits of refined positions")
    if problem is not None:
        raise InputError(f"reconstruct with refined positions: {problem}", remedy=REMEDY)
    positions = task.probe_positions
    positions.step_optimizer = LimitedStep(positions.step_optimizer, positions, recipe.position_limit_px)


def drift_px(task: PtychographyTask) -> NDArray[np.float32] | None:
    """Copy how far a task has moved each position, (n, 2) float32, order (y, x); None if it moves none.

    Raises InputError if one is beyond its limit: then pty-chi has moved it elsewhere than in the limited step.
    """
    positions = task.probe_positions
    if not positions.optimizable:
        return None
    drift = np.asarray((positions.data - positions.initial_positions).detach().cpu())
    furthest, limit_px = float(np.abs(drift).max()), positions.step_optimizer.limit_px
    if furthest > limit_px + ROUNDING_PX:
        raise InputError(
            f"self-check of refined positions: one has moved by {furthest:.3g} px, at most {limit_px:g} px are allowed",
            remedy=REMEDY,
        )
    return drift
