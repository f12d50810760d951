"""Draws a run of very many cells: the number of cells of each view in each state, instead of the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fly64dask.base import counted
from fly64dask.cli.terminal.console import print_lines
from fly64dask.cli.terminal.matrix import failure_lines
from fly64dask.cli.terminal.running import STATE_STYLES, live_table, waiting_lines
from fly64dask.records import STATE_SIGNS

if TYPE_CHECKING:
    from fly64dask.monitoring import RunOverview

# The most cells for which a terminal shows the matrix (our choice).
MAX_MATRIX_CELLS = 2000


def print_overview(console: Console, overview: RunOverview) -> None:
    """Print the number of cells per view and state, those that run, and the first ones without a reconstruction."""
    console.print(overview_table(overview))
    if overview.live:
        console.print(live_table(overview.live, overview.now))
    print_lines(console, overview_lines(overview))


def overview_table(overview: RunOverview) -> Table:
    """Draw the number of cells per view and state."""
    counts = overview.counts
    title = ", ".join(f"{number} {state}" for state, number in counts.items())
    table = Table(title=f"{overview.study.name}: {title}", title_justify="left")
    table.add_column("view")
    for state in counts:
        table.add_column(Text(f"{STATE_SIGNS[state]} {state}", style=STATE_STYLES[state]), justify="right")
    for view, numbers in overview.by_view.items():
        if any(numbers.values()):
            table.add_row(view, *(str(numbers.get(state, "")) for state in counts))
    return table


def overview_lines(overview: RunOverview) -> list[Text]:
    """Write lines about cells that wait for disk space, the first cells without a reconstruction, and notes."""
    return [*waiting_lines(overview.live), *failure_lines(overview.unreconstructed), *_notes(overview)]


def _notes(overview: RunOverview) -> list[Text]:
    without = {"completed", "running", "pending"}
    n_further = sum(number for state, number in overview.counts.items() if state not in without)
    n_further -= len(overview.unreconstructed)
    notes = [f"and {n_further} more without a reconstruction"] if n_further else []
    if overview.n_outdated:
        notes.append(
            f"{counted(overview.n_outdated, 'cell is', 'cells are')} not of the study as it is now; run it to renew "
            "what differs"
        )
    notes.append(
        "these are too many cells for a matrix: --dose, --view and other filters show a part of it, "
        "`fly64dask table` writes all"
    )
    return [Text(note, style="dim") for note in notes]
