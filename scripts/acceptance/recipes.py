"""Which recipe reaches a target with the fewest photons, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from acceptance.results import Claim, Finding, Panel, Spread, Table
from acceptance.tables import curve, guide
from fly64dask import Run

if TYPE_CHECKING:
    from fly64dask.records import TargetAnswer

SOURCE = "Godard et al., Opt. Express 20, 25914 (2012); Leidl et al., Micron 103688 (2024)"


class Row(NamedTuple):
    """The limit of one recipe for one target, in photons per exposure, with the ends of its interval."""

    target: str
    recipe: str
    outcome: str
    photons: float | None
    low: float | None
    high: float | None


def reduce(runs: Mapping[str, Run]) -> Finding:
    """Take the limits of the study's targets, put the recipes in their order, and say which differ."""
    answers = runs["recipes"].limits().targets
    columns = ("target", "recipe", "outcome", "photons per exposure", "interval from", "to")
    rows = tuple(tuple(row) for answer in answers for row in limits_of(answer))
    differing = tuple(row for answer in answers for row in beyond_spread(answer))
    of_pairs = ("target", "needs more", "than", "times", "p, corrected")
    return Finding(
        claims=tuple(map(claim, answers)),
        tables=(
            Table(name="recipes", columns=columns, rows=rows),
            Table(name="differences", columns=of_pairs, rows=differing),
        ),
        panels=tuple(map(panel, answers)),
    )


def beyond_spread(answer: TargetAnswer) -> Iterator[tuple[str, str, str, float | None, float | None]]:
    """Give the pairs of recipes whose limits differ beyond the spread of repeats: which needs more, and how much."""
    for each in answer.differences:
        ratio = each.ratio_test.ratio
        if each.verdict == "first_lower":
            yield answer.target.label, each.second, each.first, ratio, each.p_corrected
        elif each.verdict == "second_lower":
            yield answer.target.label, each.first, each.second, 1 / ratio if ratio else None, each.p_corrected


def limits_of(answer: TargetAnswer) -> list[Row]:
    """Give the recipes' limits for a target, the lowest first."""
    rows = []
    for limit in answer.doses:
        low, high = limit.interval.doses if limit.interval else (None, None)
        lowest = limit.lowest.dose if limit.lowest else None
        outcome = limit.outcome.replace("_", " ")
        rows.append(Row(answer.target.label, limit.recipe_name or "", outcome, lowest, low, high))
    return sorted(rows, key=lambda row: (row.outcome != "reached already", row.photons or float("inf")))


def claim(answer: TargetAnswer) -> Claim:
    """Say how often a recipe of one noise model needs less than one of the other, beyond the spread of repeats."""
    pairs = [(more, less) for _, more, less, _, _ in beyond_spread(answer)]
    n_poisson, n_gaussian = (
        sum(less.startswith(model) and not more.startswith(model) for more, less in pairs)
        for model in ("poisson", "gaussian")
    )
    lowest = limits_of(answer)[0]
    return Claim(
        published="at low counts the Poisson likelihood does better than the Gaussian one of amplitudes",
        source=SOURCE,
        ours=f"{lowest.target}: {lowest.recipe} needs least; beyond the spread of repeats a Poisson recipe needs less "
        f"than a Gaussian one in {n_poisson} pairs, more in {n_gaussian}",
        rule="less in some pairs, more in none",
        verdict="as published" if n_poisson and not n_gaussian else "not as published",
    )


def panel(answer: TargetAnswer) -> Panel:
    """Draw what each recipe gave against fluence, and the target."""
    curves = []
    for line in answer.curves:
        points = [(point.light.fluence_photons_per_px2, Spread.of(point.values)) for point in line.points]
        curves.append(curve(line.recipe_name or "", points))
    ends = [x for each in curves for x in each.x]
    what = "half-bit resolution (px)" if answer.target.is_resolution else "phase error (rad)"
    return Panel(
        title=what[0].upper() + what[1:].partition(" (")[0],
        x_label="fluence (photons/px²)",
        y_label=what,
        x_log=True,
        y_log=True,
        curves=(*curves, guide(f"target {answer.target.label}", ends, answer.target.value, 0.0)),
    )
