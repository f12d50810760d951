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

    docs/reference/recipes.md explains each.

    `algorithm` is pty-chi's LSQML, rPIE, ePIE or DM (difference map). `noise_model` is what LSQML maximises the
    likelihood of; the others replace amplitudes. `batch_size` is exposures a minibatch, or "all"; DM updates once an
    epoch, and computes so many exposures at once. `batching` says which: "random", "compact" (neighbours; LSQML then
    updates the object once an epoch), or "uniform" (random and spread out). `object_step_size` and `probe_step_size`
    multiply each update. `momentum_gain` is LSQML's: of the probe, and of the object with compact batches.
    `object_update_start` and `probe_update_start` are the first epochs, from 1, that change them. `probe_modes` is how
    many mutually incoherent modes the probe has, made from the starting probe's first if it has another number.

    `opr_modes` is the same of orthogonal probe relaxation, by which LSQML lets the probe change from exposure to
    exposure. `probe_support` zeroes the probe where its blurred amplitude is below that share of the largest, and
    `probe_power_photons` holds the photons that light an exposure, after each epoch. `refine_positions` moves positions
    from `position_update_start` on: by `position_step_size` times the gradient's step, 0.1 px at most in each update,
    and never further than `position_limit_px` along an axis. What is guarded has one OPR mode and no moved position.

    `on_degenerate` decides on degenerate scans alone; `guarded` puts every scan under their guard, under which
    minibatches are random and updates start at once.
    `accelerated` lets LSQML take faster steps than its library's own; they change last digits.
    `stop` says which epoch's object is kept: the last, the one at which two halves of the counts
    agree best, or the one that predicts held-out photons best. `patience` ends a cell that many epochs
    after the best one; a rule brings one of 10. `halves` says what the two reconstructions are made
    from that a half-set resolution compares. `threads` is what a cell computes on: more than one
    is for a big cell alone, and its last digits then differ from run to run.

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
    """The limits of what a cell's engine may take; no limit where none is given. Limits change no number."""

    wall_time_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    memory_bytes: Annotated[int, Field(ge=10**8)] | None = None


class Checkpoints(Frozen):
    """The intervals at which a running cell writes down where it is. They change no number.

    After every n-th epoch, if at least `min_seconds` have passed since it started or last did so:
    a cell that takes less loses little and writes none.
    """

    every_n_epochs: int = Field(default=10, ge=1)
    min_seconds: float = Field(default=10.0, ge=0, allow_inf_nan=False)
