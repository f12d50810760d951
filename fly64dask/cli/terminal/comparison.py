"""Draws comparisons of reconstructions by several methods as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fly64dask.base import printable
from fly64dask.cli.terminal.console import line_about, number_text
from fly64dask.records import factor_words, p_words, place_words, verdict_words

if TYPE_CHECKING:
    from fly64dask.metrics import Crossing, ReferenceMetrics
    from fly64dask.records import RunDifferences
    from fly64dask.runs import MethodScore, RunComparison

HEADINGS = {
    "ours": "phase error rad | SSIM of phase | half-bit resolution px",
    "original": "PSNR (peak 255) of phase, amplitude dB | MS-SSIM of phase, amplitude",
}
REFERENCE_HEADINGS = (
    "phase difference rad | over that of an empty object | resolution at the half-bit, at the 1-bit threshold"
)


def comparison_table(comparison: RunComparison) -> Table:
    """Draw a comparison; a method is bold if it is better than another, and worse than none, beyond the spread of
    repeats.
    """
    headings = HEADINGS[comparison.convention]
    if comparison.reference is not None:
        headings = f"compared with the reference {comparison.reference}, {REFERENCE_HEADINGS}"
    table = Table(title=f"{comparison.study}: {headings}", title_justify="left")
    # Without a minimum rich would cut the names first if there are many methods.
    table.add_column("cell", min_width=max((len(row.cell.name) for row in comparison.cells), default=0))
    table.add_column("n", justify="right")
    has_empty = comparison.convention == "ours" and comparison.reference is None
    if has_empty:
        table.add_column("empty", justify="right")
    for method in comparison.methods:
        table.add_column(printable(method))
    better = _better_methods(comparison)
    for row in comparison.cells:
        empty = [f"{score.metrics.empty_phase_rmse_rad:.3f}" for score in row.scores if score.metrics][:1] or ["-"]
        table.add_row(
            row.cell.name,
            "-" if row.n_kept is None else str(row.n_kept),
            *(empty if has_empty else []),
            *[_score_text(score, is_better=(place_words(row.cell), score.method) in better) for score in row.scores],
        )
    return table


def _reference_text(metrics: ReferenceMetrics, *, is_better: bool) -> Text:
    resolutions = (
        "-" if metrics.n_pixels is None else f"{_crossing_text(metrics.half_bit)}, {_crossing_text(metrics.one_bit)}"
    )
    note = "" if metrics.is_registered else " unregistered"
    numbers = f"{number_text(metrics.phase_rmse_rad, '.3f')} | {number_text(metrics.over_empty, '.2f')}"
    return Text(f"{numbers} | {resolutions}{note}", style="yellow" if note else "bold" if is_better else "")


def _crossing_text(crossing: Crossing | None) -> str:
    """Write the resolution at which a curve crosses, in px, and in nm if the size of a pixel is known."""
    if crossing is None:
        return "≤ 1 px"
    nm = "" if crossing.resolution_nm is None else f" = {crossing.resolution_nm:.3g} nm"
    return f"{crossing.resolution_px:.3g} px{nm}"


def problem_lines(comparison: RunComparison) -> list[Text]:
    """Write one line for each reconstruction that could not be compared, with the reason."""
    return [
        line_about(f"{cell.name} {printable(score.method)}", score.problem or "") for cell, score in comparison.problems
    ]


def _better_methods(comparison: RunComparison) -> set[tuple[str, str]]:
    """Find the places and methods that are better than another, and worse than none, beyond the spread."""
    better, worse = set(), set()
    for each in comparison.differences.differences if comparison.differences else ():
        if each.axis == "method" and each.lower is not None:
            better.add((each.place, each.lower))
            worse.add((each.place, each.second if each.lower == each.first else each.first))
    return better - worse


def difference_table(differences: RunDifferences) -> Table:
    """Draw which of the compared ones differ beyond the spread, and by what factor."""
    table = Table(title=f"{differences.label}: second over first (95 % interval)", title_justify="left")
    for heading in ("where", "first", "second"):
        table.add_column(heading)
    for heading in ("second / first", f"p of {', '.join(_numbers_compared(differences))}"):
        table.add_column(heading, justify="right")
    table.add_column("beyond the spread?")
    for each in differences.differences:
        names = [
            Text(printable(name), style="bold" if name == each.lower else "") for name in (each.first, each.second)
        ]
        words = Text(verdict_words(each), style="" if each.lower is None else "bold")
        table.add_row(each.place, *names, factor_words(each), p_words(each.p_corrected), words)
    return table


def _numbers_compared(differences: RunDifferences) -> list[str]:
    return list(dict.fromkeys(str(each.n_compared) for each in differences.differences))


def _score_text(score: MethodScore, *, is_better: bool) -> Text:
    if score.problem:
        return Text("✘ see below", style="bold red")
    if score.is_reference:
        return Text("the reference", style="dim")
    if score.original:
        phase, amplitude = score.original.phase, score.original.amplitude
        ratios = ", ".join(number_text(similarity.psnr_peak_255_db, ".1f") for similarity in (phase, amplitude))
        return Text(f"{ratios} | {phase.ms_ssim:.3f}, {amplitude.ms_ssim:.3f}", style="bold" if is_better else "")
    if score.reference:
        return _reference_text(score.reference, is_better=is_better)
    metrics = score.metrics
    if metrics is None:
        return Text("-")
    crossing = metrics.frc and metrics.frc.half_bit
    resolution = "-" if metrics.frc is None else f"{crossing.resolution_px:.1f}" if crossing else "≤ 1"
    notes = [" ≥ empty"] * metrics.no_better_than_empty + [" unregistered"] * metrics.alignment.shift_beyond_bound
    text = f"{metrics.phase_rmse_rad:.3f} | {number_text(metrics.phase.ssim, '.3f')} | {resolution}{''.join(notes)}"
    style = "yellow" if notes else "bold" if is_better else ""
    return Text(text, style=style)
