"""Shares further repeats between the two doses around a limit, so that few cells narrow it most."""

from __future__ import annotations

import math

# Numbers of repeats that are looked at for one whose level is at the wanted share (our choice).
N_TRIED = 10


def shared_repeats(there: tuple[int, int], place: float, shrink: float) -> tuple[int, int]:
    """Give the repeats with which the interval of a limit between two doses becomes narrow enough.

    Parameters
    ----------
    there : tuple of int
        Repeats that the lower and the upper dose have, at least one each.
    place : float
        Where the limit lies between them in the logarithm of the dose: from 0 at the lower to 1 at the upper.
    shrink : float
        The wanted width of the interval over that which it has, both as logarithms; 0 where it is open.

    Returns
    -------
    tuple of int
        Repeats of both doses; together at most twice as many as before, as their spread is known from these alone.

    Notes
    -----
    On a straight line between two levels the limit's variance is that of one repeat times sum(w_i^2 / n_i), with the
    weights w_i = 1 - place and place. For a number of repeats in all it is smallest if they are as the weights (Neyman
    1934, J. R. Stat. Soc. 97, 558).
    """
    weights = (1 - place, place)
    wanted, total = shrink**2 * _variance(there, weights), sum(there)
    numbers = there
    for n_further in range(1, total + 1):
        lower = min(max(round(weights[0] * (total + n_further)), there[0]), there[0] + n_further)
        numbers = (lower, total + n_further - lower)
        if _variance(numbers, weights) <= wanted:
            break
    return numbers


def _variance(numbers: tuple[int, int], weights: tuple[float, float]) -> float:
    return sum(weight**2 / number for weight, number in zip(weights, numbers, strict=True))


def fair_number(n: int, share: float) -> int:
    """Give the next number of repeats, from n on, whose level lies near the wanted share of all that could be drawn.

    The k-th of n numbers has k / (n + 1) of all below it in the mean: the level of an even number lies below their
    median, that of an odd one at it. With a share of 1 each number is as good.
    """
    if share == 1:
        return n
    return min(range(n, n + N_TRIED), key=lambda number: (round(_off(number, share), 6), number))


def _off(n: int, share: float) -> float:
    return abs(math.ceil(share * n - 1e-9) / (n + 1) - share)
