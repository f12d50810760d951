"""Draws plans as tables: what a run would do, and what a rerun would change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fly64dask.base import counted
from fly64dask.cli.terminal.console import line_about, number_text
from fly64dask.records import sparser_notes

if TYPE_CHECKING:
    from fly64dask.runs import PlannedRerun
    from fly64dask.scan import Identifiability
    from fly64dask.scheduling import PlannedCell
    from fly64dask.simulation import ObjectBand, ProbeLight

PREDICTION_STYLES = {"well_determined": "green", "marginal": "yellow", "underdetermined": "bold red"}
PROBE = {None: "-", True: "frozen", False: "free"}


def plan_table(plan: Sequence[PlannedCell]) -> Table:
    """Draw what a run would do; "lit per unknown" counts intensities expected to hold a photon for each unknown."""
    table = Table(title=f"plan: {counted(len(plan), 'cell')}", title_justify="left")
    table.add_column("cell", overflow="fold")  # if there is no room, names are folded and numbers stay whole
    for heading in ("kept", "strategy", "spacing\n(px)", "disc\noverlap", "lit per\nunknown", "prediction"):
        table.add_column(heading, justify="left" if heading in ("strategy", "prediction") else "right", no_wrap=True)
    table.add_column("memory\n(MB)", justify="right", no_wrap=True)
    for planned in plan:
        identifiability = planned.identifiability
        table.add_row(
            planned.cell.name,
            "-" if planned.n_kept is None else f"{planned.n_kept} of {planned.n_exposures}",
            planned.selection_strategy or ("-" if planned.n_kept is None else "all"),
            number_text(planned.spacing_threshold, "g"),
            number_text(planned.image_overlap, ".3f"),
            number_text(identifiability.lit_intensities_per_unknown if identifiability else None, ".3g"),
            _prediction(identifiability),
            number_text(planned.predicted_memory_bytes and planned.predicted_memory_bytes / 1e6, ".0f"),
        )
    return table


def simulation_lines(forward_model: str, light: ProbeLight, band: ObjectBand | None) -> list[Text]:
    """Say which forward model makes the exposures, and whether probe and object fit its assumptions."""
    shares = f"{light.beyond_band:.1e} beyond 0.8 of the Nyquist frequency, {light.at_rim:.1e} at the array's rim"
    lines = [Text(f"forward model {forward_model}; light of the probe: {shares}")]
    if band is not None:
        lines.append(Text(f"of the object's structure {band.beyond_grid:.1e} is finer than the detector's grid"))
    warnings = light.warnings() + (band.warnings() if band else [])
    return lines + [Text(warning, style="yellow") for warning in warnings]


def warning_lines(plan: Sequence[PlannedCell]) -> list[Text]:
    """Write a line for each planned cell that fails what the study asks, and for each view sparser than it seems."""
    lines = [line_about(planned.cell.name, (planned.warning, "yellow")) for planned in plan if planned.warning]
    return lines + [Text(note, style="yellow") for note in sparser_notes(plan)]


def hopeless_lines(plan: Sequence[PlannedRerun]) -> list[Text]:
    """Write a line for each failed cell that the remedy of the plan cannot help."""
    hopeless = [planned for planned in plan if planned.hopeless]
    return [line_about(planned.cell.name, f"stays {planned.failure_kind}: {planned.hopeless}") for planned in hopeless]


def rerun_table(plan: Sequence[PlannedRerun]) -> Table:
    """Draw what a rerun would change: for each cell the values before and after, or one that does not change."""
    table = Table(title=f"rerun: {counted(len(plan), 'cell')}", title_justify="left")
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
    """Write both numbers, or one if they are equal; a dash for an unknown one."""
    texts = ["-" if value is None else format(value, form) for value in (before, after)]
    return texts[0] if texts[0] == texts[1] else " -> ".join(texts)


def _prediction(identifiability: Identifiability | None) -> Text:
    if identifiability is None:
        return Text("-")
    return Text(identifiability.prediction.replace("_", " "), style=PREDICTION_STYLES[identifiability.prediction])
