"""The lowest overlap at which the views of a run reach a target on equal fluence, as a record with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import TypeVar

import numpy as np

from fly64dask.base import Frozen
from fly64dask.records.limits.crossing import LEVEL, Outcome, limit_along
from fly64dask.records.limits.limit import seed_of
from fly64dask.records.limits.points import Series
from fly64dask.study import Split, Study, Target

T = TypeVar("T")

# Views whose beams lie so close are one place on the axis of overlap (our choice).
MIN_OVERLAP_STEP = 1e-3
# Where the views' doses share so wide a range of fluence, its ends are looked at beside its middle (our choice).
WIDE_RANGE = 4.0


class OverlapInterval(Frozen):
    """The interval in which a limit lies with the confidence of `level`; an end beyond the study's views is absent."""

    level: float = LEVEL
    low: float | None = None
    high: float | None = None


class OverlapLimit(Frozen):
    """The lowest linear overlap at which a split and recipe of a run reach a target with one fluence.

    `outcome` is as of a `DoseLimit`, along the views in order of overlap: `last_miss` and `first_reach` are the
    overlaps of two views. Of views that overlap alike `views` has the first. `fluence_photons_per_px2` is a dose of
    the study where it counts fluence; elsewhere each view's numbers are interpolated between its doses, straight in
    logarithms.
    """

    run_name: str | None = None
    split: Split
    recipe_name: str | None = None
    setup_name: str | None = None
    fluence_photons_per_px2: float
    views: tuple[str, ...]
    outcome: Outcome
    lowest: float | None = None
    interval: OverlapInterval | None = None
    last_miss: float | None = None
    first_reach: float | None = None


def overlap_limits(study: Study, every_series: Iterable[Series], target: Target) -> tuple[OverlapLimit, ...]:
    """Find the lowest overlap of each split, recipe and setup for some fluences that the views share.

    Parameters
    ----------
    study : Study
        The study.
    every_series : iterable of Series
        All of its series for the target.
    target : Target
        With what it is compared with.

    Returns
    -------
    tuple of OverlapLimit
        None where fewer than two views share a fluence, or all repeats beside it failed.
    """
    groups: dict[tuple[Split, str | None, str | None], list[Series]] = {}
    for series in every_series:
        if series.linear_overlap is not None and _lit_points(series):
            cell = series.cell
            groups.setdefault((cell.split, cell.recipe_name, cell.setup_name), []).append(series)
    ordered = [apart(views, lambda each: each.linear_overlap or 0.0) for views in groups.values()]
    limits = (
        _overlap_limit(views, target, fluence)
        for views in ordered
        if len(views) > 1
        for fluence in _shared_fluences(study, views)
    )
    return tuple(limit for limit in limits if limit is not None)


def _overlap_limit(views: Sequence[Series], target: Target, fluence: float) -> OverlapLimit | None:
    axis = [view.linear_overlap for view in views if view.linear_overlap is not None]
    values = [of_view for view in views if (of_view := _values_at(view, fluence)) is not None]
    if len(values) < len(views):
        return None
    cell = views[0].cell
    seed = seed_of(cell.split, cell.recipe_name, *filter(None, [cell.setup_name]), fluence)
    limit = limit_along(axis, values, target.value, share=target.share, seed=seed)
    return OverlapLimit(
        run_name=views[0].run_name,
        split=cell.split,
        recipe_name=cell.recipe_name,
        setup_name=cell.setup_name,
        fluence_photons_per_px2=fluence,
        views=tuple(view.cell.view for view in views),
        outcome=limit.outcome,
        lowest=limit.at,
        interval=OverlapInterval(low=_finite(limit.low), high=_finite(limit.high)) if limit.has_interval else None,
        last_miss=limit.last_miss,
        first_reach=limit.first_reach,
    )


def _lit_points(series: Series) -> list[tuple[float, tuple[tuple[float, ...], ...]]]:
    """Fluence and numbers of each point that has both."""
    return [
        (fluence, point.values)
        for point in series.points
        if (fluence := point.light.fluence_photons_per_px2) is not None
    ]


def apart(views: Iterable[T], overlap_of: Callable[[T], float]) -> list[T]:
    """Sort views by overlap, and leave out those that overlap as the one before."""
    kept: list[T] = []
    for view in sorted(views, key=overlap_of):
        if not kept or overlap_of(view) - overlap_of(kept[-1]) > MIN_OVERLAP_STEP:
            kept.append(view)
    return kept


def _shared_fluences(study: Study, views: Sequence[Series]) -> list[float]:
    """Fluences at which every view has numbers: the study's own doses if they count it, else of the shared range."""
    ranges = [[fluence for fluence, _ in _lit_points(view)] for view in views]
    low, high = max(map(min, ranges)), min(map(max, ranges))
    if study.dose_by == "fluence":
        # What falls on a view differs from the dose by shot noise.
        return [dose for dose in study.doses_photons if not isinstance(dose, str) and low * 0.9 <= dose <= high * 1.1]
    if low > high:
        return []
    middle = math.sqrt(low * high)
    return [low, middle, high] if high > WIDE_RANGE * low else [middle]


def _values_at(series: Series, fluence: float) -> tuple[tuple[float, ...], ...] | None:
    """Numbers of each object's repeats at a fluence between two doses: those of the nearer, moved along the mean.

    Parameters
    ----------
    series : Series
        With two points or more around the fluence, or one at it.
    fluence : float
        In photons/px^2; within the range of the series but for shot noise.

    Returns
    -------
    tuple of tuple of float, or None
        Failed repeats stay infinite. None if all of a dose beside the fluence failed: nothing then says how far the
        others move.
    """
    points = _lit_points(series)
    logs = np.log([each for each, _ in points])
    place = float(np.clip(math.log(fluence), logs[0], logs[-1]))
    nearest = int(np.argmin(np.abs(logs - place)))
    shift = float(np.interp(place, logs, [_mean_log(values) for _, values in points])) - _mean_log(points[nearest][1])
    if math.isnan(shift):
        return None
    return tuple(tuple(value * math.exp(shift) for value in of_object) for of_object in points[nearest][1])


def _mean_log(values: Sequence[Sequence[float]]) -> float:
    """Mean logarithm of the numbers that are finite; NaN without any."""
    logs = [math.log(value) for of_object in values for value in of_object if math.isfinite(value)]
    return fmean(logs) if logs else math.nan


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
