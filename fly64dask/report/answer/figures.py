"""Draws all figures of a run's answer, by the names of their files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fly64dask.records import answer_of
from fly64dask.report.answer.curves import draw_limits
from fly64dask.report.answer.overlap_map import draw_overlap_map
from fly64dask.report.answer.snr_figure import draw_snr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fly64dask.records import ManifestRow
    from fly64dask.report.answer.content import SnrCurve
    from fly64dask.study import Study


def answer_figures(
    study: Study, rows: Sequence[ManifestRow], snr: Sequence[SnrCurve], side_nm: float | None
) -> Iterator[tuple[str, Figure]]:
    """Draw the limits of a study with targets, maps of fluence and overlap, and the spectral SNR of repeats.

    Parameters
    ----------
    study : Study
        The study.
    rows : sequence of ManifestRow
        Its committed cells, completed by their context.
    snr : sequence of SnrCurve
        The curves of cells with three repeats or more.
    side_nm : float or None
        Side of a pixel.

    Yields
    ------
    str, matplotlib.figure.Figure
        The name of a file without its suffix, and the figure.
    """
    if study.targets:
        answer = answer_of(study, rows)
        yield "limits", draw_limits(answer, side_nm=side_nm)
        for number, target in enumerate(answer.targets, 1):
            of_target = draw_overlap_map(target)
            if of_target is not None:
                yield f"fluence-overlap-{number}-{target.target.kind}", of_target
    if snr:
        yield "snr", draw_snr(snr, study.dose_by, side_nm=side_nm)
