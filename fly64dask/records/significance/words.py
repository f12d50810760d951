"""Differences in words: which differ, by what factor with its interval, and of how many comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fly64dask.metrics import SIGNIFICANT
from fly64dask.records.significance.difference import Difference

# An interval whose ends are closer than this factor needs a third digit.
NARROW = 1.2


def factor_words(difference: Difference) -> str:
    """Write the factor of the second over the first with its 95 % interval: `1.41 (1.35 to 1.47)`."""
    found = difference.found
    if found.test == "fisher_exact":
        return f"failed: {found.n_failed_first} of {found.n_first}, {found.n_failed_second} of {found.n_second}"
    if found.test is None:
        return "–" if found.ratio is None else _number(found.ratio)
    return _ratio_words(found.ratio, found.low, found.high)


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
        return f"nothing can be said: {difference.found.why}"
    if difference.lower is None:
        return "no difference beyond the spread"
    return f"{difference.lower} is better"


def difference_sentences(found: Sequence[Difference], *, needs: str, unit: str = "repeats") -> Iterator[str]:
    """Say in sentences which of some differ beyond the spread, and which do not.

    Parameters
    ----------
    found : sequence of Difference
        Of one axis.
    needs : str
        What the factor is of, as in "sparse needs 3 times the fluence of dense": `needs {} times the fluence of`.
    unit : str
        What the spread is of.

    Yields
    ------
    str
        One for each difference beyond the spread, then one for all that are not, and one for those without a test.
    """
    for each in found:
        if each.lower is not None:
            corrected = f", corrected for {each.n_compared} comparisons" if each.n_compared > 1 else ""
            yield f"{_differing_words(each, needs)}; p = {p_words(each.p_corrected)}{corrected}."
    alike = [each for each in found if each.verdict == "not_beyond_spread"]
    if alike:
        n = sorted({min(each.found.n_first, each.found.n_second) for each in alike})
        repeats = str(n[0]) if len(n) == 1 else f"{n[0]} to {n[-1]}"
        yield f"No difference beyond the spread of {repeats} {unit}: {'; '.join(map(_who, alike))}."
    reasons = {each.found.why for each in found}
    if len(found) > 1 and len(reasons) == 1 and None not in reasons:
        yield f"{found[0].axis.capitalize()}s are not compared: {found[0].found.why}."
        return
    for why in dict.fromkeys(each.found.why for each in found if each.verdict == "unknown"):
        those = "; ".join(_who(each) for each in found if each.verdict == "unknown" and each.found.why == why)
        yield f"Not compared, as {why}: {those}."


def summary_sentence(found: Sequence[Difference], *, unit: str = "repeats") -> str:
    """Say how many of some comparisons of one axis differ beyond the spread."""
    axis, tested = found[0].axis, [each for each in found if each.verdict != "unknown"]
    if not tested:
        return f"Nothing can be said of differences between {axis}s: {found[0].found.why}."
    n_differ = sum(each.lower is not None for each in tested)
    n = min(min(each.found.n_first, each.found.n_second) for each in tested)
    without = len(found) - len(tested)
    rest = f"; {without} more without a test" if without else ""
    return (
        f"{n_differ} of {_n_words(len(tested))} of {axis}s differ beyond the spread of {n} {unit} "
        f"(p below {SIGNIFICANT:g}, corrected for their number after Holm){rest}."
    )


def _differing_words(each: Difference, needs: str) -> str:
    found, (better, worse) = each.found, (each.first, each.second)
    if found.test == "fisher_exact":
        return (
            f"{each.first} failed in {found.n_failed_first} of {found.n_first}, {each.second} in "
            f"{found.n_failed_second} of {found.n_second} ({each.place})"
        )
    ratio, low, high = found.ratio, found.low, found.high
    if each.lower == each.second:
        better, worse = worse, better
        ratio, low, high = (None if ratio is None else 1 / ratio), _inverse(high), _inverse(low)
    return f"{worse} {needs.format(_ratio_words(ratio, low, high))} {better} ({each.place})"


def _inverse(number: float | None) -> float | None:
    return None if number is None else 1 / number


def _who(each: Difference) -> str:
    return f"{each.first} and {each.second} ({each.place})"


def _n_words(n: int) -> str:
    return f"{n} comparison" if n == 1 else f"{n} comparisons"
