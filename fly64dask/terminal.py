"""Plans, progress and finished matrices -> what a person reads in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from fly64dask.manifest import ManifestRow, count_states
from fly64dask.outcome import CellOutcome, CellProgress
from fly64dask.study import SPLITS, Study, dose_name

if TYPE_CHECKING:
    from fly64dask.plan import PlannedCell
    from fly64dask.study import Cell

STYLES = {"completed": ("✔", "green"), "failed": ("✘", "bold red"), "skipped": ("–", "yellow")}
STYLES |= {"damaged": ("!", "bold magenta"), "pending": ("·", "dim")}


def make_console(*, stderr: bool = False) -> Console:
    """Console of this terminal; 120 columns where there is none, so that tables stay whole."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=120)


class RunDisplay:
    """Live bars on a terminal, one line per finished cell elsewhere.

    Parameters
    ----------
    console : Console
        Where to draw; standard error, so that standard output stays for results.
    n_cells : int
        Cells to run.
    """

    def __init__(self, console: Console, n_cells: int) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._all = self._bars.add_task("[bold]cells", total=n_cells, note="")
        self._running: dict[Cell, TaskID] = {}
        self._n_done = 0
        self._n_cells = n_cells

    def __enter__(self) -> RunDisplay:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        self._bars.stop()

    def show(self, event: CellProgress | CellOutcome) -> None:
        """Draw one event.

        Parameters
        ----------
        event : CellProgress or CellOutcome
            An epoch of a running cell, or a cell's end.
        """
        if isinstance(event, CellOutcome):
            self._show_outcome(event)
        else:
            self._show_epoch(event)

    def say(self, line: str) -> None:
        """Print a line above the bars, as it is."""
        self._bars.console.print(line, soft_wrap=True, markup=False)

    def _show_epoch(self, event: CellProgress) -> None:
        if event.cell not in self._running:
            self._running[event.cell] = self._bars.add_task(f"  {event.cell.name}", total=event.n_epochs, note="")
        self._bars.update(self._running[event.cell], completed=event.epoch, note=f"loss {event.loss:.4g}")

    def _show_outcome(self, event: CellOutcome) -> None:
        self._n_done += 1
        task = self._running.pop(event.cell, None)
        if task is not None:
            self._bars.remove_task(task)
        self._bars.update(self._all, completed=self._n_done)
        state = "failed" if event.failure else "completed"
        mark, style = STYLES[state]
        note = f"{event.failure.kind}: {event.failure.message}" if event.failure else f"{event.seconds:.1f} s"
        if event.was_done:
            note = f"done before ({note})"
        line = Text.assemble((f"{mark} ", style), f"[{self._n_done}/{self._n_cells}] {event.cell.name}  ", note)
        self._bars.console.print(line, soft_wrap=True)


def matrix_table(study: Study, rows: Sequence[ManifestRow]) -> Table:
    """Draw the dose x view x split matrix.

    Parameters
    ----------
    study : Study
        The study.
    rows : sequence of ManifestRow
        Committed cells.

    Returns
    -------
    rich.table.Table
        One row for each dose and split, one column for each view; state by mark and colour,
        with the phase error if there is one.
    """
    counts = ", ".join(f"{number} {state}" for state, number in count_states(study, rows).items())
    table = Table(title=f"{study.name}: {counts}", title_justify="left")
    table.add_column("dose")
    table.add_column("split")
    for view in study.views:
        table.add_column(view.name)
    by_cell = {(row.dose, row.view, row.split): row for row in rows}
    for dose in study.doses_photons:
        for split in SPLITS:
            marks = [_mark(by_cell.get((dose, view.name, split))) for view in study.views]
            table.add_row(dose_name(dose), split, *marks)
    return table


def failure_lines(rows: Sequence[ManifestRow]) -> list[Text]:
    """One line for each cell that has no reconstruction, with its reason."""
    return [
        Text.assemble((f"{row.cell.name} ", "bold"), f"{row.failure_kind}: {row.error} (log: {row.log_path})")
        for row in rows
        if row.state != "completed"
    ]


def plan_table(plan: Sequence[PlannedCell]) -> Table:
    """Draw what a run would do.

    Parameters
    ----------
    plan : sequence of PlannedCell
        Planned cells.

    Returns
    -------
    rich.table.Table
    """
    table = Table(title=f"plan: {len(plan)} cells", title_justify="left")
    for heading in ("cell", "kept", "strategy", "spacing px", "overlap", "memory MB"):
        table.add_column(heading, justify="left" if heading in ("cell", "strategy") else "right", no_wrap=True)
    if any(planned.warning for planned in plan):
        table.add_column("warning")
    for planned in plan:
        kept = "-" if planned.n_kept is None else f"{planned.n_kept} of {planned.n_exposures}"
        warning = [Text(planned.warning, style="yellow")] if planned.warning else []
        table.add_row(
            f"{dose_name(planned.dose)}/{planned.view}/{planned.split}",
            kept,
            planned.selection_strategy or "all",
            _number(planned.spacing_threshold, "g"),
            _number(planned.image_overlap, ".3f"),
            _number(planned.predicted_memory_bytes and planned.predicted_memory_bytes / 1e6, ".0f"),
            *warning,
        )
    return table


def _mark(row: ManifestRow | None) -> Text:
    state = row.state if row else "pending"
    mark, style = STYLES[state]
    if row is None:
        return Text(f"{mark} pending", style=style)
    if row.state != "completed":
        return Text(f"{mark} {row.failure_kind}", style=style)
    quality = f"{row.metrics.phase_rmse_rad:.3f} rad" if row.metrics else f"loss {row.final_loss:.3g}"
    flag = " ?" if row.underdetermined else ""
    return Text(f"{mark} n={row.n_kept} {quality}{flag}", style=style)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
