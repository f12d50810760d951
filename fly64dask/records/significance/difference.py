"""Two views, recipes or methods beside each other: by what factor they differ, and whether beyond the spread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Literal, TypeVar

from fly64dask.base import Frozen
from fly64dask.metrics import SIGNIFICANT, RatioTest, holm

Axis = Literal["run", "view", "recipe", "setup", "method"]
Verdict = Literal["first_lower", "second_lower", "not_beyond_spread", "unknown"]
Member = TypeVar("Member")

# Of more at one place, each is compared with the first alone (our choice): the pairs of ten are already 45, which share
# the chance of one false difference.
MOST_IN_ALL_PAIRS = 10


class ComparedPair(Frozen):
    """Two of a kind that are compared at one place, which `place` names in words."""

    axis: Axis
    first: str
    second: str
    place: str
    ratio_test: RatioTest


class Difference(ComparedPair):
    """Two of a kind that were compared at one place, with the p that is corrected for all `n_compared` beside it.

    Lower is better: `first_lower` or `second_lower` where the corrected p is below 0.05, `not_beyond_spread` where it
    is not, `unknown` without a test.
    """

    verdict: Verdict
    p_corrected: float | None = None
    n_compared: int

    @property
    def lower(self) -> str | None:
        """The name of the better one, if they differ beyond the spread."""
        return {"first_lower": self.first, "second_lower": self.second}.get(self.verdict)


def pairs_of(members: Sequence[Member]) -> Iterator[tuple[Member, Member]]:
    """Pair those at one place, in their order: each with each; of more than ten, the first with each other."""
    if len(members) <= MOST_IN_ALL_PAIRS:
        return combinations(members, 2)
    return ((members[0], other) for other in members[1:])


def differences(pairs: Iterable[ComparedPair]) -> tuple[Difference, ...]:
    """Correct the tests of pairs for their number: those of one axis are looked at together.

    Parameters
    ----------
    pairs : iterable of ComparedPair
        All that are shown together.

    Returns
    -------
    tuple of Difference
        In the same order.
    """
    shown = list(pairs)
    return tuple(
        difference
        for axis in dict.fromkeys(pair.axis for pair in shown)
        for difference in _corrected([pair for pair in shown if pair.axis == axis])
    )


def _corrected(pairs: Sequence[ComparedPair]) -> list[Difference]:
    tested = [pair for pair in pairs if pair.ratio_test.p is not None]
    corrected = dict(zip(map(id, tested), holm([pair.ratio_test.p or 0.0 for pair in tested]), strict=True))
    return [
        Difference(
            **dict(pair),
            verdict=_verdict(pair.ratio_test, corrected.get(id(pair))),
            p_corrected=corrected.get(id(pair)),
            n_compared=len(tested),
        )
        for pair in pairs
    ]


def _verdict(test: RatioTest, p_corrected: float | None) -> Verdict:
    if p_corrected is None:
        return "unknown"
    if p_corrected >= SIGNIFICANT:
        return "not_beyond_spread"
    if test.test == "fisher_exact":
        first, second = test.n_failed_first / test.n_first, test.n_failed_second / test.n_second
        return "first_lower" if first < second else "second_lower"
    return "first_lower" if (test.low or 0.0) > 1 else "second_lower"
