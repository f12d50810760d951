"""Says whether two groups of repeats differ by more than their spread: tests of ratios, corrected for their number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from fly64dask.base import Frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

TestName = Literal["paired_t", "welch_t", "fisher_exact", "bootstrap"]
SIGNIFICANT = 0.05  # a corrected p below it is a difference beyond the spread, the usual measure
CONFIDENCE = 0.95  # of a ratio's interval, so that it leaves out 1 where p alone is below 0.05
TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
SAME = 1e-12  # spreads of logarithms below it are rounding


class RatioTest(Frozen):
    """By what factor the numbers of a second group exceed those of a first, and whether chance alone would do that.

    `ratio` is the second's geometric mean over the first's, `low` and `high` the ends of its 95 % interval, of this
    comparison alone; an end that is absent is open. `p` is two-sided and not corrected. Where some numbers failed there
    is no ratio, and `p` is of how many did. Without a test there is no `p`, and `why` says what was lacking.
    """

    test: TestName | None = None
    n_first: int
    n_second: int
    n_failed_first: int = 0
    n_failed_second: int = 0
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    why: str | None = None


def compare_repeats(first: Sequence[float], second: Sequence[float], *, paired: bool) -> RatioTest:
    """Test whether two groups of positive numbers differ by a factor.

    Parameters
    ----------
    first, second : sequence of float
        One number for each repeat; infinite for one that failed.
    paired : bool
        Whether numbers at one place of both groups belong together, as those of two recipes on the same photons.

    Returns
    -------
    RatioTest

    Notes
    -----
    Student's t-test of the differences of logarithms if they are paired, else Welch's of the logarithms (SciPy's
    `ttest_rel` and `ttest_ind`): errors are positive and their spread goes with their size. Ranks would not serve:
    those of three repeats against three have no p below 0.1. Where a repeat of either group failed, Fisher's exact
    test of how many did: the mean of those that are left would be that of the lucky ones.
    """
    failed = [sum(math.isinf(value) for value in group) for group in (first, second)]
    counts = {
        "n_first": len(first),
        "n_second": len(second),
        "n_failed_first": failed[0],
        "n_failed_second": failed[1],
    }
    if any(failed):
        return _of_failures(counts)
    if not first or not second:
        return RatioTest(**counts, why="nothing measured")
    if min(*first, *second) <= 0:
        return RatioTest(**counts, why="a number is zero, and has no ratio")
    logs = [np.log(np.asarray(group, float)) for group in (first, second)]
    ratio = math.exp(logs[1].mean() - logs[0].mean())
    if min(len(first), len(second)) < 2:
        return RatioTest(**counts, ratio=ratio, why="one repeat tells no spread")
    spreads = [(logs[1] - logs[0]).std()] if paired else [each.std() for each in logs]
    if max(spreads) < SAME:
        return RatioTest(**counts, ratio=ratio, why="the repeats do not differ")
    from scipy.stats import ttest_ind, ttest_rel

    tested = ttest_rel(logs[1], logs[0]) if paired else ttest_ind(logs[1], logs[0], equal_var=False)
    ends = tested.confidence_interval(CONFIDENCE)
    return RatioTest(
        **counts,
        test="paired_t" if paired else "welch_t",
        ratio=ratio,
        low=math.exp(ends.low),
        high=math.exp(ends.high),
        p=float(tested.pvalue),
    )


def _of_failures(counts: dict[str, int]) -> RatioTest:
    from scipy.stats import fisher_exact

    table = [
        [counts[f"n_failed_{group}"], counts[f"n_{group}"] - counts[f"n_failed_{group}"]]
        for group in ("first", "second")
    ]
    return RatioTest(**counts, test="fisher_exact", p=float(fisher_exact(table).pvalue))


def compare_draws(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    *,
    ends_first: tuple[float, float],
    ends_second: tuple[float, float],
    n_first: int,
    n_second: int,
) -> RatioTest:
    """Test by their resamples whether two limits differ by a factor.

    Parameters
    ----------
    first, second : (n,) float64
        Logarithms of the limits of resamples; minus or plus infinite where one lies below or above all doses. Draws at
        one place of both belong together.
    ends_first, ends_second : tuple of float
        Logarithms of the lowest and the highest dose of each.
    n_first, n_second : int
        Repeats behind them.

    Returns
    -------
    RatioTest
        Without its `ratio`, which is that of the two limits.

    Notes
    -----
    A limit beyond the doses may lie anywhere beyond them, so that each draw has a lowest and a highest difference. The
    two-sided p is twice the smaller share of draws that do not, or may not, lie on one side (Efron and Tibshirani 1993,
    chapter 15), with one draw added to either: it is never below 2 / (n + 1).
    """
    low_first, high_first = _bounds(first, ends_first)
    low_second, high_second = _bounds(second, ends_second)
    least, most = low_second - high_first, high_second - low_first
    n_not_larger, n_not_smaller = int((least <= 0).sum()), int((most >= 0).sum())
    low = float(np.quantile(least, TAILS[0], method="inverted_cdf"))
    high = float(np.quantile(most, TAILS[1], method="inverted_cdf"))
    return RatioTest(
        test="bootstrap",
        n_first=n_first,
        n_second=n_second,
        low=math.exp(low) if math.isfinite(low) else None,
        high=math.exp(high) if math.isfinite(high) else None,
        p=min(1.0, 2 * (1 + min(n_not_larger, n_not_smaller)) / (len(first) + 1)),
    )


def _bounds(draws: NDArray[np.float64], ends: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and the highest that each draw may be: one beyond the doses lies anywhere beyond."""
    return np.where(draws == math.inf, ends[1], draws), np.where(draws == -math.inf, ends[0], draws)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number, so that the chance of any false difference among them keeps its bound.

    Parameters
    ----------
    p_values : sequence of float
        Of the comparisons that are looked at together.

    Returns
    -------
    list of float
        Corrected, in the same order.

    Notes
    -----
    Holm 1979, Scand. J. Statist. 6, 65: the k-th smallest of m is multiplied by m - k + 1, and is no smaller than those
    before it. It asks nothing of how the comparisons depend on each other.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
