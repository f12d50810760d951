"""The lowest light at which each view of a run reaches a target, as a record with its interval."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from fly64dask.base import Frozen
from fly64dask.records.limits.crossing import LEVEL, LimitAlong, Outcome, limit_along
from fly64dask.records.limits.points import DosePoint, Light, Series
from fly64dask.records.limits.resamples import reached_level
from fly64dask.study import Split, Target


class SeriesCoordinates(Frozen):
    """The cells that a limit is of: all doses, repeats and objects of one view, split, recipe and setup of a run.

    The run is named where several are asked.
    """

    run_name: str | None = None
    view: str
    split: Split
    recipe_name: str | None = None
    setup_name: str | None = None

    @property
    def made_by(self) -> str:
        """Names of run, recipe and setup, where there are several of them; else empty."""
        return ", ".join(filter(None, (self.run_name, self.recipe_name, self.setup_name)))


class Interval(Frozen):
    """The interval in which a limit lies with the confidence of `level`; an end beyond the study's doses is absent."""

    level: float = LEVEL
    low: Light | None = None
    high: Light | None = None

    @property
    def doses(self) -> tuple[float | None, float | None]:
        """The interval's ends in the study's unit."""
        return (None if self.low is None else self.low.dose, None if self.high is None else self.high.dose)


class DoseLimit(SeriesCoordinates):
    """The lowest light at which a view reaches a target.

    `last_miss` is the last dose that misses the target and `first_reach` the first that reaches it, both in the study's
    unit. `outcome` is `reached` where the one lies below the other; `reached_already` by the lowest dose; `not_reached`
    up to the highest; `not_monotonic` where a higher dose misses again, so that `lowest` is above the last miss;
    `unknown` where nothing was measured. `interval` is absent where it is not `reached`, without repeats that differ,
    and where an object has no number at a dose; `n_beside` are the fewest numbers of one of the two doses beside a
    limit that is `reached`, so that an interval tells from how many. `best` is the level of the highest dose, and
    `noise_free` that of the noise-free cells, `empty` the phase error of an empty object, all in the target's unit;
    infinite ones are absent. `n_pending` cells have no number that counts, and `why` says for which reasons: not ended,
    of an older study, damaged, failed in a way that may pass, not measured.
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
    empty: float | None = Field(default=None, allow_inf_nan=False)
    linear_overlap: float | None = None
    step_px: float | None = None
    n_kept: int | None = None
    n_repeats: int = 0
    n_beside: int | None = None
    n_pending: int = 0


def dose_limit(series: Series, target: Target) -> DoseLimit:
    """Find the lowest light at which a series reaches a target."""
    points, cell = series.points, series.cell
    facts = {
        "run_name": series.run_name,
        "view": cell.view,
        "split": cell.split,
        "recipe_name": cell.recipe_name,
        "setup_name": cell.setup_name,
        "linear_overlap": series.linear_overlap,
        "step_px": series.step_px,
        "n_kept": series.n_kept,
        "noise_free": _finite(series.noise_free),
        "empty": _finite(series.empty),
        "n_pending": sum(series.pending.values()),
        "why": ", ".join(f"{number} {reason}" for reason, number in series.pending.items()) or None,
    }
    if not points:
        return DoseLimit.model_validate(facts | {"outcome": "unknown"})
    dose_at = {math.log(point.light.dose): point.light.dose for point in points}
    limit = limit_along(
        list(dose_at),
        [point.values for point in points],
        target.value,
        share=target.share,
        seed=seed_of(cell.view, cell.split, cell.recipe_name, *filter(None, [cell.setup_name])),
    )
    return DoseLimit.model_validate(
        facts
        | {
            "outcome": limit.outcome,
            "lowest": light_at([point.light for point in points], limit.at),
            "interval": _interval(points, limit),
            "last_miss": None if limit.last_miss is None else dose_at[limit.last_miss],
            "first_reach": None if limit.first_reach is None else dose_at[limit.first_reach],
            "lowest_dose": points[0].light,
            "highest_dose": points[-1].light,
            "best": _finite(reached_level(points[-1].pooled, target.share)),
            "n_repeats": min(len(point.pooled) for point in points),
            "n_beside": _fewest_beside(points, limit),
        }
    )


def seed_of(*names: object) -> int:
    """Give the seed of a limit's resamples: the same run gives the same interval, and no two limits the same draws."""
    return zlib.crc32(repr(names).encode())


def light_at(lights: Sequence[Light], log_dose: float | None) -> Light | None:
    """Give the light at a dose between some, on straight lines in logarithms; None beyond them."""
    if log_dose is None or not math.isfinite(log_dose):
        return None
    return lights_at(lights, [log_dose])[0]


def lights_at(lights: Sequence[Light], log_doses: Sequence[float]) -> list[Light]:
    """Give the light at several doses between some, as `light_at` does."""
    axis = [math.log(light.dose) for light in lights]
    known: dict[str, list[float]] = {"dose": [math.exp(log_dose) for log_dose in log_doses]}
    for name in Light.model_fields.keys() - {"dose"}:
        numbers = [getattr(light, name) for light in lights]
        if all(number is not None for number in numbers):
            known[name] = [math.exp(log) for log in np.interp(log_doses, axis, np.log(numbers)).tolist()]
    return [Light.model_validate(dict(zip(known, each, strict=True))) for each in zip(*known.values(), strict=True)]


def _fewest_beside(points: Sequence[DosePoint], limit: LimitAlong) -> int | None:
    if limit.outcome != "reached":
        return None
    beside = (limit.last_miss, limit.first_reach)
    return min(len(point.pooled) for point in points if math.log(point.light.dose) in beside)


def _interval(points: Sequence[DosePoint], limit: LimitAlong) -> Interval | None:
    if not limit.has_interval:
        return None
    lights = [point.light for point in points]
    return Interval(low=light_at(lights, limit.low), high=light_at(lights, limit.high))


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
