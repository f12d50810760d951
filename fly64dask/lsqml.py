"""Exposures and a recipe -> a reconstruction, through pty-chi's LSQML."""

from __future__ import annotations

# First: it imports pty-chi without what no reconstruction needs.
import fly64dask.lsqml_import  # noqa: F401

# isort: split
import gc
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ptychi.api.enums import BatchingModes, Devices, NoiseModels
from ptychi.api.options.lsqml import LSQMLOptions
from ptychi.api.task import PtychographyTask
from ptychi.utils import rescale_probe
from tqdm import tqdm

from fly64dask.errors import GpuMissingError, NotFiniteError
from fly64dask.lsqml_speed import accelerated
from fly64dask.lsqml_state import capture, latest_loss, losses, restore
from fly64dask.reconstruction import (
    GUARDED_MAX_EPOCHS,
    GUARDED_MIN_EXPOSURES_FOR_PROBE,
    Exposures,
    Progress,
    Reconstruction,
    is_degenerate,
    is_guarded,
    object_frame,
)

if TYPE_CHECKING:
    from fly64dask.checkpoint import CheckpointFile
    from fly64dask.study import Recipe


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
        The same bits from a checkpoint as from epoch 0, on the CPU.

    Raises
    ------
    GpuMissingError
        If the recipe says cuda and torch has no CUDA device.
    NotFiniteError
        If loss, object or probe is NaN or infinite after an epoch.

    Notes
    -----
    dtype, FFT precision and default device are global to the process in pty-chi: one call at a
    time. It computes on one thread, on which a run is reproducible to the bit.
    """
    # A job script's rank variables would make pty-chi start torch.distributed and fail.
    for variable in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        os.environ.pop(variable, None)
    torch.set_num_threads(1)
    device = take_device(recipe.device)
    guarded = is_guarded(exposures.positions_px, recipe)
    n_epochs = min(recipe.n_epochs, GUARDED_MAX_EPOCHS) if guarded else recipe.n_epochs
    _, origin = object_frame(exposures.positions_px, exposures.counts.shape[1:])
    task = build_task(exposures, recipe, device=device)
    try:
        # `random_seed` does not reach the loader that draws the minibatches.
        task.reconstructor.dataloader.generator.manual_seed(seed)
        torch.manual_seed(seed)  # the Poisson noise model draws from torch's own stream
        state = checkpoint.load() if checkpoint else None
        if state is not None:
            restore(task, state)
        resumed_from_epoch = len(losses(task))
        with accelerated(task, wanted=recipe.accelerated) as acceleration:
            _run_epochs(task, n_epochs, progress, checkpoint)
        return Reconstruction(
            object_recon=task.get_data_to_cpu("object", as_numpy=True).astype(np.complex64),
            probe_recon=task.get_data_to_cpu("probe", as_numpy=True).astype(np.complex64),
            loss=np.array(losses(task)),
            object_origin_px=origin,
            device=f"cuda ({torch.cuda.get_device_name()})" if device == "cuda" else "cpu",
            guarded=guarded,
            acceleration=acceleration,
            resumed_from_epoch=resumed_from_epoch,
        )
    finally:
        del task
        gc.collect()


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


def build_task(exposures: Exposures, recipe: Recipe, *, device: str) -> PtychographyTask:
    """Make pty-chi's task for some exposures, not run yet.

    Parameters
    ----------
    exposures : Exposures
        Counts, positions and starting probe.
    recipe : Recipe
        Engine settings; a degenerate scan, or one that it says is guarded, gets the guarded ones.
    device : "cpu" or "cuda"
        Where it is to run.

    Returns
    -------
    PtychographyTask
        LSQML from a flat object, on pty-chi's own steps.

    Raises
    ------
    GpuMissingError
        If pty-chi takes another device.
    """
    guarded = is_guarded(exposures.positions_px, recipe)
    shape_px, origin_px = object_frame(exposures.positions_px, exposures.counts.shape[1:])
    counts = exposures.counts.astype(np.float32)
    # The object's centre is the origin of positions; with an even shape and a whole-pixel origin
    # object pixel [i, j] is scan-frame pixel (i, j) + origin.
    y, x = (exposures.positions_px - np.add(origin_px, np.floor_divide(shape_px, 2))).astype(np.float32).T
    task = PtychographyTask(
        _options(recipe, exposures, guarded=guarded, device=device),
        diffraction_data=counts,
        object_data=np.ones((1, *shape_px), dtype=np.complex64),
        probe_data=rescale_probe(exposures.probe_guess, counts),
        probe_position_x_px=x,
        probe_position_y_px=y,
    )
    found = task.object.data.device.type
    if found != device:
        raise GpuMissingError(
            f"engine was asked for {device} and took {found}", remedy="check the driver with `fly64dask doctor`"
        )
    return task


def _options(recipe: Recipe, exposures: Exposures, *, guarded: bool, device: str) -> LSQMLOptions:
    degenerate = is_degenerate(exposures.positions_px)
    options = LSQMLOptions()
    reconstructor = options.reconstructor_options
    reconstructor.num_epochs = recipe.n_epochs
    reconstructor.batch_size = recipe.batch_size
    # A scan that is guarded without being degenerate has failed in this linear system (pty-chi's
    # only one), which a frozen probe does not need. On degenerate scans the common step is the
    # better one: phase error 0.115 against 0.133 rad (one exposure of 1e5 photons).
    reconstructor.single_slice_solve_obj_prb_step_size_jointly = degenerate or not guarded
    reconstructor.batching_mode = BatchingModes.RANDOM
    reconstructor.noise_model = NoiseModels(recipe.noise_model)
    reconstructor.default_device = Devices.GPU if device == "cuda" else Devices.CPU
    options.data_options.fft_shift = True
    options.object_options.remove_object_probe_ambiguity.enabled = not guarded
    frozen = guarded and len(exposures.counts) < GUARDED_MIN_EXPOSURES_FOR_PROBE
    options.probe_options.optimizable = recipe.optimise_probe and not frozen
    return options


def _run_epochs(task: PtychographyTask, n_epochs: int, progress: Progress, checkpoint: CheckpointFile | None) -> None:
    for epoch in range(len(losses(task)) + 1, n_epochs + 1):
        task.run(1)
        loss = latest_loss(task)
        _refuse_not_finite(task, epoch, loss)
        progress(epoch, loss)
        if checkpoint is not None and epoch < n_epochs and checkpoint.is_due(epoch):
            checkpoint.save(lambda: capture(task))


def _refuse_not_finite(task: PtychographyTask, epoch: int, loss: float) -> None:
    found: dict[str, Any] = {"loss": np.isfinite(loss)}
    for name, parameter in (("object", task.object), ("probe", task.probe)):
        values = parameter.tensor.data
        # A sum is finite only if all of it is, and is the shorter way to know.
        found[name] = bool(values.sum().isfinite()) or bool(values.isfinite().all())
    bad = [name for name, finite in found.items() if not finite]
    if bad:
        raise NotFiniteError(
            f"after epoch {epoch} of {task.reconstructor_options.num_epochs}: {' and '.join(bad)} not finite "
            f"(loss {loss})",
            remedy="check the exposures for outliers, or lower the batch size",
        )
