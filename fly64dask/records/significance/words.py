"""Differences in words: which differ, by what factor with its interval, and of how many comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fly64dask.base import counted
from fly64dask.metrics import SIGNIFICANT
from fly64dask.records.significance.difference import MOST_IN_ALL_PAIRS, Difference

# An interval whose ends are closer than this factor needs a third digit.
NARROW = 1.2


def factor_words(difference: Difference) -> str:
    """Write the factor of the second over the first with its 95 % interval: `1.41 (1.35 to 1.47)`."""
    test = difference.ratio_test
    if test.test == "fisher_exact":
        return f"failed: {test.n_failed_first} of {test.n_first}, {test.n_failed_second} of {test.n_second}"
    if test.test is None:
        return "–" if test.ratio is None else _number(test.ratio)
    return _ratio_words(test.ratio, test.low, test.high)


def _ratio_words(ratio: float | None, low: float | None, high: float | None) -> str:
    """Write a factor with its interval, with as many digits as the interval means; an open end in words."""
    if low is None or high is None:
        ends = f"at least {_number(low)}" if low is not None else "any" if high is None else f"at most {_number(high)}"
        return ends if ratio is None else f"{_number(ratio)} ({ends})"
    digits = 3 if high < NARROW * low else 2
    ends = f"{_number(low, digits)} to {_number(high, digits)}"
    return ends if ratio is None else f"{_number(ratio, digits)} ({ends})"


def _number(number: float, digits: int = 2) -> str:
    rounded = float(f"{number:.{digits}g}")
    return f"{rounded:#.{digits}g}".rstrip(".") if 1e-3 < rounded < 10**digits else f"{rounded:g}"


def p_words(p: float | None) -> str:
    """Write a p with one digit; a dash without a test."""
    return "–" if p is None else f"{p:.1g}" if p < 0.1 else f"{p:.2f}"


def verdict_words(difference: Difference) -> str:
    """Say which of the two is better, that none is beyond the spread, or why nothing can be said."""
    if difference.verdict == "unknown":
        return f"nothing can be said: {difference.ratio_test.why}"
    if difference.lower is None:
        return "no difference beyond the spread"
    return f"{difference.lower} is better"


def difference_sentences(compared: Sequence[Difference], *, needs: str, unit: str = "repeats") -> Iterator[str]:
    """Say in sentences which differ beyond the spread, and which do not.

    Parameters
    ----------
    compared : sequence of Difference
        Of one axis.
    needs : str
        What the factor is of, as in "sparse needs 3 times the fluence of dense": `needs {} times the fluence of`.
    unit : str
        What the spread is of.

    Yields
    ------
    str
        One for each difference beyond the spread, then one for all that are not, one for pairs without a test, and one
        if they are too many to be compared in all pairs.
    """
    for difference in compared:
        if difference.lower is not None:
            corrected = f", corrected for {difference.n_compared} comparisons" if difference.n_compared > 1 else ""
            yield f"{_differing_words(difference, needs)}; p = {p_words(difference.p_corrected)}{corrected}."
    alike = [difference for difference in compared if difference.verdict == "not_beyond_spread"]
    if alike:
        n = sorted({min(difference.ratio_test.n_first, difference.ratio_test.n_second) for difference in alike})
        repeats = str(n[0]) if len(n) == 1 else f"{n[0]} to {n[-1]}"
        yield f"No difference beyond the spread of {repeats} {unit}: {'; '.join(map(_who, alike))}."
    reasons = {difference.ratio_test.why for difference in compared}
    if len(compared) > 1 and len(reasons) == 1 and None not in reasons:
        yield f"{compared[0].axis.capitalize()}s are not compared: {compared[0].ratio_test.why}."
        return
    untested = [difference for difference in compared if difference.verdict == "unknown"]
    for why in dict.fromkeys(difference.ratio_test.why for difference in untested):
        pairs = "; ".join(_who(difference) for difference in untested if difference.ratio_test.why == why)
        yield f"Not compared, as {why}: {pairs}."
    yield from _with_first_words(compared)


def summary_sentence(compared: Sequence[Difference], *, unit: str = "repeats") -> str:
    """Say how many comparisons of one axis differ beyond the spread."""
    axis, tested = compared[0].axis, [difference for difference in compared if difference.verdict != "unknown"]
    if not tested:
        return f"Nothing can be said of differences between {axis}s: {compared[0].ratio_test.why}."
    n_differ = sum(difference.lower is not None for difference in tested)
    n = min(min(difference.ratio_test.n_first, difference.ratio_test.n_second) for difference in tested)
    without = len(compared) - len(tested)
    rest = f"; {without} more without a test" if without else ""
    said = (
        f"{n_differ} of {_n_words(len(tested))} of {axis}s differ beyond the spread of {n} {unit} "
        f"(p below {SIGNIFICANT:g}, corrected for their number after Holm){rest}."
    )
    return " ".join((said, *_with_first_words(compared)))


def _with_first_words(compared: Sequence[Difference]) -> Iterator[str]:
    """Say that each is compared with the first alone, where they are too many for all pairs."""
    names = {name for difference in compared for name in (difference.first, difference.second)}
    if len(names) > MOST_IN_ALL_PAIRS:
        first, axis = compared[0].first, compared[0].axis
        yield f"Each of the {len(names) - 1} other {axis}s is compared with {first} alone, the first of them."


def _differing_words(difference: Difference, needs: str) -> str:
    test, (better, worse) = difference.ratio_test, (difference.first, difference.second)
    if test.test == "fisher_exact":
        return (
            f"{difference.first} failed in {test.n_failed_first} of {test.n_first}, {difference.second} in "
            f"{test.n_failed_second} of {test.n_second} ({difference.place})"
        )
    ratio, low, high = test.ratio, test.low, test.high
    if difference.lower == difference.second:
        better, worse = worse, better
        ratio, low, high = (None if ratio is None else 1 / ratio), _inverse(high), _inverse(low)
    return f"{worse} {needs.format(_ratio_words(ratio, low, high))} {better} ({difference.place})"


def _inverse(number: float | None) -> float | None:
    return None if number is None else 1 / number


def _who(difference: Difference) -> str:
    return f"{difference.first} and {difference.second} ({difference.place})"


def _n_words(n: int) -> str:
    return counted(n, "comparison")
