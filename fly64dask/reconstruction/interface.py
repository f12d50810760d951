"""The contract between a cell and its engine: what goes in, what comes out, what is refused."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import Field

from fly64dask.base import Frozen, InputError, Quantity, counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fly64dask.reconstruction.checkpoint import CheckpointFile
    from fly64dask.study import Recipe


# How an engine says that it ran on its faster steps; otherwise it says why not.
ACCELERATED = "accelerated"
# The beginning of what it says where these are compiled.
COMPILED = f"{ACCELERATED} by compiled loops"

LSQML = "fly64dask.reconstruction.lsqml.engine:reconstruct"

Progress = Callable[[int, float], None]


class StoppingFacts(Frozen):
    """The epoch whose object was taken, and by which rule; epochs count from 1.

    `fallback` says why the rule could not be followed; the last epoch is kept then.
    """

    rule: Literal["epochs", "half_sets", "held_out"]
    best_epoch: Annotated[int, Quantity("epoch that was kept")] = Field(ge=1)
    n_epochs_run: Annotated[int, Quantity("epochs that were run")] = Field(ge=1)
    fallback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposures:
    """The data that an engine may see: never the truth.

    `counts` (n, H, W) unsigned photons, zero frequency at the centre; `positions_px` (n, 2)
    float64, order (y, x); `probe_guess` (n_opr, n_modes, H, W) complex64. `noise_free` says that
    `counts` are float32 photons that a simulation expects: nobody can divide them, or hold some out.
    `opr_weights` (n, n_opr) float32 are how strong each OPR mode of the starting probe is in each exposure, if known.
    `valid_pixels` (H, W) bool is True where the detector measures, None if it does everywhere: the other pixels hold 0
    counts and count nowhere.

    Examples
    --------
    >>> Exposures(counts=counts, positions_px=positions_px, probe_guess=probe[None, None])  # doctest: +SKIP
    """

    counts: NDArray[np.number]
    positions_px: NDArray[np.float64]
    probe_guess: NDArray[np.complex64]
    noise_free: bool = False
    opr_weights: NDArray[np.float32] | None = None
    valid_pixels: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """The result of an engine.

    `object_recon` (n_slices, Y, X) complex64, whose pixel [0, 0] is the scan frame's
    `object_origin_px` (y, x); `probe_recon` (n_opr, n_modes, H, W) complex64; `loss`
    (n_epochs,) float64, the engine's own, which does not measure quality; `acceleration` is
    `accelerated` and how, or `unmodified:` and why the library's own steps ran.

    Object and probe are those of `stopping.best_epoch`. `validation` (n_epochs,) float64 is the
    curve that it is the lowest of, `half_objects` (2, Y, X) complex64 two independent halves'
    objects at that epoch, on the same grid, and `no_halves` why there are none though wanted.
    `positions_px` (n, 2) float64, order (y, x), are the refined positions, and `opr_weights` (n, n_opr) float32 those
    of a probe of several OPR modes.
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
    positions_px: NDArray[np.float64] | None = None
    opr_weights: NDArray[np.float32] | None = None


class Engine(Protocol):
    """A function that turns exposures into a reconstruction, reports each epoch and keeps its state."""

    def __call__(
        self,
        exposures: Exposures,
        recipe: Recipe,
        *,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> Reconstruction:
        """Reconstruct object and probe; see `lsqml.reconstruct`."""
        ...


def refuse_dark(counts: NDArray[np.number]) -> None:
    """Refuse exposures without a single photon: the engine divides by their sum."""
    if not counts.any():
        raise InputError(
            f"all {counts.size} pixels of {counted(len(counts), 'kept exposure')} hold 0 photons, needed at least one",
            remedy="raise the dose or check the source",
        )


def load_engine(name: str) -> Engine:
    """Import an engine by `module:function`: torch and pty-chi take 5 s, and only its process pays for them."""
    module, _, function = name.partition(":")
    engine: Engine = getattr(importlib.import_module(module), function)
    return engine
