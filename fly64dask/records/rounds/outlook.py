"""Decides what would narrow the limit of one series: a dose between or beyond its own, or further repeats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fly64dask.base import counted
from fly64dask.records.limits import CLOSE_DOSES, DoseLimit, DosePoint, Series, dose_limit, number_words
from fly64dask.records.rounds.allocation import fair_number, shared_repeats
from fly64dask.study import MAX_DOSE_PHOTONS, Adaptive, Addition, Repeats, Study, Target

# All our choice.
BEYOND = 100.0  # how far below the study's lowest dose, and above its highest, doses are added
LONGEST_STEP = 10.0  # of a dose beyond others
MOST_REPEATS = 1000  # of one dose, as of a study
FEW_REPEATS = 32  # of one dose where more of them may not help
DIGITS = 3  # of a dose that is added: its directory is named by it


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The width of the limit of a view, split, recipe and setup, and what would narrow it.

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
        """The view, split, recipe and setup."""
        names = (self.limit.view, self.limit.split, self.limit.recipe_name, self.limit.setup_name)
        return ", ".join(name for name in names if name)

    @property
    def width_words(self) -> str:
        """The width in words."""
        if self.width is None:
            return "no limit"
        if math.isinf(self.width):
            return "an open interval"
        # A bracket of single cells is no interval: noise may have moved it.
        return f"{'a bracket of ' if self.limit.interval is None else ''}{_times(self.width)}"


def outlook_of(study: Study, series: Series, target: Target) -> Outlook:
    """Say what would narrow the limit of a series of an adaptive study."""
    assert study.adaptive is not None, "only an adaptive study is asked"
    return _Decision(study, study.adaptive, series, target).outlook()


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
            return self._doubled(None, self._doubtful_points(), "a higher dose misses again")
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
        is_close = bracket <= CLOSE_DOSES
        # Between doses further apart the interpolation may be wrong by more than the repeats tell.
        if width <= factor and is_close:
            return self._confirmed(width)
        # Resamples beyond the doses: there is nothing yet that they could cross.
        if low is None and self._nearest(limit.last_miss) == 0:
            lower = self._lower(width, "the interval begins below the lowest dose")
            if lower.additions:
                return lower
        if high is None and self._nearest(limit.first_reach) == len(self._points) - 1:
            higher = self._higher(width, "the interval ends above the highest dose")
            if higher.additions:
                return higher
        if not is_close:
            return self._between(width, f"{between}, which reaches: the interval is {_times(width)}")
        return self._narrowed(width, bracket)

    def _confirmed(self, width: float) -> Outlook:
        """Narrow enough, unless the numbers of repeats beside the limit make it lie low (`fair_number`)."""
        repeats_of = [(point, self._fair(self._n_repeats(point))) for point in self._bracket_points()]
        why = f"the interval is {_times(width)}, but so few repeats give a level that is too low on average"
        further = self._repeated(width, repeats_of, why, most=MOST_REPEATS)
        return further if further.additions else Outlook(limit=self._limit, width=width, is_narrow=True)

    def _narrowed(self, width: float, bracket: float) -> Outlook:
        """Repeats of the two doses around the limit for the wanted width, more of that which is nearer to it."""
        limit = self._limit
        assert limit.lowest is not None and limit.last_miss is not None, "a reached target has its lowest light"
        lower, upper = self._bracket_points()
        numbers = shared_repeats(
            (self._n_repeats(lower), self._n_repeats(upper)),
            place=math.log(limit.lowest.dose / limit.last_miss) / math.log(bracket),
            shrink=0.0 if math.isinf(width) else math.log(self._adaptive.factor) / math.log(width),
        )
        # What differs between objects, or is drawn once in a measurement, becomes no less with more repeats.
        is_noise = len(self._study.object_seeds) == 1 and not self._is_measured(lower) and not self._is_measured(upper)
        why = f"the interval is {_times(width)} between doses {_times(bracket)} apart: the spread decides"
        most = MOST_REPEATS if is_noise else FEW_REPEATS
        return self._repeated(width, [(lower, numbers[0]), (upper, numbers[1])], why, most=most)

    def _doubled(self, width: float | None, points: Iterable[DosePoint], why: str) -> Outlook:
        repeats_of = [(point, 2 * self._n_repeats(point)) for point in points]
        return self._repeated(width, repeats_of, why, most=FEW_REPEATS)

    def _repeated(
        self, width: float | None, repeats_of: Sequence[tuple[DosePoint, int]], why: str, *, most: int
    ) -> Outlook:
        """Further repeats of some doses, up to the number that is wanted of each."""
        additions = []
        for point, number in repeats_of:
            dose, there = point.cells[0].dose, self._n_repeats(point)
            if point.n_pending > len(point.pooled):
                return self._stopped(width, f"{why}, and of dose {dose} most cells do not count, {self._limit.why}")
            n_further = min(self._fair(number), most) - there
            if number > there and n_further > 0 and not isinstance(dose, str):
                additions.append(self._addition(dose, n_further, why))
        if not additions:
            return self._stopped(width, f"{why}, and the doses have {counted(most, 'repeat')} or none that are drawn")
        return self._added(width, additions)

    def _between(self, width: float, why: str) -> Outlook:
        assert self._limit.last_miss is not None and self._limit.first_reach is not None, "there is a bracket"
        dose = _rounded(math.sqrt(self._limit.last_miss * self._limit.first_reach))
        if dose in self._doses:
            return self._doubled(width, self._bracket_points(), "no dose of three digits lies between")
        return self._at_new_dose(width, dose, why)

    def _lower(self, width: float, why: str) -> Outlook:
        dose = _rounded(self._doses[0] / self._step)
        if dose < min(self._own_doses) / BEYOND:
            return self._stopped(width, f"{why}, two decades below the study's lowest")
        return self._at_new_dose(width, dose, f"{why}, {number_words(self._doses[0], 3)}")

    def _higher(self, width: float, why: str) -> Outlook:
        if self._study.source.kind == "measured":
            return self._stopped(width, f"{why}, and photons cannot be added to a measurement")
        light = self._points[-1].light
        dose = _rounded(light.dose * self._step)
        if dose > max(self._own_doses) * BEYOND:
            return self._stopped(width, f"{why}, two decades above the study's highest")
        if light.photons_per_exposure * self._step > MAX_DOSE_PHOTONS:
            return self._stopped(width, f"{why}, and a count holds no more photons")
        return self._at_new_dose(width, dose, f"{why}, {number_words(light.dose, 3)}")

    def _at_new_dose(self, width: float, dose: float, why: str) -> Outlook:
        """As many repeats as the study has of a dose that is none of the series' points."""
        cell = self._series.cell
        if Repeats(self._study).at(dose, cell.view, cell.split, cell.recipe_name, cell.setup_name):
            return self._stopped(width, f"{why}, and no cell of dose {dose:g} counts, {self._limit.why}")
        repeats = self._study.repeats
        return self._added(width, [self._addition(dose, self._fair(repeats) if repeats > 1 else 1, why)])

    def _bracket_points(self) -> tuple[DosePoint, DosePoint]:
        """The last dose that misses the target, and the first that reaches it."""
        assert self._limit.last_miss is not None and self._limit.first_reach is not None, "there is a bracket"
        return self._points[self._nearest(self._limit.last_miss)], self._points[self._nearest(self._limit.first_reach)]

    def _fair(self, number: int) -> int:
        """The number of repeats to be had instead; with several objects the numbers of all are one sample."""
        return number if len(self._study.object_seeds) > 1 else fair_number(number, self._target.share)

    def _is_measured(self, point: DosePoint) -> bool:
        return isinstance(point.cells[0].dose, str)

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
    def _step(self) -> float:
        """From the last of the doses to one beyond them, as a factor: the mean of the study's own, at most a decade."""
        own = self._own_doses
        return LONGEST_STEP if len(own) == 1 else min(LONGEST_STEP, (max(own) / min(own)) ** (1 / (len(own) - 1)))

    def _addition(self, dose: float, n_repeats: int, reason: str) -> Addition:
        cell = self._series.cell
        return Addition(
            dose=dose,
            view=cell.view,
            split=cell.split,
            recipe_name=cell.recipe_name,
            setup_name=cell.setup_name,
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
