"""Decides which cells would narrow the limits of a run: doses between and beyond its own, and further repeats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fly64dask.records.limits.answer import number_words
from fly64dask.records.limits.limit import DoseLimit, dose_limit
from fly64dask.records.limits.points import DosePoint, Series, series_of
from fly64dask.study import MAX_DOSE_PHOTONS, Adaptive, Addition, Study, Target, n_added_cells, resolved_target

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow

# All our choice.
BEYOND = 100.0  # how far below the study's lowest dose, and above its highest, doses are added
ALONE_RATIO = 10.0  # between the doses of a study that has one
MOST_REPEATS = 32  # of one dose
DIGITS = 3  # of a dose that is added: its directory is named by it


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The width of the limit of a view, split and recipe, and what would narrow it.

    `width` is the interval's high over its low end, infinite where an end is beyond the doses; without repeats the
    first dose that reaches the target over the last that misses it. None where there is no limit. `is_narrow` says that
    it is within the wanted factor; else `additions` are not empty, or `obstacle` says why nothing can be added.
    """

    limit: DoseLimit
    width: float | None
    is_narrow: bool = False
    additions: tuple[Addition, ...] = ()
    obstacle: str | None = None

    @property
    def words(self) -> str:
        """The view, split and recipe."""
        names = (self.limit.view, self.limit.split, self.limit.recipe_name)
        return ", ".join(name for name in names if name)

    @property
    def width_words(self) -> str:
        """The width in words."""
        if self.width is None:
            return "no limit"
        return "an open interval" if math.isinf(self.width) else _times(self.width)


def outlooks(study: Study, rows: Iterable[ManifestRow]) -> tuple[Outlook, ...]:
    """Say for each view, split and recipe of an adaptive study what would narrow its limit.

    Parameters
    ----------
    study : Study
        With `adaptive`; what was added before is in `added`.
    rows : iterable of ManifestRow
        Its committed cells, completed by their context.

    Returns
    -------
    tuple of Outlook
        In the study's order. The same rows give the same.
    """
    assert study.adaptive is not None, "only an adaptive study is asked"
    target = resolved_target(study.targets[study.adaptive.target], study)
    return tuple(
        _Decision(study, study.adaptive, series, target).outlook() for series in series_of(study, rows, target)
    )


def next_additions(study: Study, found: Sequence[Outlook]) -> tuple[Addition, ...]:
    """Choose what the next round adds: the widest limits first, as far as `max_cells` goes.

    Parameters
    ----------
    study : Study
        With `adaptive`.
    found : sequence of Outlook
        Of the same study.

    Returns
    -------
    tuple of Addition
        Empty if all limits are narrow, nothing can be added, or no cell is left.
    """
    assert study.adaptive is not None, "only an adaptive study is asked"
    room = (study.adaptive.max_cells - n_added_cells(study)) // len(study.object_seeds)
    chosen = []
    for outlook in sorted(found, key=lambda each: each.width or math.inf, reverse=True):
        for addition in outlook.additions:
            n_repeats = min(addition.n_repeats, room)
            if n_repeats:
                chosen.append(addition.model_copy(update={"n_repeats": n_repeats}))
                room -= n_repeats
    return tuple(chosen)


