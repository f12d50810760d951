"""Compares the limits of views, recipes and setups with each other, by resamples of their repeats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from fly64dask.metrics import RatioTest, compare_draws
from fly64dask.records.limits.crossing import CLOSE_DOSES, limit_draws, points_near
from fly64dask.records.limits.limit import DoseLimit, seed_of
from fly64dask.records.limits.points import Series
from fly64dask.records.significance import (
    COORDINATES,
    Axis,
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

NAMES = ("run_name", "view", "split", "recipe_name", "setup_name")  # by which series are told apart

LimitOf = tuple[Series, DoseLimit]
FluenceField = Literal["fluence_photons_per_px2", "fluence_photons_per_nm2"]


def limit_differences(
    study: Study | None, every_series: Sequence[Series], limits: Sequence[DoseLimit], target: Target
) -> tuple[Difference, ...]:
    """Say which views, recipes and setups reach a target with less light than others, beyond the spread of repeats.

    Parameters
    ----------
    study : Study or None
        The study; None if the series are of several runs, which are then compared at each view, split, recipe and
        setup. Their photons are taken to be independent: where they are the same the interval is too wide.
    every_series : sequence of Series
        All of its series for the target.
    limits : sequence of DoseLimit
        Theirs.
    target : Target
        With what it is compared with.

    Returns
    -------
    tuple of Difference
        Of the fluence at the limit where it is known of both (per nm^2 where pixels differ), else of the dose; lower is
        better.
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
    steps = [limit.first_reach / limit.last_miss for limit in limits if limit.first_reach and limit.last_miss]
    widest = max(steps, default=1.0)
    if widest > CLOSE_DOSES and any(difference.lower is not None for difference in compared):
        yield (
            f"A p is of the spread of {unit} alone: doses beside these limits are up to a factor of {widest:.3g} "
            "apart, and the limits between them are interpolated."
        )


def _pairs(study: Study | None, limit_of_each: Sequence[LimitOf], target: Target) -> Iterator[ComparedPair]:
    axes: dict[Axis, str] = COORDINATES if study is not None else {"run": "run_name"}
    for axis, coordinate in axes.items():
        pairs = list(_pairs_along(coordinate, limit_of_each))
        n_testable = sum(_obstacle(first[1], second[1]) is None for _, first, second in pairs)
        resamples = _Resamples(study=study, target=target, n=max(N_DRAWS, DRAWS_PER_PAIR * n_testable - 1))
        for place, first, second in pairs:
            yield ComparedPair(
                axis=axis,
                first=str(_name_of(first[0], coordinate)),
                second=str(_name_of(second[0], coordinate)),
                place=place,
                ratio_test=_tested(first, second, resamples),
            )


def _pairs_along(coordinate: str, limit_of_each: Sequence[LimitOf]) -> Iterator[tuple[str, LimitOf, LimitOf]]:
    """Pair the limits that differ in one coordinate, each pair with the others in words."""
    groups: dict[tuple[str, ...], list[LimitOf]] = {}
    for series, limit in limit_of_each:
        others = (name for name in NAMES if name != coordinate)
        place = tuple(str(_name_of(series, name) or "") for name in others)
        groups.setdefault(place, []).append((series, limit))
    for place, members in groups.items():
        for first, second in pairs_of(members):
            yield ", ".join(filter(None, place)), first, second


def _name_of(series: Series, coordinate: str) -> str | None:
    name: str | None = getattr(series if coordinate == "run_name" else series.cell, coordinate)
    return name


def _tested(first: LimitOf, second: LimitOf, resamples: _Resamples) -> RatioTest:
    both = (first, second)
    n_first, n_second = (limit.n_repeats for _, limit in both)
    why = _obstacle(first[1], second[1]) or _pixel_obstacle(first[0], second[0], resamples.target)
    if why is not None:
        return RatioTest(n_first=n_first, n_second=n_second, why=why)
    draws = resamples.of_both(first[0], second[0])
    if draws is None:
        alone = min(n_first, n_second) < 2
        why = "one repeat tells no spread" if alone else "the repeats do not differ"
        return RatioTest(n_first=n_first, n_second=n_second, why=why)
    field = _shared_fluence(first[0], second[0])
    shifts = [0.0 if field is None else _log_fluence_of_dose(series, field) for series, _ in both]
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


