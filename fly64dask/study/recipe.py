"""The recipe of a study: every engine setting that can change a number, and the limits and checkpoints of a cell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fly64dask.base import Frozen

# Measured, docs/stopping.md: from 3 to 20 choose as well as all 100 epochs, and take a third of them.
PATIENCE = 10


class Recipe(Frozen):
    """Every engine setting that can change a number. Defaults: the fly64 study design.

    `on_degenerate` decides on degenerate scans alone; `guarded` puts every scan under their guard.
    `accelerated` lets the engine take faster steps than its library's own; they change last digits.
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

    algorithm: Literal["LSQML"] = "LSQML"
    n_epochs: int = Field(default=100, ge=1, le=1_000_000)
    batch_size: int = Field(default=96, ge=1, le=1_000_000)
    noise_model: Literal["gaussian", "poisson"] = "gaussian"
    optimise_probe: bool = True
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

    @model_validator(mode="before")
    @classmethod
    def _rule_brings_its_own(cls, given: Any) -> Any:
        """Fill in what a stopping rule needs and the study does not say: half sets, and an end."""
        rule = given.get("stop", "epochs") if isinstance(given, dict) else "epochs"
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


def without_counts(recipe: Recipe) -> Recipe:
    """Give the recipe with which expected intensities are reconstructed: they hold no photons to divide or hold out.

    So the last epoch is kept, and there are no halves of the counts. All else is the same.
    """
    halves = "none" if recipe.halves == "counts" else recipe.halves
    return recipe.model_copy(update={"stop": "epochs", "patience": None, "halves": halves})


class Limits(Frozen):
    """What a cell's engine may take; no limit where none is given. Limits change no number."""

    wall_time_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    memory_bytes: Annotated[int, Field(ge=10**8)] | None = None


class Checkpoints(Frozen):
    """How often a running cell writes down where it is. They change no number.

    After every n-th epoch, if at least `min_seconds` have passed since it started or last did so:
    a cell that takes less loses little and writes none.
    """

    every_n_epochs: int = Field(default=10, ge=1)
    min_seconds: float = Field(default=10.0, ge=0, allow_inf_nan=False)