class _Decision:
    """What one series needs; `round` of its additions is the one after those that the study has."""

    def __init__(self, study: Study, adaptive: Adaptive, series: Series, target: Target) -> None:
        self._study, self._adaptive, self._series, self._target = study, adaptive, series, target
        self._points = series.points
        self._doses = [point.light.dose for point in series.points]
        self._limit = dose_limit(series, target)

    def outlook(self) -> Outlook:
        limit = self._limit
        if limit.outcome == "unknown":
            return self._stopped(None, f"nothing is known of its cells, {limit.why}")
        if limit.outcome == "not_monotonic":
            return self._repeated(None, self._doubtful_points(), "a higher dose misses again")
        if limit.outcome == "reached_already":
            return self._lower(math.inf, "the lowest dose reaches the target")
        if limit.outcome == "not_reached":
            floor = limit.noise_free
            if floor is not None and self._target.kind != "error_over_floor" and floor > self._target.value:
                return self._stopped(None, "data without noise miss the target too")
            return self._higher(math.inf, "the highest dose misses the target")
        return self._of_reached(limit)

    def _of_reached(self, limit: DoseLimit) -> Outlook:
        assert limit.last_miss is not None and limit.first_reach is not None, "a reached target has its bracket"
        bracket, factor = limit.first_reach / limit.last_miss, self._adaptive.factor
        between = f"between {number_words(limit.last_miss, 3)}, which misses, and {number_words(limit.first_reach, 3)}"
        if limit.interval is None:
            if bracket <= factor:
                return Outlook(limit=limit, width=bracket, is_narrow=True)
            return self._between(bracket, f"{between}, which reaches: a factor {bracket:.3g}")
        low, high = limit.interval.doses
        width = math.inf if low is None or high is None else high / low
        if width <= factor:
            return Outlook(limit=limit, width=width, is_narrow=True)
        # Resamples beyond the doses: there is nothing yet that they could cross.
        if low is None and self._nearest(limit.last_miss) == 0:
            lower = self._lower(width, "the interval begins below the lowest dose")
            if lower.additions:
                return lower
        if high is None and self._nearest(limit.first_reach) == len(self._points) - 1:
            higher = self._higher(width, "the interval ends above the highest dose")
            if higher.additions:
                return higher
        # Halved in the logarithm, a bracket of the square of the factor is one of the factor.
        if bracket > factor**2:
            return self._between(width, f"{between}, which reaches: the interval is {_times(width)}")
        points = [self._points[self._nearest(dose)] for dose in (limit.last_miss, limit.first_reach)]
        return self._repeated(
            width, points, f"the interval is {_times(width)} and the bracket only {_times(bracket)}: the spread decides"
        )

    def _between(self, width: float, why: str) -> Outlook:
        assert self._limit.last_miss is not None and self._limit.first_reach is not None, "there is a bracket"
        dose = _rounded(math.sqrt(self._limit.last_miss * self._limit.first_reach))
        if dose in self._doses:
            ends = [self._points[self._nearest(each)] for each in (self._limit.last_miss, self._limit.first_reach)]
            return self._repeated(width, ends, "no dose of three digits lies between")
        return self._added(width, [self._addition(dose, self._study.repeats, why)])

    def _lower(self, width: float, why: str) -> Outlook:
        lowest = self._doses[0]
        dose = _rounded(lowest / self._ratio)
        if dose < min(self._own_doses) / BEYOND:
            return self._stopped(width, f"{why}, two decades below the study's lowest")
        return self._added(width, [self._addition(dose, self._study.repeats, f"{why}, {number_words(lowest, 3)}")])

    def _higher(self, width: float, why: str) -> Outlook:
        if self._study.source.kind == "measured":
            return self._stopped(width, f"{why}, and photons cannot be added to a measurement")
        light = self._points[-1].light
        dose = _rounded(light.dose * self._ratio)
        if dose > max(self._own_doses) * BEYOND:
            return self._stopped(width, f"{why}, two decades above the study's highest")
        if light.photons_per_exposure * self._ratio > MAX_DOSE_PHOTONS:
            return self._stopped(width, f"{why}, and a count holds no more photons")
        return self._added(width, [self._addition(dose, self._study.repeats, f"{why}, {number_words(light.dose, 3)}")])

    def _repeated(self, width: float | None, points: Sequence[DosePoint], why: str) -> Outlook:
        """Further repeats for the wanted width, which goes with the root of their number; at most as many again."""
        needed = math.inf
        if width is not None and math.isfinite(width):
            needed = (math.log(width) / math.log(self._adaptive.factor)) ** 2
        additions = []
        for point in points:
            dose = point.cells[0].dose
            there = len(point.values[0]) if isinstance(dose, str) else self._n_repeats(point)
            most = 0 if isinstance(dose, str) else min(there, MOST_REPEATS - there)
            wanted = most if math.isinf(needed) else min(most, math.ceil(there * (needed - 1)))
            if wanted > 0 and not isinstance(dose, str):
                additions.append(self._addition(dose, wanted, why))
        if not additions:
            return self._stopped(width, f"{why}, and the doses have {MOST_REPEATS} repeats or none that are drawn")
        return self._added(width, additions)

    def _n_repeats(self, point: DosePoint) -> int:
        """Repeats that a dose of the series was given, whatever became of them."""
        return (sum(map(len, point.values)) + point.n_pending) // len(self._study.object_seeds)

    def _doubtful_points(self) -> list[DosePoint]:
        """From the first dose that reaches the target to the one after the last miss."""
        first, last = self._limit.first_reach, self._limit.last_miss
        assert first is not None and last is not None, "it is reached, and missed again"
        return list(self._points[self._nearest(first) : self._nearest(last) + 2])

    def _nearest(self, dose: float) -> int:
        return min(range(len(self._doses)), key=lambda i: abs(math.log(self._doses[i] / dose)))

    @property
    def _own_doses(self) -> list[float]:
        return [dose for dose in self._study.doses_photons if not isinstance(dose, str)]

    @property
    def _ratio(self) -> float:
        """The mean step between the study's own doses, as a factor."""
        own = self._own_doses
        return ALONE_RATIO if len(own) == 1 else (max(own) / min(own)) ** (1 / (len(own) - 1))

    def _addition(self, dose: float, n_repeats: int, reason: str) -> Addition:
        cell = self._series.cell
        return Addition(
            dose=dose,
            view=cell.view,
            split=cell.split,
            recipe_name=cell.recipe_name,
            n_repeats=n_repeats,
            round=max((each.round for each in self._study.added), default=0) + 1,
            reason=reason,
        )

    def _added(self, width: float | None, additions: Sequence[Addition]) -> Outlook:
        return Outlook(limit=self._limit, width=width, additions=tuple(additions))

    def _stopped(self, width: float | None, obstacle: str) -> Outlook:
        return Outlook(limit=self._limit, width=width, obstacle=obstacle)


def _rounded(dose: float) -> float:
    return float(f"{dose:.{DIGITS - 1}e}")


def _times(width: float) -> str:
    return "open" if math.isinf(width) else f"a factor {width:.3g}"
