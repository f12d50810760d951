"""Which recipe reaches a target with the fewest photons, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Take the limits of the study's targets, and put the recipes in their order."""
    answers = runs["recipes"].limits().targets
    by_target = [limits_of(answer) for answer in answers]
    columns = ("target", "recipe", "outcome", "photons per exposure", "interval from", "to")
    rows = tuple(tuple(row) for rows in by_target for row in rows)
    return Finding(
        claims=tuple(map(claim, by_target)),
        tables=(Table(name="recipes", columns=columns, rows=rows),),
        panels=tuple(map(panel, answers)),
    )


def limits_of(answer: TargetAnswer) -> list[Row]:
    """Give the recipes' limits for a target, the lowest first."""
    rows = []
    for limit in answer.doses:
        low, high = limit.interval.doses if limit.interval else (None, None)
        lowest = limit.lowest.dose if limit.lowest else None
        outcome = limit.outcome.replace("_", " ")
        rows.append(Row(answer.target.label, limit.recipe_name or "", outcome, lowest, low, high))
    return sorted(rows, key=lambda row: (row.outcome != "reached already", row.photons or float("inf")))


def claim(rows: list[Row]) -> Claim:
    """Say which recipe has the lowest limit, and whether its interval is clear of the canonical Gaussian one's."""
    best = rows[0]
    gaussian = next(row for row in rows if row.recipe == "gaussian")
    fewer = ""
    if best.photons is not None and gaussian.photons is not None and best is not gaussian:
        fewer = f", {gaussian.photons / best.photons:.2g} times fewer photons than gaussian"
    is_clear = best.high is not None and gaussian.low is not None and best.high < gaussian.low
    return Claim(
        published="at low counts the Poisson likelihood does better than the Gaussian one of amplitudes",
        source=SOURCE,
        ours=f"{best.target}: {best.recipe} needs least{fewer}",
        rule="a Poisson recipe needs least, and its interval ends below where that of gaussian begins",
        verdict="as published" if best.recipe.startswith("poisson") and is_clear else "not as published",
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
