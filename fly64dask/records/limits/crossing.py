"""Finds the lowest light at which a series reaches a target, with an interval from its repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fly64dask.records.limits.resamples import reached_level, resampled_levels

if TYPE_CHECKING:
    from numpy.typing import NDArray

Outcome = Literal["reached", "reached_already", "not_reached", "not_monotonic", "unknown"]
N_BOOTSTRAP = 999  # resamples: the ends of a 90 % interval are then its 50th and 950th of 1000 gaps
LEVEL = 0.9  # of every interval; that of the coverage that `scripts/accuracy/limits/limits.py` measures
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
# Doses not farther apart than half a decade, rounded to three digits, have a cubic between them that is known well
# enough; it was measured by `scripts/accuracy/limits/dose_steps.py`.
CLOSE_DOSES = 10**0.5 * 1.01
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
    Several objects are drawn as a whole, with their own repeats, as what differs between them is not noise; their
    deviations are scaled by sqrt(f / chi^2 of f), f one less than the objects, as a Student's interval is.

    The level of an even number of repeats, or for a high share of few, lies low: that of two is the lower one. What the
    levels of resamples lie low by is taken off, which that of the repeats themselves cannot be, so that the place may
    lie before all that the resamples give: the interval then begins there.
    """
    log_goal = float(np.log(goal))
    levels = np.log([reached_level([v for of_object in point for v in of_object], share) for point in values])
    outcome, below, first = _outcome(levels <= log_goal)
    place = float(_places(np.asarray(axis, float), levels[None, :], log_goal)[0])
    is_between = outcome in ("reached", "not_monotonic") and math.isfinite(place)
    draws = limit_draws(axis, values, goal, share=share, seed=seed, near=_near(below))
    low, high = (math.nan, math.nan) if draws is None else np.quantile(draws, TAILS, method="inverted_cdf").tolist()
    if draws is not None and is_between:
        low, high = min(low, place), max(high, place)
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
    is_scaled: bool = False,
) -> NDArray[np.float64] | None:
    """Draw `n` limits of resampled values, as `limit_along` says; None where the values tell no spread.

    The residuals are those of the points `near`; `is_scaled` widens them, as few repeats do not know their spread
    either, which matters in the far tails that comparisons are decided in. Two series with equally many numbers at each
    point draw the same ones if seed and points are the same, so that what their repeats share is in both.
    """
    rng = np.random.default_rng(seed)
    drawn = resampled_levels(values, share=share, near=near, rng=rng, n=n, is_scaled=is_scaled)
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
    for below in np.unique(last_miss[(last_miss >= 0) & (last_miss < levels.shape[1] - 1)]).tolist():
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
