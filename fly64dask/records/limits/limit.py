"""The lowest light at which each view of a run reaches a target, as a record with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from fly64dask.base import Frozen
from fly64dask.records.limits.crossing import LEVEL, LimitAlong, Outcome, limit_along, reached_level
from fly64dask.records.limits.points import DosePoint, Light, Series, series_of
from fly64dask.study import Split, Study, Target

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow

SEED = 0  # of the resamples: the same run gives the same interval


class SeriesCoordinates(Frozen):
    """Which cells a limit is of: all doses, repeats and objects of one view, split and recipe."""

    view: str
    split: Split
    recipe_name: str | None = None


class Interval(Frozen):
    """Where a limit lies with the confidence of `level`; an end beyond the study's doses is absent."""

    level: float = LEVEL
    low: Light | None = None
    high: Light | None = None

    @property
    def doses(self) -> tuple[float | None, float | None]:
        """Its ends in the study's unit."""
        return (None if self.low is None else self.low.dose, None if self.high is None else self.high.dose)


class DoseLimit(SeriesCoordinates):
    """The lowest light at which a view reaches a target.

    `outcome` is `reached` between `last_miss` and `first_reach`, both doses in the study's unit; `reached_already` by
    the lowest dose; `not_reached` up to the highest; `not_monotonic` where a higher dose misses again, so that `lowest`
    is the one above the last miss; `unknown` where nothing was measured, of which `why` says the reason. `interval` is
    absent without repeats. `best` is the level of the highest dose, and `noise_free` that of the noise-free cells, both
    in the target's unit; infinite ones are absent. `n_pending` cells have not ended or are not of the study as it is
    now.
    """

    outcome: Outcome
    why: str | None = None
    lowest: Light | None = None
    interval: Interval | None = None
    last_miss: float | None = None
    first_reach: float | None = None
    lowest_dose: Light | None = None
    highest_dose: Light | None = None
    best: float | None = Field(default=None, allow_inf_nan=False)
    noise_free: float | None = Field(default=None, allow_inf_nan=False)
    linear_overlap: float | None = None
    step_px: float | None = None
    n_kept: int | None = None
    n_repeats: int = 0
    n_pending: int = 0


def dose_limits(study: Study, rows: Iterable[ManifestRow], target: Target) -> tuple[DoseLimit, ...]:
    """Find the lowest light of each view, split and recipe.

    Parameters
    ----------
    study : Study
        The study.
    rows : iterable of ManifestRow
        Its committed cells, completed by their context.
    target : Target
        With what it is compared with.

    Returns
    -------
    tuple of DoseLimit
        In the study's order.
    """
    return tuple(dose_limit(series, target) for series in series_of(study, rows, target))


def dose_limit(series: Series, target: Target) -> DoseLimit:
    """Find the lowest light at which a series reaches a target."""
    points = series.points
    facts = {
        "view": series.cell.view,
        "split": series.cell.split,
        "recipe_name": series.cell.recipe_name,
        "linear_overlap": series.linear_overlap,
        "step_px": series.step_px,
        "n_kept": series.n_kept,
        "noise_free": _finite(series.noise_free),
        "n_pending": sum(point.n_pending for point in points),
    }
    if not points:
        return DoseLimit.model_validate(facts | {"outcome": "unknown", "why": _why_unknown(series)})
    found = along_dose(series, target)
    below, above = found.bracket
    return DoseLimit.model_validate(
        facts
        | {
            "outcome": found.outcome,
            "lowest": light_at([point.light for point in points], found.at),
            "interval": _interval(points, found),
            "last_miss": None if below is None else math.exp(below),
            "first_reach": None if above is None else math.exp(above),
            "lowest_dose": points[0].light,
            "highest_dose": points[-1].light,
            "best": _finite(reached_level(points[-1].pooled, target.share)),
            "n_repeats": min(len(point.pooled) for point in points),
        }
    )


def along_dose(series: Series, target: Target) -> LimitAlong:
    """Find where along the logarithm of the dose a series with points reaches a target."""
    return limit_along(
        [math.log(point.light.dose) for point in series.points],
        [point.values for point in series.points],
        target.value,
        share=target.share,
        seed=SEED,
    )


def light_at(lights: Sequence[Light], log_dose: float | None) -> Light | None:
    """Give the light at a dose between some, on straight lines in logarithms; None beyond them."""
    if log_dose is None or not math.isfinite(log_dose):
        return None
    axis = [math.log(light.dose) for light in lights]
    known: dict[str, float] = {"dose": math.exp(log_dose)}
    for name in Light.model_fields.keys() - {"dose"}:
        numbers = [getattr(light, name) for light in lights]
        if all(number is not None for number in numbers):
            known[name] = math.exp(np.interp(log_dose, axis, np.log(numbers)))
    return Light.model_validate(known)


def _interval(points: Sequence[DosePoint], found: LimitAlong) -> Interval | None:
    if found.draws is None or found.outcome in ("not_monotonic", "unknown"):
        return None
    lights = [point.light for point in points]
    return Interval(low=light_at(lights, found.low), high=light_at(lights, found.high))


def _why_unknown(series: Series) -> str:
    if not series.failures:
        return "no cell has ended"
    kinds = ", ".join(f"{number} {kind}" for kind, number in series.failures.items())
    return f"its cells have no reconstruction: {kinds}"


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
