"""Exposures and a recipe -> a reconstruction, through pty-chi's LSQML."""

from __future__ import annotations

# First: it imports pty-chi without what no reconstruction needs.
import fly64dask.reconstruction.lsqml.lazy_imports  # noqa: F401

# isort: split
import functools
import gc
import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from fly64dask.base import DegenerateScanError, GpuMissingError, InputError
from fly64dask.reconstruction.half_sets import Comparison, Part, halve, hold_out, shared_area
from fly64dask.reconstruction.interface import Exposures, Progress, Reconstruction, StoppingFacts
from fly64dask.reconstruction.lsqml.interleaved import FULL, HALVES, KEPT, Turns, as_array, from_bytes, to_bytes
from fly64dask.reconstruction.lsqml.state import capture, losses, restore
from fly64dask.reconstruction.lsqml.stopping_rule import Kept, Rule, held_out_deviance, kept_of
from fly64dask.reconstruction.lsqml.task import build_task
from fly64dask.scan import is_guarded, object_frame
from fly64dask.study import GUARDED_MAX_EPOCHS

if TYPE_CHECKING:
    from ptychi.api.task import PtychographyTask

    from fly64dask.reconstruction.best_epoch import Look
    from fly64dask.reconstruction.checkpoint import CheckpointFile
    from fly64dask.study import Recipe

log = logging.getLogger(__name__)

# pty-chi makes a progress bar, shown or not, and with it a lock that a process which is killed
# never gives back to the system. Bars of one process need no lock between processes.
tqdm.set_lock(threading.RLock())


def reconstruct(
    exposures: Exposures, recipe: Recipe, *, seed: int, progress: Progress, checkpoint: CheckpointFile | None = None
) -> Reconstruction:
    """Reconstruct object and probe from a flat object, or from where an earlier attempt was.

    Parameters
    ----------
    exposures : Exposures
        Counts, positions and starting probe.
    recipe : Recipe
        Engine settings; a degenerate scan is run guarded, so refuse it before if it should fail.
    seed : int
        Seed of the order in which exposures enter minibatches.
    progress : callable
        Called with (epochs done, loss) after each epoch.
    checkpoint : CheckpointFile, optional
        Gets the state every few epochs, and gives that of an earlier attempt.

    Returns
    -------
    Reconstruction
        The same bits from a checkpoint as from epoch 0, on one thread of the CPU.

    Raises
    ------
    GpuMissingError
        If the recipe says cuda and torch has no CUDA device.
    NotFiniteError
        If loss, object or probe is NaN or infinite after an epoch.

    Notes
    -----
    dtype, FFT precision and default device are global to the process in pty-chi: one call at a
    time. On one thread a run is reproducible to the bit; on several it is not.
    """
    # A job script's rank variables would make pty-chi start torch.distributed and fail.
    for variable in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        os.environ.pop(variable, None)
    torch.set_num_threads(recipe.threads)
    device = take_device(recipe.device)
    guarded = is_guarded(exposures.positions_px, recipe)
    n_epochs = min(recipe.n_epochs, GUARDED_MAX_EPOCHS) if guarded else recipe.n_epochs
    _, origin = object_frame(exposures.positions_px, exposures.counts.shape[1:])
    work = begin(exposures, recipe, seed=seed, device=device)
    try:
        state = checkpoint.load() if checkpoint else None
        if state is not None:
            work.restore(state)
        resumed_from_epoch = work.turns.n_epochs_run
        with work.turns.accelerated(wanted=recipe.accelerated) as acceleration:
            work.run(n_epochs, progress, checkpoint)
        kept = work.kept()
        return Reconstruction(
            object_recon=kept.object_recon,
            probe_recon=kept.probe_recon,
            loss=np.array(losses(work.turns.full)),
            object_origin_px=origin,
            device=_device_words(device, recipe.threads),
            guarded=guarded,
            acceleration=acceleration,
            resumed_from_epoch=resumed_from_epoch,
            stopping=work.facts(),
            validation=work.rule.course.scores() if work.rule else None,
            half_objects=kept.half_objects,
            no_halves=work.no_halves,
        )
    finally:
        del work
        gc.collect()


def _device_words(device: str, n_threads: int) -> str:
    if device == "cuda":
        return f"cuda ({torch.cuda.get_device_name()})"
    return "cpu" if n_threads == 1 else f"cpu ({n_threads} threads)"


