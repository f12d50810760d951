"""Draws the matrix of a run as a table, with lines about cells that run, failed, or differ from what the study asks."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import product

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fly64dask.cli.terminal.console import line_about, print_lines
from fly64dask.cli.terminal.running import STATE_STYLES, live_mark, live_table, waiting_lines
from fly64dask.monitoring import LiveCell
from fly64dask.records import (
    EMPTY,
    OUTDATED,
    STATE_SIGNS,
    UNKNOWN_RESOLUTION,
    ManifestRow,
    caveats_of,
    count_states,
    legend_of,
    marks_of,
    notes_of,
    repeat_groups,
    resolution_words,
    signs_of,
    spread_of,
)
from fly64dask.study import DOSE_UNITS, Cell, Study, dose_name, doses_of, sections

# Marks of numbers that do not hold for their place in the matrix.
DOUBTS = (EMPTY, OUTDATED)


def matrix_table(
    study: Study,
    rows: Sequence[ManifestRow],
    live: Mapping[Cell, LiveCell] | None = None,
    now: datetime | None = None,
    *,
    shown: Collection[Cell] | None = None,
) -> Table:
    """Draw the matrix: one row for each dose, split, recipe, object and setup, one column for each view.

    A sign and a colour show the state of a cell. A completed cell has its phase error, if there is one, its marks
    (`records.marks`), and the ratio of the error to that of an empty object and to its floor; a running cell has its
    epoch. `live` holds cells that run, or that ran when their worker died, which `now` distinguishes. Repeats share a
    place, with mean, sample standard deviation and number of the completed ones, and the states of the others. With
    `shown`, rows and columns without any of these cells are left out.
    """
    live = live or {}
    running = [cell for cell, live_cell in live.items() if now and live_cell.silent_s(now) is None]
    counts = ", ".join(f"{number} {state}" for state, number in count_states(study, rows, running, of=shown).items())
    table = Table(title=f"{study.name}: {counts}", title_justify="left")
    axes = {
        "recipe": study.recipe_names != (None,),
        "object": study.object_seeds != (None,),
        "setup": study.setup_names != (None,),
    }
    dose_heading = "dose" if study.dose_by == "exposure" else f"dose\n({DOSE_UNITS[study.dose_by]})"
    for heading in (dose_heading, "split", *(name for name, is_axis in axes.items() if is_axis)):
        table.add_column(heading, overflow="fold")
    groups = _shown_groups(study, shown)
    views = [view.name for view in study.views if any(first.view == view.name for first in groups)]
    for view in views:
        table.add_column(view)
    by_cell = {row.cell: row for row in rows}
    for dose, split, section in product(doses_of(study), study.splits, sections(study)):
        places = [groups.get(section.cell(dose, view, split), ()) for view in views]
        if not any(places):
            continue
        marks = [_place_mark(repeats, by_cell, live, running, now) for repeats in places]
        table.add_row(dose_name(dose), split, *(str(part) for part in section if part is not None), *marks)
    return table


def _shown_groups(study: Study, shown: Collection[Cell] | None) -> dict[Cell, tuple[Cell, ...]]:
    """List the shown repeats of each place of the matrix, for places that have some."""
    groups = repeat_groups(study).items()
    if shown is None:
        return dict(groups)
    chosen = {first: tuple(cell for cell in repeats if cell in shown) for first, repeats in groups}
    return {first: repeats for first, repeats in chosen.items() if repeats}


def print_matrix(
    console: Console,
    study: Study,
    rows: Sequence[ManifestRow],
    live: Mapping[Cell, LiveCell] | None = None,
    now: datetime | None = None,
    *,
    shown: Collection[Cell] | None = None,
) -> None:
    """Print the matrix, the cells that run, and a line for each cell with a caveat or without a reconstruction.

    With `shown` only these cells are printed.
    """
    if shown is not None:
        rows = [row for row in rows if row.cell in shown]
        live = {cell: live_cell for cell, live_cell in (live or {}).items() if cell in shown}
    console.print(matrix_table(study, rows, live, now, shown=shown))
    if live and now:
        console.print(live_table(live, now))
        print_lines(console, waiting_lines(live))
    print_lines(console, (*legend_lines(study, rows), *caveat_lines(rows), *failure_lines(rows)))


def legend_lines(study: Study, rows: Sequence[ManifestRow]) -> list[Text]:
    """Write a line for each mark in the matrix, and one on what is unknown or with what cells are compared."""
    lines = [Text(f"{mark.sign}  {mark.words}", style="dim") for mark in legend_of(study, rows)]
    notes = notes_of(study, rows, has_errors=any(row.metrics for row in rows))
    return [*lines, *(Text(note, style="dim") for note in notes)]


def failure_lines(rows: Sequence[ManifestRow]) -> list[Text]:
    """Write one line for each cell that has no reconstruction, with its reason."""
    without = [row for row in rows if row.state != "completed"]
    outdated = {row.cell: f" ({row.outdated})" for row in without if row.outdated}
    return [
        line_about(row.cell.name, f"{row.failure_kind}: {row.error} (log: {row.log_path}){outdated.get(row.cell, '')}")
        for row in without
    ]


def caveat_lines(rows: Sequence[ManifestRow]) -> list[Text]:
    """Write a line for each completed cell that is not what its study asks for: what was done instead, and why."""
    completed = [row for row in rows if row.state == "completed"]
    return [line_about(row.cell.name, "; ".join(caveats)) for row in completed if (caveats := caveats_of(row))]


def _place_mark(
    repeats: Sequence[Cell],
    by_cell: Mapping[Cell, ManifestRow],
    live: Mapping[Cell, LiveCell],
    running: Collection[Cell],
    now: datetime | None,
) -> Text:
    """Mark the cells that share a place of the matrix."""
    if len(repeats) > 1:
        return _repeats_mark(repeats, by_cell, running)
    cell = next(iter(repeats), None)
    if cell is None:
        return Text()
    return live_mark(live[cell], now) if cell in live and now else _mark(by_cell.get(cell))


def _mark(row: ManifestRow | None) -> Text:
    state = row.state if row else "pending"
    sign, style = STATE_SIGNS[state], STATE_STYLES[state]
    if row is None:
        return Text(f"{sign} pending", style=style)
    if row.state != "completed":
        return Text(f"{sign} {row.failure_kind}{signs_of([row])}", style=style)
    quality = f"{row.metrics.phase_rmse_rad:.3f} rad" if row.metrics else resolution_words(row.half_sets)
    style = "yellow" if any(mark in DOUBTS for mark in marks_of([row])) else style
    return Text(f"{sign} n={row.n_kept} {quality}{signs_of([row])}{_relative_line([row])}", style=style)


def _repeats_mark(repeats: Sequence[Cell], by_cell: Mapping[Cell, ManifestRow], running: Collection[Cell]) -> Text:
    """Mark the repeats of one cell: the worst of their states, and the spread of those that are completed."""
    rows = [by_cell[cell] for cell in repeats if cell in by_cell and cell not in running]
    failures = Counter(str(row.failure_kind) for row in rows if row.state not in ("completed", "interrupted"))
    n_running = sum(cell in running for cell in repeats)
    n_pending = len(repeats) - len(rows) - n_running
    kinds = [f"{n} {kind}" for kind, n in failures.items()]
    numbers = {
        "running": n_running,
        "interrupted": sum(row.state == "interrupted" for row in rows),
        "pending": n_pending,
    }
    waiting = {state: f"{n} {state}" for state, n in numbers.items() if n}
    state = "failed" if kinds else next(iter(waiting), "completed")
    completed = [row for row in rows if row.state == "completed"]
    quality = [_quality_of_repeats(completed)] if completed else []
    words = ", ".join([*quality, *kinds, *waiting.values()]) + signs_of(rows)
    return Text(f"{STATE_SIGNS[state]} {words}{_relative_line(completed)}", style=STATE_STYLES[state])


def _quality_of_repeats(completed: Sequence[ManifestRow]) -> str:
    n_kept = sorted({row.n_kept for row in completed if row.n_kept is not None})
    before = f"n={'/'.join(map(str, n_kept))} "
    halves = [row.half_sets for row in completed if row.half_sets]
    for form, unit, measured in (
        (".3f", " rad", [row.metrics.phase_rmse_rad for row in completed if row.metrics]),
        (".3g", " nm", [each.resolution_nm for each in halves]),
        (".3g", " px", [each.resolution_px for each in halves]),
    ):
        values = [value for value in measured if value is not None]
        if values:
            spread = spread_of(values)
            deviation = "" if spread.standard_deviation is None else f" ± {spread.standard_deviation:{form}}"
            return f"{before}{spread.mean:{form}}{deviation}{unit} ({spread.n})"
    return f"{before}{UNKNOWN_RESOLUTION} ({len(completed)})"


def _relative_line(completed: Sequence[ManifestRow]) -> str:
    """Write the second line of a place.

    It has the mean ratio of the error to that of an empty object, and to the floor if there is one; for a measured scan
    the mean phase difference from the reference.
    """
    differences = [
        reference.phase_rmse_rad for row in completed if (reference := row.reference) and reference.phase_rmse_rad
    ]
    if differences:
        return f"\n  {statistics.fmean(differences):.3f} rad to reference"
    relatives = [row.relative for row in completed if row.relative]
    if not relatives:
        return ""
    floors = [relative.error_over_floor for relative in relatives if relative.error_over_floor is not None]
    of_floor = f", {statistics.fmean(floors):.2g} x floor" if floors else ""
    return f"\n  {statistics.fmean(relative.error_over_empty for relative in relatives):.2f} x empty{of_floor}"
