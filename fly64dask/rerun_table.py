"""Planned reruns -> what a person reads before they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from fly64dask.rerun import PlannedRerun

PROBE = {None: "-", True: "frozen", False: "free"}


def hopeless_lines(plan: Sequence[PlannedRerun]) -> list[Text]:
    """One line for each failed cell that the wanted remedy cannot help."""
    return [
        Text.assemble((f"{planned.cell.name} ", "bold"), f"stays {planned.failure_kind}: {planned.hopeless}")
        for planned in plan
        if planned.hopeless
    ]


def rerun_table(plan: Sequence[PlannedRerun]) -> Table:
    """Draw what a rerun would change.

    Parameters
    ----------
    plan : sequence of PlannedRerun
        Planned cells.

    Returns
    -------
    rich.table.Table
        One row for each cell: before and after, one value where nothing changes.
    """
    table = Table(title=f"rerun: {len(plan)} cells", title_justify="left")
    for heading in ("cell", "failed as", "remedy", "kept", "spacing px", "epochs", "probe"):
        table.add_column(heading, justify="right" if heading in ("kept", "spacing px", "epochs") else "left")
    for planned in plan:
        probe = [PROBE[frozen] for frozen in (planned.probe_frozen, planned.probe_frozen_after)]
        table.add_row(
            planned.cell.name,
            planned.failure_kind,
            planned.remedy.kind if planned.remedy else Text("none", style="yellow"),
            _change(planned.n_kept, planned.n_kept_after, "d"),
            _change(planned.spacing_threshold, planned.spacing_threshold_after, "g"),
            _change(planned.n_epochs, planned.n_epochs_after, "d"),
            " -> ".join(dict.fromkeys(probe)),
        )
    return table


def _change(before: float | None, after: float | None, form: str) -> str:
    """Both numbers, or the one that stays; a dash for what is not known."""
    said = ["-" if value is None else format(value, form) for value in (before, after)]
    return said[0] if said[0] == said[1] else " -> ".join(said)
