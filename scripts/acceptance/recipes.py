"""Which recipe reaches a target with the fewest photons, and by how much."""

from __future__ import annotations

from collections.abc import Mapping

from acceptance.results import Claim, Finding, Panel, Spread, Table
from acceptance.tables import curve
from fly64dask import Run

SOURCE = "Godard et al., Opt. Express 20, 25914 (2012); Leidl et al., Micron 103688 (2024)"


def reduce(runs: Mapping[str, Run]) -> Finding:
    """Take the limits of the study's target, and put the recipes in their order."""
    answer = runs["recipes"].limits().targets[0]
    rows, curves = [], []
    for limit, line in zip(answer.doses, answer.curves, strict=True):
        dose = None if limit.lowest is None else limit.lowest.dose
        low, high = limit.interval.doses if limit.interval else (None, None)
        rows.append((limit.recipe_name, limit.outcome.replace("_", " "), dose, low, high))
        points = [(point.light.fluence_photons_per_px2, Spread.of(point.values)) for point in line.points]
        curves.append(curve(limit.recipe_name or "", points))
    rows.sort(key=lambda row: row[2] or float("inf"))
    table = Table(
        name="recipes",
        columns=("recipe", "outcome", f"photons per exposure for {answer.target.label}", "from", "to"),
        rows=tuple(tuple(None if value is None else significant(value) for value in row) for row in rows),
    )
    panel = Panel(
        title=f"Error of each recipe; the target is {answer.target.label}",
        x_label="fluence (photons/px²)",
        y_label="phase error (rad)",
        x_log=True,
        y_log=True,
        curves=tuple(curves),
    )
    return Finding(claims=(claim(rows),), tables=(table,), panels=(panel,))


def significant(value: float | str) -> float | str:
    """Keep three digits of a number."""
    return value if isinstance(value, str) else float(f"{value:.3g}")


def claim(rows: list[tuple[str | None, str, float | None, float | None, float | None]]) -> Claim:
    """Say which recipe has the lowest limit, and whether its interval is clear of the canonical Gaussian one's."""
    name, _, lowest, _, high = rows[0]
    _, _, of_gaussian, low, _ = next(row for row in rows if row[0] == "gaussian")
    ratio = ""
    if lowest is not None and of_gaussian is not None:
        ratio = f", {of_gaussian / lowest:.2g} times fewer photons than gaussian in minibatches"
    is_clear = high is not None and low is not None and high < low
    return Claim(
        published="at low counts the Poisson likelihood does better than the Gaussian one of amplitudes",
        source=SOURCE,
        ours=f"lowest limit: {name}{ratio}",
        rule="a Poisson recipe has the lowest limit, and its interval ends below where that of gaussian begins",
        verdict="as published" if (name or "").startswith("poisson") and is_clear else "not as published",
    )