def take_device(wanted: str) -> str:
    """Resolve the recipe's device.

    Parameters
    ----------
    wanted : "auto", "cpu" or "cuda"
        From the recipe; auto takes a GPU if there is one.

    Returns
    -------
    "cpu" or "cuda"

    Raises
    ------
    GpuMissingError
        If cuda is wanted and cannot be used: pty-chi itself would go on with the CPU.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise GpuMissingError(
            f"recipe wants device cuda, torch {torch.__version__} finds {torch.cuda.device_count()} CUDA devices "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'unset')})",
            remedy="run on a GPU worker or give --device cpu",
        )
    return "cuda" if wanted == "cuda" or (wanted == "auto" and available) else "cpu"


@dataclass(slots=True, kw_only=True)
class Work:
    """The tasks of one call and the rule that looks at them: what a checkpoint holds.

    `no_halves` says why there are no halves though wanted, `fallback` why the recipe's rule is not
    followed.
    """

    recipe: Recipe
    turns: Turns
    rule: Rule | None
    no_halves: str | None
    fallback: str | None

    def run(self, n_epochs: int, progress: Progress, checkpoint: CheckpointFile | None) -> None:
        """Run the epochs that are missing, or as many of them as the rule wants."""
        while self.turns.n_epochs_run < n_epochs and not (self.rule and self.rule.is_settled()):
            loss = self.turns.run_epoch()
            if bad := self.turns.bad_companion():
                self._go_on_alone(bad)
            if self.rule:
                self.rule.see_epoch()
            epoch = self.turns.n_epochs_run
            progress(epoch, loss)
            if checkpoint is not None and epoch < n_epochs and checkpoint.is_due(epoch):
                checkpoint.save(self.capture)

    def kept(self) -> Kept:
        """What is to be returned: the best epoch's if there is a rule, else the last one's."""
        return self.rule.course.snapshots[self.rule.course.best] if self.rule else kept_of(self.turns)

    def facts(self) -> StoppingFacts:
        """Which epoch that is."""
        n_epochs = self.turns.n_epochs_run
        best = self.rule.course.best + 1 if self.rule else n_epochs
        return StoppingFacts(rule=self.recipe.stop, best_epoch=best, n_epochs_run=n_epochs, fallback=self.fallback)

    def capture(self) -> bytes:
        """Write down all tasks and the rule between two epochs."""
        if self._is_plain:
            return capture(self.turns.full)
        rule = self.rule.capture() if self.rule else None
        reasons = {"no_halves": self.no_halves, "fallback": self.fallback}
        return to_bytes({"tasks": self.turns.capture(), "rule": rule} | reasons)

    def restore(self, data: bytes) -> None:
        """Go on from what `capture` wrote."""
        if self._is_plain:
            restore(self.turns.full, data)
            return
        state = from_bytes(data)
        if len(state["tasks"]) < len(self.turns.tasks):
            self._go_on_alone(state["no_halves"] or state["fallback"])
        self.turns.restore(state["tasks"])
        if self.rule:
            self.rule.restore(state["rule"])

    @property
    def _is_plain(self) -> bool:
        return self.recipe.stop == "epochs" and self.recipe.halves == "none"

    def _go_on_alone(self, reason: str) -> None:
        log.warning("engine=alone reason=%s", reason)
        if self.turns.half_objects() is not None:
            self.no_halves = reason
        if self.rule:
            self.rule, self.fallback = None, reason
        self.turns.dismiss_companions()


def begin(exposures: Exposures, recipe: Recipe, *, seed: int, device: str) -> Work:
    """Build every task that a recipe asks for, and the rule that looks at them.

    Parameters
    ----------
    exposures, recipe, seed
        As for `reconstruct`.
    device : "cpu" or "cuda"
        Where they are to run.

    Returns
    -------
    Work
        Before its first epoch; without what the exposures do not allow, and with the reason.
    """
    frame = object_frame(exposures.positions_px, exposures.counts.shape[1:])
    tasks: dict[str, PtychographyTask] = {}
    seeds: dict[str, int] = {}

    def add(names: Iterable[str], parts: Iterable[Part]) -> str | None:
        try:
            for name, part in zip(names, parts, strict=True):
                tasks[name], seeds[name] = build_task(part.exposures, recipe, device=device, frame=frame), part.seed
        except (DegenerateScanError, InputError) as error:
            for name in names:
                tasks.pop(name, None)
            return str(error).partition(";")[0]
        return None

    add([FULL], [Part(exposures=exposures, seed=seed)])
    no_halves = fallback = None
    look: Callable[[], Look] | None = None
    if recipe.halves != "none":
        no_halves = add(HALVES, halve(exposures, recipe.halves, seed=seed))
    if recipe.stop == "held_out":
        fallback = add([KEPT], [hold_out(exposures, seed=seed)])
    turns = Turns(tasks, seeds)
    if recipe.stop == "half_sets":
        fallback = no_halves
        look = functools.partial(_look_at_halves, turns, Comparison(shared_area(exposures, "counts", *frame)))
    elif recipe.stop == "held_out" and fallback is None:
        look = functools.partial(held_out_deviance, turns.full, tasks[KEPT])
    rule = Rule(turns=turns, look=look, patience=recipe.patience) if look and fallback is None else None
    return Work(recipe=recipe, turns=turns, rule=rule, no_halves=no_halves, fallback=fallback)


def _look_at_halves(turns: Turns, comparison: Comparison) -> Look:
    half_objects = turns.half_objects()
    assert half_objects is not None
    return comparison.look(as_array(turns.full, "object")[0], half_objects)