def _pixel_obstacle(first: Series, second: Series, target: Target) -> str | None:
    """Say why pixels prevent a comparison of two series; None if they do not."""
    if (_side_nm(first) is None) != (_side_nm(second) is None):
        return "the size of a pixel is known of one alone"
    in_px = target.resolution_px is not None
    return "a target in px is another length for other pixels" if in_px and _pixels_differ(first, second) else None


def _pixels_differ(first: Series, second: Series) -> bool:
    sides = [side for series in (first, second) if (side := _side_nm(series)) is not None]
    return len(sides) == 2 and not math.isclose(*sides, rel_tol=1e-6)


def _side_nm(series: Series) -> float | None:
    return next((side for point in series.points if (side := point.light.side_nm) is not None), None)


def _shared_fluence(first: Series, second: Series) -> FluenceField | None:
    """Choose the fluence that all points of two series have: per px^2, or per nm^2 where pixels differ."""
    is_nm2 = _pixels_differ(first, second)
    field: FluenceField = "fluence_photons_per_nm2" if is_nm2 else "fluence_photons_per_px2"
    has_all = all(getattr(point.light, field) for series in (first, second) for point in series.points)
    return field if has_all else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resamples:
    """Limits of resamples of series, `n` of each; those that several comparisons ask for are drawn once.

    Without a study no two series read the same photons: they are of several runs.
    """

    study: Study | None
    target: Target
    n: int
    _drawn: dict[tuple[str | None, Cell, int, int, int], Draws | None] = field(default_factory=dict)
    _near: dict[tuple[str | None, Cell], slice] = field(default_factory=dict)

    def of_both(self, first: Series, second: Series) -> tuple[Draws, Draws] | None:
        """Logarithms of the limits of two series, drawn together where the repeats of both read the same photons."""
        both = (first, second)
        near = [self._near_of(series) for series in both]
        seeds = [self._seed(series) for series in both]
        doses = [[point.light.dose for point in series.points] for series in both]
        study = self.study
        if study and doses[0] == doses[1] and realisation_of(study, first.cell) == realisation_of(study, second.cell):
            near = [slice(min(each.start for each in near), max(each.stop for each in near))] * 2
            seeds = seeds[:1] * 2
        drawn = [self._of(series, seed, points) for series, seed, points in zip(both, seeds, near, strict=True)]
        return None if drawn[0] is None or drawn[1] is None else (drawn[0], drawn[1])

    def _seed(self, series: Series) -> int:
        names = [getattr(series.cell, name) for name in ("split", *COORDINATES.values())]
        return seed_of(*names, *([] if self.study else [series.run_name]))

    def _near_of(self, series: Series) -> slice:
        key = (series.run_name, series.cell)
        if key not in self._near:
            values = [point.values for point in series.points]
            self._near[key] = points_near(values, self.target.value, share=self.target.share)
        return self._near[key]

    def _of(self, series: Series, seed: int, near: slice) -> Draws | None:
        key = (series.run_name, series.cell, seed, near.start, near.stop)
        if key not in self._drawn:
            axis = [math.log(point.light.dose) for point in series.points]
            values = [point.values for point in series.points]
            goal, share = self.target.value, self.target.share
            self._drawn[key] = limit_draws(
                axis, values, goal, share=share, seed=seed, near=near, n=self.n, is_scaled=True
            )
        return self._drawn[key]


def _log_fluence_of_dose(series: Series, field: FluenceField) -> float:
    """Mean logarithm of fluence over dose: the two are proportional within a view."""
    return fmean(math.log(getattr(point.light, field) / point.light.dose) for point in series.points)
