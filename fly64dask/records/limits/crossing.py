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
N_HALVINGS = 40  # of the step between two points: to a float's last digits
NEIGHBOURS = 2  # doses on each side of the crossing that its interpolation and its residuals are of (our choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAlong:
    """Where along an axis a series reaches its target.

    `bracket` are the last value that misses and the first that reaches it; either is None where there is none. `at` is
    the place between, `low` and `high` the ends of its interval: minus or plus infinity where resamples lie beyond the
    axis' ends, NaN without repeats. `draws` are the places of all resamples, for comparisons with other series.
    """

    outcome: Outcome
    bracket: tuple[float | None, float | None] = (None, None)
    at: float | None = None
    low: float = math.nan
    high: float = math.nan
    draws: NDArray[np.float64] | None = None


def reached_level(values: Sequence[float], share: float) -> float:
    """Give the smallest number that at least a share of some values do not exceed.

    A target is reached by that share of the values just where this level is at most the target.
    """
    return sorted(values)[math.ceil(share * len(values) - 1e-9) - 1]


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
    often. Several objects are drawn as a whole, with their own repeats, as what differs between them is not noise.
    """
    levels = np.array([reached_level([v for of_object in point for v in of_object], share) for point in values])
    outcome, below = _outcome(levels <= goal)
    place = _places(np.asarray(axis, float), levels[None, :], goal)[0]
    bracket = _bracket(axis, levels <= goal, outcome, below)
    at = float(place) if outcome in ("reached", "not_monotonic") else None
    drawn = _resampled(values, share=share, around=below, rng=np.random.default_rng(seed))
    if drawn is None:
        return LimitAlong(outcome=outcome, bracket=bracket, at=at)
    draws = _places(np.asarray(axis, float), drawn, goal)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], method="inverted_cdf")
    return LimitAlong(outcome=outcome, bracket=bracket, at=at, low=float(low), high=float(high), draws=draws)


def _outcome(reaches: NDArray[np.bool_]) -> tuple[Outcome, int]:
    """How a series reaches its goal, and the index of the last point that misses it; -1 if none does."""
    below = int(np.flatnonzero(~reaches)[-1]) if not reaches.all() else -1
    if reaches.all():
        return "reached_already", below
    if not reaches.any():
        return "not_reached", below
    return ("not_monotonic" if reaches[: below + 1].any() or not reaches[-1] else "reached"), below


def _bracket(
    axis: Sequence[float], reaches: NDArray[np.bool_], outcome: Outcome, below: int
) -> tuple[float | None, float | None]:
    if outcome == "not_monotonic":
        first = int(np.flatnonzero(reaches)[0])
        return axis[first], axis[below + 1] if below + 1 < len(axis) else None
    return (axis[below] if below >= 0 else None), (axis[below + 1] if below + 1 < len(axis) else None)


def _places(axis: NDArray[np.float64], levels: NDArray[np.float64], goal: float) -> NDArray[np.float64]:
    """Where each row of levels (m, k) last falls to the goal; -inf if all of it reaches it, inf if its end misses."""
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
    logs = np.log(levels[:, near])
    # A failed neighbour says nothing of the slope: the next point stands for it.
    if start < below:
        logs[:, 0] = np.where(np.isfinite(logs[:, 0]), logs[:, 0], logs[:, 1])
    curves = PchipInterpolator(axis[near], logs, axis=1)
    low, high = np.full(len(levels), axis[below]), np.full(len(levels), axis[below + 1])
    cubic = curves.c[:, below - start]
    for _ in range(N_HALVINGS):
        middle = (low + high) / 2
        is_above = np.polyval(cubic, middle - axis[below]) > math.log(goal)
        low, high = np.where(is_above, middle, low), np.where(is_above, high, middle)
    return high


def _resampled(
    values: Sequence[Sequence[Sequence[float]]], *, share: float, around: int, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Levels (N_BOOTSTRAP, k) of resampled values; None where nothing repeats."""
    n_objects = {len(point) for point in values}
    if max(n_objects) > 1:
        return _resampled_objects(values, share=share, rng=rng) if len(n_objects) == 1 else None
    repeats = [np.log(np.asarray(point[0], float)) for point in values]
    near = repeats[max(0, around + 1 - NEIGHBOURS) : around + 1 + NEIGHBOURS]
    whole = [logs for logs in near if len(logs) > 1 and np.isfinite(logs).all()]
    residuals = np.concatenate(
        [(logs - logs.mean()) * math.sqrt(len(logs) / (len(logs) - 1)) for logs in whole] or [[]]
    )
    if max(map(len, repeats)) == 1:
        return None
    drawn = []
    for logs in repeats:
        shape = (N_BOOTSTRAP, len(logs))
        pooled = len(residuals) > 0 and np.isfinite(logs).all()
        sample = logs.mean() + rng.choice(residuals, shape) if pooled else rng.choice(logs, shape)
        drawn.append(np.exp(np.sort(sample, axis=1)[:, math.ceil(share * len(logs) - 1e-9) - 1]))
    return np.stack(drawn, axis=1)


def _resampled_objects(
    values: Sequence[Sequence[Sequence[float]]], *, share: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Levels of resampled objects, each with resampled repeats of its own; one draw of objects serves all points."""
    n_objects = len(values[0])
    levels = np.empty((N_BOOTSTRAP, len(values)))
    for number in range(N_BOOTSTRAP):
        objects = rng.integers(n_objects, size=n_objects)
        for k, point in enumerate(values):
            drawn = np.concatenate([rng.choice(point[which], len(point[which])) for which in objects])
            levels[number, k] = reached_level(drawn.tolist(), share)
    return levels
