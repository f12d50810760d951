"""pty-chi's task is built from exposures and a recipe; it has not run yet."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
from ptychi.api.enums import BatchingModes, Devices, NoiseModels, ObjectPosOriginCoordsMethods
from ptychi.api.options.dm import DMOptions
from ptychi.api.options.lsqml import LSQMLOptions
from ptychi.api.options.pie import EPIEOptions, RPIEOptions
from ptychi.api.options.task import PtychographyTaskOptions
from ptychi.api.task import PtychographyTask

from fly64dask.base import GpuMissingError, InputError
from fly64dask.reconstruction.interface import Exposures
from fly64dask.reconstruction.lsqml.positions import limit_positions
from fly64dask.reconstruction.lsqml.random_draws import draw_on_cpu, drawing_batches
from fly64dask.reconstruction.lsqml.starting_probe import starting_probe
from fly64dask.reconstruction.lsqml.valid_pixels import count_valid_alone
from fly64dask.scan import GUARDED_MIN_EXPOSURES_FOR_PROBE, is_degenerate, is_guarded, object_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Algorithm, Recipe

OPTIONS: dict[Algorithm, type[PtychographyTaskOptions]] = {
    "LSQML": LSQMLOptions,
    "rPIE": RPIEOptions,
    "ePIE": EPIEOptions,
    "DM": DMOptions,
}

Frame = tuple[tuple[int, int], tuple[int, int]]


def build_task(
    exposures: Exposures, recipe: Recipe, *, device: str, frame: Frame | None = None, seed: int = 0
) -> PtychographyTask:
    """Build pty-chi's task of a recipe's algorithm for some exposures, from an empty object, on its own steps; it has
    not run yet.

    A degenerate scan, or one that the recipe says is guarded, gets the guarded settings. `frame` is shape and origin of
    the object, if not those of `object_frame`; `seed` that of minibatches which are drawn once for all epochs, and of
    OPR modes that are made. Random numbers are the same on every device. Raises GpuMissingError if pty-chi takes
    another device, InputError if the exposures cannot be divided into minibatches as the recipe wants.
    """
    guarded = is_guarded(exposures.positions_px, recipe)
    problem = None if guarded else recipe.batching_problem(len(exposures.counts))
    if problem is not None:
        raise InputError(problem, remedy="lower the recipe's batch_size, or write batching = 'random'")
    shape_px, origin_px = frame or object_frame(
        exposures.positions_px, exposures.counts.shape[1:], drift_px=recipe.drift_limit_px
    )
    # pty-chi's own shift goes the wrong way round for an odd number of pixels.
    counts = np.fft.ifftshift(exposures.counts, axes=(-2, -1)).astype(np.float32)
    valid_pixels = _masked(exposures)
    # The object's centre is the origin of positions; with an even shape and a whole-pixel origin
    # object pixel [i, j] is scan-frame pixel (i, j) + origin.
    y, x = (exposures.positions_px - np.add(origin_px, np.floor_divide(shape_px, 2))).astype(np.float32).T
    n_opr = 1 if guarded else recipe.n_opr_modes(len(exposures.probe_guess))
    begin = starting_probe(exposures, counts, valid_pixels, recipe, n_opr=n_opr, seed=seed)
    options = _options(recipe, exposures, (shape_px, origin_px), guarded=guarded, device=device)
    options.opr_mode_weight_options.optimizable = n_opr > 1
    options.opr_mode_weight_options.optimization_plan.start = recipe.probe_update_start - 1
    with ExitStack() as stack:
        if options.reconstructor_options.batching_mode != BatchingModes.RANDOM:
            stack.enter_context(drawing_batches(seed))
        task = PtychographyTask(
            options,
            diffraction_data=counts,
            object_data=np.ones((1, *shape_px), dtype=np.complex64),
            probe_data=begin.probe,
            opr_mode_weights_data=begin.opr_weights,
            valid_pixel_mask=valid_pixels,
            probe_position_x_px=x,
            probe_position_y_px=y,
        )
    device_type = task.object.data.device.type
    if device_type != device:
        raise GpuMissingError(
            f"engine was asked for {device} and took {device_type}", remedy="check the driver with `fly64dask doctor`"
        )
    if device_type != "cpu":
        draw_on_cpu(task, seed)
    if valid_pixels is not None:
        count_valid_alone(task)
    if task.probe_positions.optimizable:
        limit_positions(task, recipe)
    return task


def _masked(exposures: Exposures) -> NDArray[np.bool_] | None:
    """Give the valid pixels with the zero frequency at the corner, as pty-chi wants them; None if all are valid."""
    valid = exposures.valid_pixels
    if valid is None or valid.all():
        return None
    if valid.shape != exposures.counts.shape[1:]:
        raise InputError(
            f"valid_pixels of shape {valid.shape} beside patterns of {exposures.counts.shape[1:]} px",
            remedy="give a mask of the patterns' size",
        )
    return np.fft.ifftshift(valid)


def _options(
    recipe: Recipe, exposures: Exposures, frame: Frame, *, guarded: bool, device: str
) -> PtychographyTaskOptions:
    options = OPTIONS[recipe.algorithm]()
    reconstructor = options.reconstructor_options
    reconstructor.num_epochs = recipe.n_epochs
    reconstructor.batching_mode = BatchingModes.RANDOM if guarded else BatchingModes(recipe.batching)
    reconstructor.default_device = Devices.GPU if device == "cuda" else Devices.CPU
    batch_size = recipe.exposures_in_batch(len(exposures.counts))
    if isinstance(options, DMOptions):
        options.reconstructor_options.chunk_length = batch_size  # it updates once an epoch whatever the batch size
        reconstructor.displayed_loss_function = None  # it has an error of its own
    else:
        reconstructor.batch_size = batch_size
    if isinstance(options, LSQMLOptions):
        _set_lsqml(options, recipe, solve_jointly=not guarded or is_degenerate(exposures.positions_px))
    options.data_options.fft_shift = False
    options.object_options.remove_object_probe_ambiguity.enabled = not guarded
    options.object_options.determine_position_origin_coords_by = ObjectPosOriginCoordsMethods.SPECIFIED
    options.object_options.position_origin_coords = _origin_of_positions(frame, exposures.counts.shape[1:])
    frozen = guarded and len(exposures.counts) < GUARDED_MIN_EXPOSURES_FOR_PROBE
    options.probe_options.optimizable = recipe.optimise_probe and not frozen
    options.object_options.step_size = recipe.object_step_size
    options.probe_options.step_size = recipe.probe_step_size
    _set_probe_constraints(options, recipe, exposures.counts.shape[1:])
    if not guarded:  # few epochs run under the guard, and few exposures say where they were
        _set_positions(options, recipe)
        options.object_options.optimization_plan.start = recipe.object_update_start - 1
        options.probe_options.optimization_plan.start = recipe.probe_update_start - 1
    return options


def _origin_of_positions(frame: Frame, probe_shape_px: tuple[int, ...]) -> tuple[float, float]:
    """Find the (y, x) in the object's array from which pty-chi counts positions, so that it cuts patches where
    `patch_corners_px` says.

    pty-chi takes a patch's centre at (H - 1) / 2. The array's centre is therefore half a pixel off along an axis on
    which the patch is even; on an odd one pty-chi's own choice would round halves, each patch by its parity.
    """
    y, x = (size // 2 - (0.5 if side % 2 == 0 else 0.0) for size, side in zip(frame[0], probe_shape_px, strict=True))
    return y, x


def _set_probe_constraints(options: PtychographyTaskOptions, recipe: Recipe, shape_px: tuple[int, ...]) -> None:
    """Set what a probe is held to after each epoch.

    Its power is pty-chi's sum of squares, smaller than photons by the number of pixels. Where it is given, the object's
    scale is what is left over, and pty-chi must not take it to 1.
    """
    support, power = options.probe_options.support_constraint, options.probe_options.power_constraint
    if recipe.probe_support is not None:
        support.enabled, support.threshold = True, recipe.probe_support
    if recipe.probe_power_photons is not None:
        power.enabled, power.probe_power = True, recipe.probe_power_photons / (shape_px[0] * shape_px[1])
        options.object_options.remove_object_probe_ambiguity.enabled = False


def _set_positions(options: PtychographyTaskOptions, recipe: Recipe) -> None:
    """Let positions move along the gradient of the object, if the recipe says so.

    pty-chi 2.2.0 limits a step to ten times the mean step of all exposures, of which those outside the minibatch make
    none: the smaller the minibatch, the smaller the limit. `limit_positions` sets another.
    """
    positions = options.probe_position_options
    positions.optimizable, positions.step_size = recipe.refine_positions, recipe.position_step_size
    positions.optimization_plan.start = recipe.position_update_start - 1
    positions.correction_options.clip_update_magnitude_by_mad = False
    positions.correction_options.update_magnitude_limit = None


def _set_lsqml(options: LSQMLOptions, recipe: Recipe, *, solve_jointly: bool) -> None:
    """Set what LSQML alone has.

    A scan that is guarded without being degenerate has failed in the linear system of the joint step (pty-chi's only
    one), which a frozen probe does not need. On degenerate scans the common step is the better one: phase error 0.115
    against 0.133 rad (one exposure of 1e5 photons).
    """
    reconstructor = options.reconstructor_options
    reconstructor.single_slice_solve_obj_prb_step_size_jointly = solve_jointly
    reconstructor.noise_model = NoiseModels(recipe.noise_model)
    reconstructor.momentum_acceleration_gain = recipe.momentum_gain
