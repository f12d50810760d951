"""The engine: exposures and a recipe become a reconstruction, through pty-chi's algorithms."""

from __future__ import annotations

import functools
import gc
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from fly64dask.base import GpuMissingError
from fly64dask.reconstruction.interface import Exposures, Progress, Reconstruction
from fly64dask.reconstruction.lsqml.process_settings import settings_put_back
from fly64dask.reconstruction.lsqml.running import RunningReconstruction, begin
from fly64dask.reconstruction.lsqml.state import losses
from fly64dask.reconstruction.lsqml.versions import untested
from fly64dask.scan import is_guarded, object_frame
from fly64dask.study import GUARDED_MAX_EPOCHS

if TYPE_CHECKING:
    from fly64dask.reconstruction.checkpoint import CheckpointFile
    from fly64dask.study import Recipe

log = logging.getLogger(__name__)


def reconstruct(
    exposures: Exposures, recipe: Recipe, *, seed: int, progress: Progress, checkpoint: CheckpointFile | None = None
) -> Reconstruction:
    """Reconstruct object and probe from an empty object, or from where an earlier attempt was.

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
        The same bits from a checkpoint as from epoch 0, on the CPU.

    Raises
    ------
    GpuMissingError
        If the recipe says cuda and torch has no CUDA device.
    NotFiniteError
        If loss, object or probe is NaN or infinite after an epoch.

    Notes
    -----
    dtype, FFT precision and default device are global to the process in pty-chi: one call at a time. They are put back
    when it ends. On the CPU the same exposures, recipe and seed give the same bits with the same versions of libraries,
    the same vector instructions and the same number of threads, wherever arrays lie in memory and whatever the process
    has computed before.
    """
    guarded = is_guarded(exposures.positions_px, recipe)
    n_epochs = min(recipe.n_epochs, GUARDED_MAX_EPOCHS) if guarded else recipe.n_epochs
    _, origin = object_frame(exposures.positions_px, exposures.counts.shape[1:], drift_px=recipe.drift_limit_px)
    with settings_put_back(recipe.threads):
        device = take_device(recipe.device)
        checkpoint = _usable(checkpoint)
        begin_anew = functools.partial(begin, exposures, recipe, seed=seed, device=device)
        running = _begin_or_go_on(begin_anew, checkpoint)
        try:
            resumed_from_epoch = running.tasks.n_epochs_run
            with running.tasks.accelerated(enabled=recipe.accelerated) as ran_as:
                running.ran_as = [*(way for way in running.ran_as if way != ran_as), ran_as]
                running.run(n_epochs, progress, checkpoint)
            snapshot, rule = running.snapshot(), running.rule
            return Reconstruction(
                object_recon=snapshot.object_recon,
                probe_recon=snapshot.probe_recon,
                loss=np.array(losses(running.tasks.full)),
                object_origin_px=origin,
                device=_describe_device(device, recipe.threads),
                guarded=guarded,
                acceleration=running.acceleration(),
                resumed_from_epoch=resumed_from_epoch,
                stopping=running.facts(),
                validation=rule.course.scores() if rule else None,
                half_objects=snapshot.half_objects,
                no_halves=running.no_halves,
                positions_px=None if snapshot.drift_px is None else exposures.positions_px + snapshot.drift_px,
                opr_weights=snapshot.opr_weights,
            )
        finally:
            del running
            gc.collect()
            if device == "cuda":
                torch.cuda.empty_cache()  # this process may wait for its next call, and others want the memory


def _begin_or_go_on(
    begin_anew: Callable[[], RunningReconstruction], checkpoint: CheckpointFile | None
) -> RunningReconstruction:
    """Put a reconstruction where an earlier attempt was, if it can be put there."""
    running = begin_anew()
    state = checkpoint.load() if checkpoint else None
    if state is None or running.restore(state):
        return running
    log.warning("checkpoint: the restored task is not in the state that was saved; starting from epoch 0")
    return begin_anew()


def _usable(checkpoint: CheckpointFile | None) -> CheckpointFile | None:
    """Give the checkpoint if it is known what goes from one epoch to the next: then all of that is written down."""
    problem = untested("checkpoints")
    if checkpoint is None or problem is None:
        return checkpoint
    log.warning("checkpoint: none is read, and none will be written: %s", problem)
    return None


def _describe_device(device: str, n_threads: int) -> str:
    if device == "cuda":
        return f"cuda ({torch.cuda.get_device_name()})"
    return "cpu" if n_threads == 1 else f"cpu ({n_threads} threads)"


def take_device(setting: str) -> str:
    """Resolve the recipe's device.

    Parameters
    ----------
    setting : "auto", "cpu" or "cuda"
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
    if setting == "cuda" and not available:
        raise GpuMissingError(
            "device cuda was asked for, by the recipe or as auto on workers with GPUs; "
            f"torch {torch.__version__} finds {torch.cuda.device_count()} CUDA devices "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'unset')})",
            remedy="run on a GPU worker or give --device cpu",
        )
    return "cuda" if setting == "cuda" or (setting == "auto" and available) else "cpu"
