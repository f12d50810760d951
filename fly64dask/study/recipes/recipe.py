"""The recipe of a study: every engine setting that can change a number, and the limits and checkpoints of a cell."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from fly64dask.base import Frozen
from fly64dask.study.recipes.rules import MULTISLICE_KEYS, contradictions

# From 5 to 20 choose nearly as well as all 100 epochs, and run 41 to 63 of them (docs/explanation/stopping.md).
PATIENCE = 10

Algorithm = Literal["LSQML", "rPIE", "ePIE", "DM"]
# Told apart by type, so that a wrong size is one fault and not one for each alternative.
BatchSize = Annotated[
    Annotated[Annotated[int, Field(ge=1, le=1_000_000)], Tag("number")] | Annotated[Literal["all"], Tag("word")],
    Discriminator(lambda size: "word" if isinstance(size, str) else "number"),
]
Epoch = Annotated[int, Field(ge=1, le=1_000_000)]
StepSize = Annotated[float, Field(ge=1e-6, le=100, allow_inf_nan=False)]


class Recipe(Frozen):
    """Every engine setting that can change a number. Defaults: the fly64 study design.

    docs/reference/study/recipes.md says what goes together. What runs under the guard for degenerate scans has random
    minibatches, updates from the first epoch, one OPR mode and no refined positions.

    Parameters
    ----------
    algorithm : "LSQML", "rPIE", "ePIE" or "DM"
        Algorithm of pty-chi: least squares with maximum likelihood, regularised or extended ptychographic iterative
        engine, or difference map.
    n_epochs : int
        Passes over all kept exposures, at most.
    batch_size : int or "all"
        Exposures in a minibatch; DM updates once an epoch and computes so many exposures at once.
    batching : "random", "compact" or "uniform"
        Which exposures share a minibatch: random ones, neighbours (LSQML then updates the object once an epoch), or
        random ones that are spread out over the scan.
    noise_model : "gaussian" or "poisson"
        Likelihood that LSQML maximises; the other algorithms replace amplitudes and have none.
    object_step_size, probe_step_size : float
        Factor of each update; a smaller one follows noise less and needs more epochs.
    momentum_gain : float
        Weight of earlier updates in LSQML's steps, of the probe and with compact minibatches of the object; 0 is none.
    object_update_start, probe_update_start : int
        First epoch that changes the object or the probe, from 1.
    probe_modes : int, optional
        Mutually incoherent modes of the probe, made from the first one of the starting probe where it has another
        number; if omitted those of the starting probe.
    opr_modes : int, optional
        Modes of orthogonal probe relaxation, by which LSQML lets the probe change from exposure to exposure; if omitted
        those of the starting probe.
    probe_support : float, optional
        Fraction of its largest blurred amplitude below which the probe is set to zero after each epoch; if omitted
        nothing is set to zero.
    probe_power_photons : float, optional
        Photons that illuminate an exposure, to which the probe is scaled after each epoch; if omitted it is not scaled.
    optimise_probe : bool
        Whether the probe changes.
    refine_positions : bool
        Whether scan positions move, along the gradient of the object.
    position_update_start : int
        First epoch that moves positions, from 1.
    position_step_size : float
        Factor of the gradient's step; no update moves a position by more than 0.1 px along an axis.
    position_limit_px : float
        Largest distance of a position from where it was given, along each axis, px.
    on_degenerate : "fail" or "guarded"
        What becomes of a degenerate scan: the cell fails, or it is reconstructed under the guard and flagged
        underdetermined.
    guarded : bool
        Whether every scan is reconstructed under the guard, degenerate or not.
    accelerated : bool
        Whether LSQML takes faster steps than pty-chi's own, which change the last digits.
    device : "auto", "cpu" or "cuda"
        Processor that computes; "auto" takes a GPU where there is one, "cuda" insists on one.
    stop : "epochs", "half_sets" or "held_out"
        Which epoch's object is kept: the last, the one at which two halves of the counts agree best, or the one that
        predicts held-out photons best.
    patience : int, optional
        Epochs after the best one at which a cell ends; 10 with a stopping rule, none with "epochs".
    halves : "none", "counts" or "exposures"
        What two further reconstructions are made from, whose agreement tells a resolution: halves of the counts or of
        the exposures.
    threads : int
        Threads on which one cell computes; another number gives other last digits.

    Examples
    --------
    >>> Recipe(n_epochs=50, stop="half_sets").halves
    'counts'
    """

    algorithm: Algorithm = "LSQML"
    n_epochs: Epoch = 100
    batch_size: BatchSize = 96
    batching: Literal["random", "compact", "uniform"] = "random"
    noise_model: Literal["gaussian", "poisson"] = "gaussian"
    object_step_size: StepSize = 1.0
    probe_step_size: StepSize = 1.0
    momentum_gain: float = Field(default=0.0, ge=0, le=10, allow_inf_nan=False)
    object_update_start: Epoch = 1
    probe_update_start: Epoch = 1
    probe_modes: int | None = Field(default=None, ge=1, le=16)
    opr_modes: int | None = Field(default=None, ge=1, le=16)
    probe_support: float | None = Field(default=None, gt=0, lt=1)
    probe_power_photons: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    optimise_probe: bool = True
    refine_positions: bool = False
    position_update_start: Epoch = 1
    position_step_size: StepSize = 3.0
    position_limit_px: float = Field(default=5.0, gt=0, le=1000)
    on_degenerate: Literal["fail", "guarded"] = "fail"
    guarded: bool = False
    accelerated: bool = True
    device: Literal["auto", "cpu", "cuda"] = "auto"
    stop: Literal["epochs", "half_sets", "held_out"] = "epochs"
    patience: int | None = Field(default=None, ge=1, le=1_000_000)
    halves: Literal["none", "counts", "exposures"] = "none"
    threads: int = Field(default=1, ge=1, le=256)

    @property
    def n_reconstructions(self) -> int:
        """Reconstructions that run side by side: that of the full data, and what it is compared with."""
        return 1 + 2 * (self.halves != "none") + (self.stop == "held_out")

    @property
    def drift_limit_px(self) -> float:
        """The distance by which a position may move along each axis, px."""
        return self.position_limit_px if self.refine_positions else 0.0

    def n_opr_modes(self, n_of_starting_probe: int) -> int:
        """Count the OPR modes that the probe has; algorithms other than LSQML have one."""
        return (self.opr_modes or n_of_starting_probe) if self.algorithm == "LSQML" else 1

    def exposures_in_batch(self, n_exposures: int) -> int:
        """Give how many exposures a minibatch of a scan of so many has at most."""
        return n_exposures if self.batch_size == "all" else min(self.batch_size, n_exposures)

    def batching_problem(self, n_exposures: int) -> str | None:
        """Say why a scan of so many exposures cannot be divided as `batching` wants; None if it can."""
        if self.batching != "compact" or self.exposures_in_batch(n_exposures) < n_exposures:
            return None
        return f"compact minibatches of {self.batch_size} exposures need a scan of more, found {n_exposures}"

    @model_validator(mode="before")
    @classmethod
    def _no_multislice(cls, given: object) -> object:
        """Refuse by name what this program does not reconstruct."""
        named = sorted(MULTISLICE_KEYS & given.keys()) if isinstance(given, dict) else []
        if named:
            raise ValueError(
                f"{named[0]}: multislice objects are not reconstructed, an object has one slice; leave it out"
            )
        return given

    @model_validator(mode="before")
    @classmethod
    def _rule_brings_its_own(cls, given: object) -> object:
        """Fill in what a stopping rule needs and the study does not say: half sets, and an end."""
        if not isinstance(given, dict):
            return given
        rule = given.get("stop", "epochs")
        if rule == "half_sets":
            given = {"halves": "counts"} | given
        return given if rule == "epochs" else {"patience": PATIENCE} | given

    @model_validator(mode="after")
    def _rule_and_halves_agree(self) -> Recipe:
        if self.stop == "half_sets" and self.halves != "counts":
            raise ValueError(
                f"stop 'half_sets' compares halves of the counts, found halves {self.halves!r}; leave halves out, or "
                "write stop = 'epochs' or 'held_out'"
            )
        if self.stop == "epochs" and self.patience is not None:
            raise ValueError(
                f"stop 'epochs' keeps the last epoch, found patience {self.patience}; leave patience out, or write "
                "stop = 'half_sets' or 'held_out'"
            )
        return self

    @model_validator(mode="after")
    def _keys_go_together(self) -> Recipe:
        problems = list(contradictions(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self


def without_counts(recipe: Recipe) -> Recipe:
    """Give the recipe with which expected intensities are reconstructed: they hold no photons to divide or hold out.

    So the last epoch is kept, and there are no halves of the counts. All else is the same.
    """
    halves = "none" if recipe.halves == "counts" else recipe.halves
    return recipe.model_copy(update={"stop": "epochs", "patience": None, "halves": halves})


class Limits(Frozen):
    """The limits of what a cell's engine may take; a cell that exceeds one is ended. They change no number.

    Parameters
    ----------
    wall_time_s : float, optional
        Longest time of one attempt, s; if omitted there is no limit.
    memory_bytes : int, optional
        Largest resident memory of the engine's process, bytes, about 0.9e9 of which torch takes; if omitted there is no
        limit.
    room_wait_s : float
        Longest time that a cell waits for space on a full disk before it ends as `storage_failed`, s.
    """

    wall_time_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    memory_bytes: Annotated[int, Field(ge=10**8)] | None = None
    room_wait_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 12 * 3600.0


class Checkpoints(Frozen):
    """The intervals at which the state of a running cell is saved, so that it can continue after an interruption.

    They change no number. A cell that takes less than `min_seconds` saves nothing, and loses little.

    Parameters
    ----------
    every_n_epochs : int
        Epochs between two checkpoints, at least.
    min_seconds : float
        Time between two checkpoints, and before the first, at least, s.
    """

    every_n_epochs: int = Field(default=10, ge=1)
    min_seconds: float = Field(default=10.0, ge=0, allow_inf_nan=False)
