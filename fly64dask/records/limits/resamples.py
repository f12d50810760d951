"""Resamples the repeats of a series: the levels that other draws of the same photons might have given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def reached_level(values: Sequence[float], share: float) -> float:
    """Give the smallest number that at least a share of some values do not exceed.

    A target is reached by that share of the values just where this level is at most the target.
    """
    return sorted(values)[rank_of(share, len(values))]


def rank_of(share: float, n: int) -> int:
    """Index, among n values in order, of the smallest that at least the share of them do not exceed."""
    return math.ceil(share * n - 1e-9) - 1


def resampled_levels(
    values: Sequence[Sequence[Sequence[float]]],
    *,
    share: float,
    near: slice,
    rng: np.random.Generator,
    n: int,
    is_scaled: bool = False,
) -> NDArray[np.float64] | None:
    """Draw logarithms of the levels of resampled values.

    Parameters
    ----------
    values : sequence of sequence of sequence of float
        For each of k points and each object the positive numbers of its repeats; infinite for a failed one.
    share : float
        Of the values that a level is not exceeded by.
    near : slice
        Points whose residuals are pooled; where they tell no spread, those of all points.
    rng : numpy.random.Generator
        Advanced.
    n : int
        Resamples.
    is_scaled : bool
        Each resample scales its residuals by sqrt(f / chi^2 of f), f their degrees of freedom: few repeats do not know
        their spread either. For a mean that gives Student's interval. Those of several objects always are.

    Returns
    -------
    (n, k) float64 or None
        None where the values tell no spread. The level of an even number, or for a high share of few, lies low: the
        mean by which it does so in the resamples is taken off.
    """
    logs = [[np.log(np.asarray(of_object, float)) for of_object in point] for point in values]
    if len(logs[0]) > 1:
        return _resampled_objects(logs, share=share, rng=rng, n=n)
    repeats = [point[0] for point in logs]
    residuals, n_free = _residuals(repeats[near])
    if not residuals.any():
        residuals, n_free = _residuals(repeats)
    if not residuals.any():
        return None
    scale = np.sqrt(n_free / rng.chisquare(n_free, n)) if is_scaled else 1.0
    drawn, quantile = [], np.quantile(residuals, share)
    for of_point in repeats:
        shape = (n, len(of_point))
        rank = rank_of(share, len(of_point))
        if np.isfinite(of_point).all():
            levels = np.sort(rng.choice(residuals, shape), axis=1)[:, rank]
            drawn.append(of_point.mean() + scale * (levels + quantile - levels.mean()))
        else:  # it has no mean
            drawn.append(np.sort(rng.choice(of_point, shape), axis=1)[:, rank])
    return np.stack(drawn, axis=1)


def _residuals(repeats: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], int]:
    """Enlarged residuals of the points that repeat without a failure, pooled; and their degrees of freedom."""
    whole = [logs for logs in repeats if len(logs) > 1 and np.isfinite(logs).all()]
    return np.concatenate([np.empty(0), *map(_enlarged, whole)]), sum(len(logs) - 1 for logs in whole)


def _enlarged(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Residuals about the mean of n numbers, with the variance of those about the mean of all."""
    residuals: NDArray[np.float64] = logs - logs.mean()
    return residuals * math.sqrt(len(logs) / (len(logs) - 1))


def _resampled_objects(
    logs: Sequence[Sequence[NDArray[np.float64]]], *, share: float, rng: np.random.Generator, n: int
) -> NDArray[np.float64] | None:
    """As `resampled_levels`, of objects that are drawn as a whole; one draw of objects serves all points.

    Deviations of the objects from their mean are enlarged as those of repeats are, and always scaled: of two or three
    objects the spread is hardly known.
    """
    if any(not len(of_object) for point in logs for of_object in point):
        return None
    n_objects = len(logs[0])
    objects = rng.integers(n_objects, size=(n, n_objects))
    scale = np.sqrt((n_objects - 1) / rng.chisquare(n_objects - 1, n))
    levels = np.empty((n, len(logs)))
    for k, point in enumerate(logs):
        is_finite = all(np.isfinite(of_object).all() for of_object in point)
        values, centre = _deviations(point) if is_finite else (point, 0.0)
        for number in range(n):
            drawn = np.concatenate([rng.choice(values[which], len(values[which])) for which in objects[number]])
            levels[number, k] = np.sort(drawn)[rank_of(share, len(drawn))]
        if is_finite:
            quantile = np.quantile(np.concatenate(values), share)
            levels[:, k] = centre + scale * (levels[:, k] + quantile - levels[:, k].mean())
    return levels


def _deviations(point: Sequence[NDArray[np.float64]]) -> tuple[list[NDArray[np.float64]], float]:
    """Enlarged deviations of each object's repeats from the mean of all objects, and that mean."""
    means = np.array([of_object.mean() for of_object in point])
    within = [_enlarged(of_object) if len(of_object) > 1 else np.zeros(1) for of_object in point]
    between = _enlarged(means)
    return [rest + offset for rest, offset in zip(within, between, strict=True)], float(means.mean())
