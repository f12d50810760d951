"""Compares the limits of views, recipes and setups with each other, by resamples of their repeats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from fly64dask.metrics import RatioTest, compare_draws
from fly64dask.records.limits.crossing import limit_draws, points_near
from fly64dask.records.limits.limit import DoseLimit, seed_of
from fly64dask.records.limits.points import Series
from fly64dask.records.significance import (
    COORDINATES,
    ComparedPair,
    Difference,
    difference_sentences,
    differences,
    pairs_of,
)
from fly64dask.study import Cell, Study, Target, realisation_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = NDArray[np.float64]

N_DRAWS = 1999  # so that p goes down to 0.001
DRAWS_PER_PAIR = 50  # of one axis, at least: where all draws agree, the corrected p is then 0.04

LimitOf = tuple[Series, DoseLimit]


def limit_differences(
    study: Study, every_series: Sequence[Series], limits: Sequence[DoseLimit], target: Target
) -> tuple[Difference, ...]:
    """Say which views, recipes and setups reach a target with less light than others, beyond the spread of repeats.

    Parameters
    ----------
    study : Study
        The study.
    every_series : sequence of Series
        All of its series for the target.
    limits : sequence of DoseLimit
        Theirs.
    target : Target
        With what it is compared with.

    Returns
    -------
    tuple of Difference
        Of the fluence at the limit where it is known of both, else of the dose; lower is better.
    """
    return differences(_pairs(study, list(zip(every_series, limits, strict=True)), target))


def comparison_sentences(compared: Sequence[Difference], limits: Sequence[DoseLimit], study: Study) -> Iterator[str]:
    """Say in sentences which views, recipes and setups need more light than others."""
    has_fluence = all(limit.lowest_dose is None or limit.lowest_dose.fluence_photons_per_px2 for limit in limits)
    needs = f"needs {{}} times the {'fluence' if has_fluence else 'dose'} of"
    unit = "repeats" if len(study.object_seeds) == 1 else "objects"
    for axis in dict.fromkeys(difference.axis for difference in compared):
        of_axis = [difference for difference in compared if difference.axis == axis]
        yield from difference_sentences(of_axis, needs=needs, unit=unit)


def _pairs(study: Study, limit_of_each: Sequence[LimitOf], target: Target) -> Iterator[ComparedPair]:
    for axis, coordinate in COORDINATES.items():
        pairs = list(_pairs_along(coordinate, limit_of_each))
        n_testable = sum(_obstacle(first[1], second[1]) is None for _, first, second in pairs)
        resamples = _Resamples(study=study, target=target, n=max(N_DRAWS, DRAWS_PER_PAIR * n_testable - 1))
        for place, first, second in pairs:
            yield ComparedPair(
                axis=axis,
                first=str(getattr(first[0].cell, coordinate)),
                second=str(getattr(second[0].cell, coordinate)),
                place=place,
                ratio_test=_tested(first, second, resamples),
            )


def _pairs_along(coordinate: str, limit_of_each: Sequence[LimitOf]) -> Iterator[tuple[str, LimitOf, LimitOf]]:
    """Pair the limits that differ in one coordinate, each pair with the others in words."""
    groups: dict[tuple[str, ...], list[LimitOf]] = {}
    for series, limit in limit_of_each:
        others = (name for name in ("view", "split", "recipe_name", "setup_name") if name != coordinate)
        place = tuple(str(getattr(series.cell, name) or "") for name in others)
        groups.setdefault(place, []).append((series, limit))
    for place, members in groups.items():
        for first, second in pairs_of(members):
            yield ", ".join(filter(None, place)), first, second


def _tested(first: LimitOf, second: LimitOf, resamples: _Resamples) -> RatioTest:
    both = (first, second)
    n_first, n_second = (limit.n_repeats for _, limit in both)
    why = _obstacle(first[1], second[1])
    if why is not None:
        return RatioTest(n_first=n_first, n_second=n_second, why=why)
    draws = resamples.of_both(first[0], second[0])
    if draws is None:
        alone = min(n_first, n_second) < 2
        why = "one repeat tells no spread" if alone else "the repeats do not differ"
        return RatioTest(n_first=n_first, n_second=n_second, why=why)
    has_fluence = all(point.light.fluence_photons_per_px2 for series, _ in both for point in series.points)
    shifts = [_log_fluence_of_dose(series) if has_fluence else 0.0 for series, _ in both]
    ends = [
        (math.log(series.points[0].light.dose) + shift, math.log(series.points[-1].light.dose) + shift)
        for (series, _), shift in zip(both, shifts, strict=True)
    ]
    tested = compare_draws(
        draws[0] + shifts[0],
        draws[1] + shifts[1],
        ends_first=ends[0],
        ends_second=ends[1],
        n_first=n_first,
        n_second=n_second,
    )
    at = [
        math.log(limit.lowest.dose) + shift
        for (_, limit), shift in zip(both, shifts, strict=True)
        if limit.lowest is not None
    ]
    return tested.model_copy(update={"ratio": math.exp(at[1] - at[0]) if len(at) == 2 else None})


def _obstacle(first: DoseLimit, second: DoseLimit) -> str | None:
    """Say why two limits cannot be compared; None if they can."""
    outcomes = {first.outcome, second.outcome}
    if "unknown" in outcomes:
        return "nothing is known of one"
    if "not_monotonic" in outcomes:
        return "one is not monotonic in dose"
    if outcomes == {"not_reached"}:
        return "neither is reached"
    if outcomes == {"reached_already"}:
        return "both are reached at the lowest dose already"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resamples:
    """Limits of resamples of series, `n` of each; those that several comparisons ask for are drawn once."""

    study: Study
    target: Target
    n: int
    _drawn: dict[tuple[Cell, int, int, int], Draws | None] = field(default_factory=dict)
    _near: dict[Cell, slice] = field(default_factory=dict)

    def of_both(self, first: Series, second: Series) -> tuple[Draws, Draws] | None:
        """Logarithms of the limits of two series, drawn together where the repeats of both read the same photons."""
        both = (first, second)
        near = [self._near_of(series) for series in both]
        seeds = [seed_of(*(getattr(series.cell, name) for name in ("split", *COORDINATES.values()))) for series in both]
        doses = [[point.light.dose for point in series.points] for series in both]
        if doses[0] == doses[1] and realisation_of(self.study, first.cell) == realisation_of(self.study, second.cell):
            near = [slice(min(each.start for each in near), max(each.stop for each in near))] * 2
            seeds = seeds[:1] * 2
        drawn = [self._of(series, seed, points) for series, seed, points in zip(both, seeds, near, strict=True)]
        return None if drawn[0] is None or drawn[1] is None else (drawn[0], drawn[1])

    def _near_of(self, series: Series) -> slice:
        if series.cell not in self._near:
            values = [point.values for point in series.points]
            self._near[series.cell] = points_near(values, self.target.value, share=self.target.share)
        return self._near[series.cell]

    def _of(self, series: Series, seed: int, near: slice) -> Draws | None:
        key = (series.cell, seed, near.start, near.stop)
        if key not in self._drawn:
            axis = [math.log(point.light.dose) for point in series.points]
            values = [point.values for point in series.points]
            goal, share = self.target.value, self.target.share
            self._drawn[key] = limit_draws(
                axis, values, goal, share=share, seed=seed, near=near, n=self.n, is_scaled=True
            )
        return self._drawn[key]


def _log_fluence_of_dose(series: Series) -> float:
    """Mean logarithm of fluence over dose: the two are proportional within a view."""
    return fmean(
        math.log(point.light.fluence_photons_per_px2 / point.light.dose)
        for point in series.points
        if point.light.fluence_photons_per_px2
    )
