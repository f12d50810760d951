"""Finds the lowest light at which a series reaches a target, with an interval from its repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Outcome = Literal["reached", "reached_already", "not_reached", "not_monotonic", "unknown"]
N_BOOTSTRAP = 999  # resamples: the ends of a 90 % interval are then its 50th and 950th of 1000 gaps
LEVEL = 0.9  # of every interval; that of the coverage that `scripts/bench_limits.py` measures
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
N_HALVINGS = 40  # of the step between two points: to a float's last digits
NEIGHBOURS = 2  # doses on each side of the crossing that its interpolation and its residuals are of (our choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAlong:
    """The place along an axis at which a series reaches its target.

    `last_miss` is the last place that misses it, `first_reach` the first that reaches it; each is None where there is
    none. `at` is where it is reached for good, between two places. `low` and `high` are the ends of its interval: minus
    or plus infinity where resamples lie beyond the axis' ends, NaN where no spread is known. `draws` are the places of
    all resamples.
    """

    outcome: Outcome
    last_miss: float | None
    first_reach: float | None
    at: float | None
    low: float = math.nan
    high: float = math.nan
    draws: NDArray[np.float64] | None = None

    @property
    def has_interval(self) -> bool:
        """Whether the ends say where the limit lies: it is reached once, and not all resamples lie on one side."""
        return self.outcome == "reached" and self.low < math.inf and self.high > -math.inf


def reached_level(values: Sequence[float], share: float) -> float:
    """Give the smallest number that at least a share of some values do not exceed.

    A target is reached by that share of the values just where this level is at most the target.
    """
    return sorted(values)[_rank(share, len(values))]


def _rank(share: float, n: int) -> int:
    """Index, among n values in order, of the smallest that at least the share of them do not exceed."""
    return math.ceil(share * n - 1e-9) - 1


def limit_along(
    axis: Sequence[float], values: Sequence[Sequence[Sequence[float]]], goal: float, *, share: float, seed: int
) -> LimitAlong:
    """Find where along an axis the level of a share of the values falls to a goal.

    Parameters
    ----------
    axis : sequence of float, (k,)
        Increasing; such as logarithms of doses.
    values : sequence of sequence of sequence of float
        For each point of the axis and each object the positive numbers of its repeats; infinite for a failed one.
    goal : float
        Reached by values that are not larger.
    share : float
        Of the values that must reach it.
    seed : int
        Of the resamples.

    Returns
    -------
    LimitAlong

    Notes
    -----
    The place is that where a monotone cubic (Fritsch and Carlson 1980, SIAM J. Numer. Anal. 17, 238: SciPy's PCHIP)
    through the logarithms of the levels of two points on each side crosses the goal: a straight line is too high by a
    tenth where doses are a decade apart and the error bends to its floor. Where the level before is infinite the place
    is the first point that reaches the goal.

    The interval holds 90 % of the places that resamples give. Residuals of the logarithms about their mean, enlarged by
    sqrt(n / (n - 1)) and pooled over the points around the crossing, are drawn with replacement for each repeat (Efron
    and Tibshirani 1993, An Introduction to the Bootstrap, chapter 9): three repeats alone would resample themselves too
    often. Where these points do not repeat, or their repeats do not differ, the residuals are those of all points.
    Several objects are drawn as a whole, with their own repeats, as what differs between them is not noise.
    """
    log_goal = float(np.log(goal))
    levels = np.log([reached_level([v for of_object in point for v in of_object], share) for point in values])
    outcome, below, first = _outcome(levels <= log_goal)
    place = float(_places(np.asarray(axis, float), levels[None, :], log_goal)[0])
    is_between = outcome in ("reached", "not_monotonic") and math.isfinite(place)
    draws = limit_draws(axis, values, goal, share=share, seed=seed, near=_near(below))
    low, high = (math.nan, math.nan) if draws is None else np.quantile(draws, TAILS, method="inverted_cdf").tolist()
    return LimitAlong(
        outcome=outcome,
        last_miss=axis[below] if below >= 0 else None,
        first_reach=axis[first] if first < len(axis) else None,
        at=place if is_between else None,
        low=low,
        high=high,
        draws=draws,
    )


def limit_draws(
    axis: Sequence[float],
    values: Sequence[Sequence[Sequence[float]]],
    goal: float,
    *,
    share: float,
    seed: int,
    near: slice,
    n: int = N_BOOTSTRAP,
) -> NDArray[np.float64] | None:
    """Draw `n` limits of resampled values, as `limit_along` says; None where the values tell no spread.

    The residuals are those of the points `near`. Two series with equally many numbers at each point draw the same ones
    if seed and points are the same, so that what their repeats share is in both.
    """
    drawn = _resampled(values, share=share, near=near, rng=np.random.default_rng(seed), n=n)
    return None if drawn is None else _places(np.asarray(axis, float), drawn, float(np.log(goal)))


def points_near(values: Sequence[Sequence[Sequence[float]]], goal: float, *, share: float) -> slice:
    """Say which points stand around the place where a series reaches its goal."""
    levels = [reached_level([v for of_object in point for v in of_object], share) for point in values]
    return _near(_outcome(np.array(levels) <= goal)[1])


def _near(below: int) -> slice:
    """Points on each side of the crossing after the point `below`."""
    return slice(max(0, below + 1 - NEIGHBOURS), below + 1 + NEIGHBOURS)


def _outcome(reaches: NDArray[np.bool_]) -> tuple[Outcome, int, int]:
    """How a series reaches its goal, with the indices of the last point that misses it and the first that reaches it.

    The first is -1, the second the number of points, where there is no such point.
    """
    misses, hits = np.flatnonzero(~reaches), np.flatnonzero(reaches)
    below = int(misses[-1]) if len(misses) else -1
    first = int(hits[0]) if len(hits) else len(reaches)
    if not len(misses):
        return "reached_already", below, first
    if not len(hits):
        return "not_reached", below, first
    return ("reached" if below < first else "not_monotonic"), below, first


def _places(axis: NDArray[np.float64], levels: NDArray[np.float64], goal: float) -> NDArray[np.float64]:
    """Where each row of levels (m, k) last falls to the goal; -inf if all of it reaches it, inf if its end misses.

    Levels and goal are logarithms.
    """
    misses = levels > goal
    last_miss = np.where(misses.any(axis=1), levels.shape[1] - 1 - misses[:, ::-1].argmax(axis=1), -1)
    places = np.where(last_miss < 0, -math.inf, math.inf)
    for below in range(levels.shape[1] - 1):
        rows = last_miss == below
        is_finite = np.isfinite(levels[:, below])
        places[rows & ~is_finite] = axis[below + 1]
        rows &= is_finite
        if rows.any():
            places[rows] = _crossings(axis, levels[rows], below, goal)
    return places


def _crossings(axis: NDArray[np.float64], levels: NDArray[np.float64], below: int, goal: float) -> NDArray[np.float64]:
    """Where monotone curves through rows of levels cross the goal between the points `below` and `below + 1`."""
    from scipy.interpolate import PchipInterpolator

    start = max(0, below + 1 - NEIGHBOURS)
    near = slice(start, below + 1 + NEIGHBOURS)
    logs = levels[:, near].copy()
    # A failed neighbour says nothing of the slope: the next point stands for it.
    if start < below:
        logs[:, 0] = np.where(np.isfinite(logs[:, 0]), logs[:, 0], logs[:, 1])
    curves = PchipInterpolator(axis[near], logs, axis=1)
    low, high = np.full(len(levels), axis[below]), np.full(len(levels), axis[below + 1])
    cubic = curves.c[:, below - start]
    for _ in range(N_HALVINGS):
        middle = (low + high) / 2
        is_above = np.polyval(cubic, middle - axis[below]) > goal
        low, high = np.where(is_above, middle, low), np.where(is_above, high, middle)
    return high


def _resampled(
    values: Sequence[Sequence[Sequence[float]]], *, share: float, near: slice, rng: np.random.Generator, n: int
) -> NDArray[np.float64] | None:
    """Logarithms of the levels (n, k) of resampled values; None where the values tell no spread."""
    logs = [[np.log(np.asarray(of_object, float)) for of_object in point] for point in values]
    if len(logs[0]) > 1:
        return _resampled_objects(logs, share=share, rng=rng, n=n)
    repeats = [point[0] for point in logs]
    residuals = next((found for group in (repeats[near], repeats) if (found := _residuals(group)).any()), None)
    if residuals is None:
        return None
    drawn = []
    for of_point in repeats:
        shape = (n, len(of_point))
        # A point with a failed repeat has no mean.
        is_whole = np.isfinite(of_point).all()
        sample = of_point.mean() + rng.choice(residuals, shape) if is_whole else rng.choice(of_point, shape)
        levels = np.sort(sample, axis=1)[:, _rank(share, len(of_point))]
        if is_whole:
            levels += of_point.mean() + np.quantile(residuals, share) - levels.mean()
        drawn.append(levels)
    return np.stack(drawn, axis=1)


def _residuals(repeats: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Enlarged residuals of the points that repeat without a failure, pooled."""
    whole = [logs for logs in repeats if len(logs) > 1 and np.isfinite(logs).all()]
    return np.concatenate([np.empty(0), *(_enlarged(logs) for logs in whole)])


def _enlarged(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Residuals about the mean of n numbers, with the variance of those about the mean of all."""
    residuals: NDArray[np.float64] = logs - logs.mean()
    return residuals * math.sqrt(len(logs) / (len(logs) - 1))


def _resampled_objects(
    logs: Sequence[Sequence[NDArray[np.float64]]], *, share: float, rng: np.random.Generator, n: int
) -> NDArray[np.float64] | None:
    """As `_resampled`, of objects that are drawn as a whole; one draw of objects serves all points."""
    if any(not len(of_object) for point in logs for of_object in point):
        return None
    n_objects = len(logs[0])
    spread = [
        [each.mean() + _enlarged(each) if len(each) > 1 and np.isfinite(each).all() else each for each in point]
        for point in logs
    ]
    levels = np.empty((n, len(logs)))
    for number in range(n):
        objects = rng.integers(n_objects, size=n_objects)
        for k, point in enumerate(spread):
            drawn = np.concatenate([rng.choice(point[which], len(point[which])) for which in objects])
            levels[number, k] = np.sort(drawn)[_rank(share, len(drawn))]
    return levels
