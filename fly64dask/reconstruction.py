"""The words between a cell and its engine: what goes in, what comes out, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from pydantic import Field

from fly64dask.errors import DegenerateScanError, InputError
from fly64dask.scan import span_px
from fly64dask.study import Frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.checkpoint import CheckpointFile
    from fly64dask.remedy import Remedy
    from fly64dask.study import Recipe

# pty-chi averages object and probe over the bounding box of the positions; a box without a
# whole pixel on an axis gives 0 / 0 in epoch 0. A span of 1 px always holds one.
MIN_SPAN_PX = 1.0
# What works on a degenerate scan (measured): that average left out, a frozen probe below
# 4 exposures, and at most 30 epochs.
GUARDED_MAX_EPOCHS = 30
GUARDED_MIN_EXPOSURES_FOR_PROBE = 4

# How an engine says that it ran on its faster steps; otherwise it says why not.
ACCELERATED = "accelerated"

LSQML = "fly64dask.lsqml:reconstruct"
# What an engine's process runs beside the engine. What measures is imported there alone: it takes 0.5 s.
BESIDE_ENGINE = ("fly64dask.attempt", "fly64dask.halves", "fly64dask.metrics")

Progress = Callable[[int, float], None]


def engine_modules(engine: str) -> tuple[str, ...]:
    """Name what the processes of an engine, `module:function`, need loaded."""
    return engine.partition(":")[0], *BESIDE_ENGINE


class StoppingFacts(Frozen):
    """Which epoch's object was kept, and by which rule; epochs count from 1.

    `fallback` says why the rule could not be followed; the last epoch is kept then.
    """

    rule: Literal["epochs", "half_sets", "held_out"]
    best_epoch: int = Field(ge=1)
    n_epochs_run: int = Field(ge=1)
    fallback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposures:
    """What an engine may see: never the truth.

    `counts` (n, H, W) unsigned photons, zero frequency at the centre; `positions_px` (n, 2)
    float64, order (y, x); `probe_guess` (n_opr, n_modes, H, W) complex64.
    """

    counts: NDArray[Any]
    positions_px: NDArray[np.float64]
    probe_guess: NDArray[np.complex64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """What an engine returns.

    `object_recon` (n_slices, Y, X) complex64, whose pixel [0, 0] is the scan frame's
    `object_origin_px` (y, x); `probe_recon` (n_opr, n_modes, H, W) complex64; `loss`
    (n_epochs,) float64, the engine's own, which does not measure quality; `acceleration` is
    `accelerated`, or `stock: ` and why the library's own steps ran.

    Object and probe are those of `stopping.best_epoch`. `validation` (n_epochs,) float64 is the
    curve that it is the lowest of, `half_objects` (2, Y, X) complex64 two independent halves'
    objects at that epoch, on the same grid, and `no_halves` why there are none though wanted.
    """

    object_recon: NDArray[np.complex64]
    probe_recon: NDArray[np.complex64]
    loss: NDArray[np.float64]
    object_origin_px: tuple[int, int]
    device: str
    guarded: bool
    acceleration: str
    resumed_from_epoch: int = 0
    stopping: StoppingFacts | None = None
    validation: NDArray[np.float64] | None = None
    half_objects: NDArray[np.complex64] | None = None
    no_halves: str | None = None


class Engine(Protocol):
    """What turns exposures into a reconstruction, reporting each epoch and keeping its state."""

    def __call__(
        self,
        exposures: Exposures,
        recipe: Recipe,
        *,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> Reconstruction:
        """Reconstruct; see `lsqml.reconstruct`."""
        ...


def is_degenerate(positions_px: NDArray[np.float64]) -> bool:
    """Whether the positions span less than one pixel on an axis."""
    return min(span_px(positions_px)) < MIN_SPAN_PX


def is_guarded(positions_px: NDArray[np.float64], recipe: Recipe) -> bool:
    """Whether the engine runs with the guard; then the result is underdetermined."""
    return recipe.guarded or is_degenerate(positions_px)


def refuses_degenerate(recipe: Recipe) -> bool:
    """Whether a degenerate scan is refused before the engine starts."""
    return recipe.on_degenerate == "fail" and not recipe.guarded


def remedied_recipe(recipe: Recipe, remedy: Remedy | None) -> Recipe:
    """Recipe that a cell runs with.

    Parameters
    ----------
    recipe : Recipe
        The study's.
    remedy : Remedy or None
        The cell's.

    Returns
    -------
    Recipe
        Guarded, with a frozen probe and few epochs, if the remedy says so; else the study's.
    """
    if remedy is None or remedy.kind != "guarded":
        return recipe
    n_epochs = min(recipe.n_epochs, GUARDED_MAX_EPOCHS)
    return recipe.model_copy(update={"guarded": True, "optimise_probe": False, "n_epochs": n_epochs})


def refuse_degenerate(
    positions_px: NDArray[np.float64], *, n_exposures: int, rule: str, is_baseline: bool = False
) -> None:
    """Refuse a scan that the engine would turn into NaN in silence; takes microseconds.

    Parameters
    ----------
    positions_px : (k, 2) float64
        Kept positions, order (y, x), px.
    n_exposures : int
        Exposures before selection, for the message.
    rule : str
        What kept them, for the message: `at >= 102.4 px`.
    is_baseline : bool
        Nothing was selected, so that no threshold can help.

    Raises
    ------
    DegenerateScanError
        If the positions span less than 1 px on an axis.
    """
    if is_degenerate(positions_px):
        height, width = span_px(positions_px)
        raise DegenerateScanError(
            f"kept {len(positions_px)} of {n_exposures} exposures {rule}, spanning {height:.3g} px in y and "
            f"{width:.3g} px in x; LSQML needs {MIN_SPAN_PX:g} px on both axes",
            remedy=f"{'scan more' if is_baseline else 'lower the spacing threshold'} or use "
            "`fly64dask rerun --remedy guarded`",
        )


def refuse_dark(counts: NDArray[Any]) -> None:
    """Refuse exposures without a single photon: the engine divides by their sum."""
    if not counts.any():
        raise InputError(
            f"all {counts.size} pixels of {len(counts)} kept exposures hold 0 photons, needed at least one",
            remedy="raise the dose or check the source",
        )


def object_frame(
    positions_px: NDArray[np.float64], probe_shape_px: tuple[int, int], *, margin_px: int = 8
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Choose the object array of a reconstruction.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Kept positions, order (y, x), px.
    probe_shape_px : (int, int)
        (H, W).
    margin_px : int
        Rows and columns beyond what the probe touches (pty-chi's `extra=8`).

    Returns
    -------
    shape_px : (int, int)
        (Y, X), both even: pty-chi rounds half an odd shape to an even number.
    origin_px : (int, int)
        Scan-frame (y, x) of pixel [0, 0]: whole numbers, so that object and truth share a grid.
    """
    low, high = positions_px.min(axis=0), positions_px.max(axis=0)
    centre = np.rint((low + high) / 2).astype(int)
    shape = np.ceil(high - low).astype(int) + np.asarray(probe_shape_px) + margin_px
    shape += shape % 2
    origin = centre - shape // 2
    return (int(shape[0]), int(shape[1])), (int(origin[0]), int(origin[1]))
