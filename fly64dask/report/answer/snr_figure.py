"""Draws the spectral SNR over repeats: one curve for each dose, a panel for each view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.report.figure_parts import INKS, flowing_panels, legend_inches, title_inches
from fly64dask.study import DOSE_UNITS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fly64dask.report.answer.content import SnrCurve
    from fly64dask.study import DoseBy


LEAST_SNR = 0.01  # the lowest SNR that is drawn; below it a ring shows no signal


def draw_snr(curves: Sequence[SnrCurve], dose_by: DoseBy, *, side_nm: float | None = None) -> Figure:
    """Draw spectral SNR over spatial frequency.

    Parameters
    ----------
    curves : sequence of SnrCurve
        At least one.
    dose_by : str
        What a dose counts, as in a study.
    side_nm : float, optional
        Side of a pixel, which the axis names.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each split and section, a column for each view, a colour for each dose. Rings without a signal scatter
        about 0, and those below a hundredth are not drawn.
    """
    lines = list(dict.fromkeys((curve.split, curve.section) for curve in curves))
    views = list(dict.fromkeys(curve.view for curve in curves))
    doses = list(dict.fromkeys(curve.dose for curve in curves))
    titles = [f"{view} {split}" + (f"\n{section}" if section else "") for split, section in lines for view in views]
    figure, axes = flowing_panels(len(lines), len(views), max(3.2, title_inches(titles)), 2.6)
    of_side = "" if side_nm is None else f" of {side_nm:.3g} nm"
    for curve in curves:
        axis = axes[lines.index((curve.split, curve.section)) * len(views) + views.index(curve.view)]
        dose = doses.index(curve.dose)
        snr = np.array([np.nan if value is None or value < LEAST_SNR else value for value in curve.snr])
        label = f"{curve.dose.removeprefix('dose_')}, {curve.n_repeats} repeats"
        axis.plot(curve.frequency_per_px, snr, color=INKS[dose % len(INKS)], linewidth=1.1, label=label)
    for axis, title in zip(axes, titles, strict=True):
        if not axis.lines:
            axis.text(0.5, 0.5, "fewer than three repeats", transform=axis.transAxes, ha="center", fontsize=8)
        axis.axhline(1, color="0.3", linewidth=0.9, linestyle="--", label="signal equals noise")
        axis.set(xlim=(0, 0.5), yscale="log", title=title)
        axis.set_ylim(bottom=LEAST_SNR)
        axis.title.set_fontsize(9)
        axis.set_xlabel(f"spatial frequency\n(cycles/px{of_side})", fontsize=8)
        axis.set_ylabel("spectral SNR over repeats", fontsize=8)
        axis.tick_params(labelsize=7)
    drawn = {str(line.get_label()): line for axis in axes for line in axis.lines}
    title = f"dose ({DOSE_UNITS[dose_by]})"
    figure.set_figwidth(figure.get_figwidth() + legend_inches([title, *drawn]))
    figure.legend(drawn.values(), drawn, fontsize=7, title=title, title_fontsize=7, loc="outside right upper")
    return figure
