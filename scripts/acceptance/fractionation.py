"""Dose fractionation: the same photons in more or fewer exposures give the same resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from acceptance.results import Claim, Finding, Panel, Spread, Table, shown_number
from acceptance.tables import ERROR, LEVEL, RESOLUTION, adjusted_p_values, curve, gathered
from fly64dask import Run

OVERSAMPLING, KEPT = "areal_oversampling", "n_kept"
SOURCE = "Du, Gürsoy, Jacobsen, J. Appl. Cryst. 53, 748 (2020), arXiv 1908.06770"


class Row(NamedTuple):
    """One total in one number of exposures, with how many beams lie on a pixel."""

    total: float
    n_exposures: float
    oversampling: float
    resolution: Spread | None
    error: Spread | None


def reduce(runs: Mapping[str, Run]) -> Finding:
    """Gather resolution and error of each total and number of exposures, and compare each with the most exposures."""
    groups = gathered(runs["fractionation"].table(), ("dose", "view"), (KEPT, OVERSAMPLING, RESOLUTION, ERROR))
    rows = [
        Row(total, numbers[KEPT].mean, numbers[OVERSAMPLING].mean, numbers[RESOLUTION], numbers[ERROR])
        for (total, _), numbers in groups
        if numbers[KEPT]
    ]
    table = Table(
        name="fractionation",
        columns=("total photons", "exposures", "beams on a pixel", "half-bit resolution (px)", "phase error (rad)"),
        rows=tuple(tuple(row) for row in rows),
    )
    claims = (
        claim("resolution", SOURCE, rows, [row.resolution for row in rows]),
        claim("phase error", "follows from the same", rows, [row.error for row in rows]),
    )
    return Finding(claims=claims, tables=(table,), panels=panels(rows))


def claim(what: str, source: str, rows: Sequence[Row], numbers: Sequence[Spread | None]) -> Claim:
    """Say how far the means of fewer exposures are from that of the most, and whether it is more than the spread."""
    p_values: list[float | None] = []
    apart: list[float] = []
    for total in dict.fromkeys(row.total for row in rows):
        most, *fewer = [number for row, number in zip(rows, numbers, strict=True) if row.total == total and number]
        p_values += adjusted_p_values(most, fewer)
        apart += [other.mean / most.mean - 1 for other in fewer]
    significant = sum(p is not None and p < LEVEL for p in p_values)
    known = [p for p in p_values if p is not None]
    return Claim(
        published=f"equal photons in total give equal {what}, in however many exposures",
        source=source,
        ours=f"{100 * min(apart):+.0f} to {100 * max(apart):+.0f} % of that in the most exposures; "
        f"{significant} of {len(apart)} differences are significant",
        rule=f"none is (Welch, adjusted after Holm, {LEVEL:g})",
        verdict="no bar" if not known else "not as published" if significant else "as published",
    )


def panels(rows: Sequence[Row]) -> tuple[Panel, ...]:
    """Draw resolution and error against the number of exposures, a line for each total."""
    resolutions, errors = [], []
    for total in dict.fromkeys(row.total for row in rows):
        label, of_total = f"{shown_number(total)} photons in total", [row for row in rows if row.total == total]
        resolutions.append(curve(label, [(row.n_exposures, row.resolution) for row in of_total]))
        errors.append(curve(label, [(row.n_exposures, row.error) for row in of_total]))
    return tuple(
        Panel(title=title, x_label="exposures", y_label=y_label, x_log=True, curves=tuple(curves))
        for title, y_label, curves in (
            ("Resolution", "half-bit resolution (px)", resolutions),
            ("Error", "phase error (rad)", errors),
        )
    )
