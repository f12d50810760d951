"""One reconstruction as it runs: the full data, its companions, and the early-stopping rule that judges each epoch."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fly64dask.base import DegenerateScanError, InputError
from fly64dask.reconstruction.half_sets import DataSubset, HalfSetEstimator, halve, hold_out, shared_area
from fly64dask.reconstruction.interface import Exposures, Progress, StoppingFacts
from fly64dask.reconstruction.lsqml.interleaved import (
    FULL_DATA,
    HALVES,
    SHOWN_PHOTONS,
    InterleavedTasks,
    SeededTask,
)
from fly64dask.reconstruction.lsqml.state import from_bytes, to_bytes
from fly64dask.reconstruction.lsqml.stopping_rule import Snapshot, StoppingRule, held_out_deviance, take_snapshot
from fly64dask.reconstruction.lsqml.task import Frame, build_task
from fly64dask.scan import object_frame

if TYPE_CHECKING:
    from fly64dask.reconstruction.best_epoch import EpochEstimate
    from fly64dask.reconstruction.checkpoint import CheckpointFile
    from fly64dask.study import Recipe

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class RunningReconstruction:
    """The tasks of one reconstruction and its early-stopping rule: what a checkpoint holds.

    `no_halves` says why there are no halves although the recipe wants them, `fallback` why the recipe's stopping rule
    is not followed. `ran_as` are the ways in which epochs were run, those before a checkpoint first.
    """

    recipe: Recipe
    tasks: InterleavedTasks
    rule: StoppingRule | None
    no_halves: str | None
    fallback: str | None
    ran_as: list[str] = field(default_factory=list)

    def run(self, n_epochs: int, progress: Progress, checkpoint: CheckpointFile | None = None) -> None:
        """Run epochs until there are `n_epochs`, or until the stopping rule is settled."""
        while self.tasks.n_epochs_run < n_epochs and not (self.rule and self.rule.is_settled()):
            loss = self.tasks.run_epoch()
            if problem := self.tasks.companion_problem():
                self._drop_companions(problem)
            if self.rule:
                self.rule.add_epoch()
                if problem := self.rule.problem():
                    log.warning("engine=last-epoch reason=%s", problem)
                    self.rule, self.fallback = None, problem
            epoch = self.tasks.n_epochs_run
            progress(epoch, loss)
            if checkpoint is not None and epoch < n_epochs and checkpoint.is_due(epoch):
                checkpoint.save(self.capture)

    def acceleration(self) -> str:
        """Say how epochs were run: for the record, which also names another way before the checkpoint."""
        *earlier, latest = self.ran_as
        return f"{latest}; before its checkpoint: {', '.join(earlier)}" if earlier else latest

    def snapshot(self) -> Snapshot:
        """Give what is to be returned: the best epoch's snapshot if there is a rule, else the last epoch's."""
        return self.rule.course.snapshots[self.rule.course.best] if self.rule else take_snapshot(self.tasks)

    def facts(self) -> StoppingFacts:
        """Say which epoch the snapshot is of, and why."""
        n_epochs = self.tasks.n_epochs_run
        best = self.rule.course.best + 1 if self.rule else n_epochs
        return StoppingFacts(rule=self.recipe.stop, best_epoch=best, n_epochs_run=n_epochs, fallback=self.fallback)

    def capture(self) -> bytes:
        """Write down all tasks and the rule between two epochs."""
        return to_bytes(
            {
                "tasks": self.tasks.capture(),
                "rule": self.rule.capture() if self.rule else None,
                "no_halves": self.no_halves,
                "fallback": self.fallback,
                "ran_as": self.ran_as,
            }
        )

    def restore(self, data: bytes) -> bool:
        """Go on from what `capture` wrote; gives whether all tasks are where they were then."""
        state = from_bytes(data)
        are_there = self.tasks.restore(state["tasks"])
        self.no_halves, self.fallback, self.ran_as = state["no_halves"], state["fallback"], state["ran_as"]
        if state["rule"] is None:
            self.rule = None
        elif self.rule is not None:
            self.rule.restore(state["rule"])
        return are_there

    def _drop_companions(self, reason: str) -> None:
        log.warning("engine=alone reason=%s", reason)
        if self.tasks.has_halves:
            self.no_halves = reason
        if self.rule:
            self.rule, self.fallback = None, reason
        self.tasks.drop_companions()


def begin(exposures: Exposures, recipe: Recipe, *, seed: int, device: str) -> RunningReconstruction:
    """Build every task that a recipe asks for, and its early-stopping rule.

    Parameters
    ----------
    exposures, recipe, seed
        As for `reconstruct`.
    device : "cpu" or "cuda"
        Where the tasks are to run.

    Returns
    -------
    RunningReconstruction
        Before its first epoch. Companions that the exposures do not allow are missing, with the reason.
    """
    frame = object_frame(exposures.positions_px, exposures.counts.shape[1:], drift_px=recipe.drift_limit_px)

    def build(subset: DataSubset) -> SeededTask:
        task = build_task(subset.exposures, recipe, device=device, frame=frame, seed=subset.seed)
        return SeededTask(task=task, seed=subset.seed)

    seeded = {FULL_DATA: build(DataSubset(exposures=exposures, seed=seed))}
    no_halves = fallback = None
    if recipe.halves != "none":
        halves, no_halves = _companions(HALVES, functools.partial(halve, exposures, recipe.halves, seed=seed), build)
        seeded |= halves
    if recipe.stop == "held_out":
        companion, fallback = _companions([SHOWN_PHOTONS], lambda: [hold_out(exposures, seed=seed)], build)
        seeded |= companion
    if recipe.stop == "half_sets":
        fallback = no_halves
    tasks, rule = InterleavedTasks(seeded), None
    if recipe.stop != "epochs" and fallback is None:
        estimate = _estimator(recipe, tasks, exposures, frame)
        rule = StoppingRule(tasks=tasks, estimate=estimate, patience=recipe.patience)
    return RunningReconstruction(recipe=recipe, tasks=tasks, rule=rule, no_halves=no_halves, fallback=fallback)


def _companions(
    names: Sequence[str], divide: Callable[[], Iterable[DataSubset]], build: Callable[[DataSubset], SeededTask]
) -> tuple[dict[str, SeededTask], str | None]:
    """Build a task for each subset of the data, one after the other; none, and why, if that is not possible."""
    try:
        return {name: build(subset) for name, subset in zip(names, divide(), strict=True)}, None
    except (DegenerateScanError, InputError) as error:
        return {}, error.message


def _estimator(
    recipe: Recipe, tasks: InterleavedTasks, exposures: Exposures, frame: Frame
) -> Callable[[], EpochEstimate]:
    if recipe.stop == "held_out":
        return functools.partial(held_out_deviance, tasks.full, tasks.tasks[SHOWN_PHOTONS])
    estimator = HalfSetEstimator(shared_area(exposures, "counts", *frame))

    def estimate() -> EpochEstimate:
        objects = tasks.full_and_half_objects()
        return estimator.estimate(objects[0], objects[1:])

    return estimate
