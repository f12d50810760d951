"""pty-chi's LSQML task is built from exposures and a recipe; it has not run yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from ptychi.api.enums import BatchingModes, Devices, NoiseModels, ObjectPosOriginCoordsMethods
from ptychi.api.options.lsqml import LSQMLOptions
from ptychi.api.task import PtychographyTask
from ptychi.maths import get_use_double_precision_for_fft, set_use_double_precision_for_fft
from ptychi.utils import rescale_probe

from fly64dask.base import GpuMissingError
from fly64dask.reconstruction.interface import Exposures
from fly64dask.reconstruction.lsqml.random_draws import draw_on_cpu
from fly64dask.scan import GUARDED_MIN_EXPOSURES_FOR_PROBE, is_degenerate, is_guarded, object_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Recipe

Frame = tuple[tuple[int, int], tuple[int, int]]


def build_task(exposures: Exposures, recipe: Recipe, *, device: str, frame: Frame | None = None) -> PtychographyTask:
    """Build pty-chi's LSQML task for some exposures, from an empty object, on its own steps; it has not run yet.

    A degenerate scan, or one that the recipe says is guarded, gets the guarded settings. `frame` is shape and origin of
    the object, if not those of `object_frame`. Random numbers are the same on every device. Raises GpuMissingError if
    pty-chi takes another device.
    """
    guarded = is_guarded(exposures.positions_px, recipe)
    shape_px, origin_px = frame or object_frame(exposures.positions_px, exposures.counts.shape[1:])
    # pty-chi's own shift goes the wrong way round for an odd number of pixels.
    counts = np.fft.ifftshift(exposures.counts, axes=(-2, -1)).astype(np.float32)
    # The object's centre is the origin of positions; with an even shape and a whole-pixel origin
    # object pixel [i, j] is scan-frame pixel (i, j) + origin.
    y, x = (exposures.positions_px - np.add(origin_px, np.floor_divide(shape_px, 2))).astype(np.float32).T
    task = PtychographyTask(
        _options(recipe, exposures, (shape_px, origin_px), guarded=guarded, device=device),
        diffraction_data=counts,
        object_data=np.ones((1, *shape_px), dtype=np.complex64),
        probe_data=_scaled_probe(exposures, counts),
        probe_position_x_px=x,
        probe_position_y_px=y,
    )
    taken = task.object.data.device.type
    if taken != device:
        raise GpuMissingError(
            f"engine was asked for {device} and took {taken}", remedy="check the driver with `fly64dask doctor`"
        )
    if taken != "cpu":
        draw_on_cpu(task)
    return task


def _scaled_probe(exposures: Exposures, counts: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Scale the starting probe to the counts, to the same bits whatever the process has built before.

    The first task of a process leaves behind how precisely pty-chi transforms, and on which device: both are
    put back to what a new process has, for this one transform.
    """
    before = get_use_double_precision_for_fft()
    set_use_double_precision_for_fft(True)
    try:
        with torch.device("cpu"):
            return np.asarray(rescale_probe(exposures.probe_guess, counts))
    finally:
        set_use_double_precision_for_fft(before)


def _options(recipe: Recipe, exposures: Exposures, frame: Frame, *, guarded: bool, device: str) -> LSQMLOptions:
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
    options.data_options.fft_shift = False
    options.object_options.remove_object_probe_ambiguity.enabled = not guarded
    options.object_options.determine_position_origin_coords_by = ObjectPosOriginCoordsMethods.SPECIFIED
    options.object_options.position_origin_coords = _origin_of_positions(frame, exposures.counts.shape[1:])
    frozen = guarded and len(exposures.counts) < GUARDED_MIN_EXPOSURES_FOR_PROBE
    options.probe_options.optimizable = recipe.optimise_probe and not frozen
    return options


def _origin_of_positions(frame: Frame, probe_shape_px: tuple[int, ...]) -> tuple[float, float]:
    """Find the (y, x) in the object's array from which pty-chi counts positions, so that it cuts patches where
    `patch_corners_px` says.

    pty-chi takes a patch's centre at (H - 1) / 2. The array's centre is therefore half a pixel off along an axis on
    which the patch is even; on an odd one pty-chi's own choice would round halves, each patch by its parity.
    """
    y, x = (size // 2 - (0.5 if side % 2 == 0 else 0.0) for size, side in zip(frame[0], probe_shape_px, strict=True))
    return y, x
