"""Writes the report of a run directory: a page with the results of its cells, and figures for papers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from fly64dask.base import software_versions
from fly64dask.records import (
    STATE_SIGNS,
    ManifestRow,
    legend_of,
)
from fly64dask.report.answer import RepeatSnr, RunTotals, SnrCurve, answer_content, read_totals
from fly64dask.report.cells import CellArrays, CellReader, cell_content, places_of, quantities_of
from fly64dask.report.columns import flat_row
from fly64dask.report.content import (
    MAX_CELLS,
    N_KEY_COLOURS,
    CellContent,
    ColourMap,
    Provenance,
    ReportContent,
    Thresholds,
    VersionCount,
)
from fly64dask.report.frames import frames_content
from fly64dask.report.notices import cell_notices, cleaned_notices, part_notices, state_notices
from fly64dask.report.page import page_time, render_page
from fly64dask.report.pictures import PictureStore, hex_colours
from fly64dask.scan import GOOD_COVERED_TWICE, GOOD_LIT_PER_UNKNOWN, MIN_LIT_PER_UNKNOWN
from fly64dask.store import publish_text
from fly64dask.study import (
    DOSE_UNITS,
    Dose,
    Study,
    cells,
    dose_name,
    doses_of,
    part_of_study,
    sections,
)

if TYPE_CHECKING:
    from fly64dask.report.figures import Gallery
    from fly64dask.store import RunLayout


def write_report(
    study: Study,
    layout: RunLayout,
    out: Path,
    *,
    figures: Path | None = None,
    doses: Sequence[Dose] = (),
    views: Sequence[str] = (),
) -> tuple[str, ...]:
    """Write the page of a run, and its figures if a directory for them is given.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run, which may be finished, under way or damaged: the page shows what is there, and says what is missing.
    out : Path
        The page; replaced in one step if it is there.
    figures : Path, optional
        Directory for PNG and SVG figures; made if missing.
    doses, views : sequence
        Cells of these alone are shown; of all if empty.

    Returns
    -------
    tuple of str
        The notices of the page that name what is damaged or missing; empty if all is well.

    Notes
    -----
    Cells are read one at a time, and only the page stays in memory. It shows at most `MAX_CELLS` cells: if there are
    more, some of the study's doses, views, objects and repeats. The answer and the provenance cover all cells.

    Raises
    ------
    InputError
        If the study has no such dose or view.
    """
    part = part_of_study(study, MAX_CELLS, doses=doses, views=views)
    totals, row_of = read_totals(study, layout, cells(part))
    shown_rows = [row for row in row_of.values() if row is not None]
    reader = CellReader(study, layout, shown_rows)
    store = PictureStore(n_cells=sum(row.state == "completed" for row in shown_rows))
    gallery = None if figures is None else _gallery(n_cells=len(cells(part)))
    contents, snr = [], RepeatSnr()
    for cell, row in row_of.items():
        arrays = CellArrays() if row is None else reader.read(row)
        pictures = None if row is None or row.state != "completed" else store.add_cell(arrays)
        is_running = cell in totals.running
        contents.append(cell_content(cell, row, arrays, pictures, is_running=is_running, root=layout.root))
        if row is not None:
            snr.add(row, arrays)
            if gallery is not None:
                gallery.add(row, arrays)
    snr.finish()
    content = _content(layout, totals, shown_rows, contents, store, snr.curves, part, problems=reader.problems)
    publish_text(out, render_page(content, [flat_row(row) for row in shown_rows]))
    if figures is not None and gallery is not None:
        gallery.write(part, shown_rows, snr.curves, figures)
    return tuple(notice.text for notice in content.notices if notice.kind == "damaged")


def _gallery(n_cells: int) -> Gallery:
    from fly64dask.report.figures import Gallery

    return Gallery(n_cells=n_cells)


def _content(
    layout: RunLayout,
    totals: RunTotals,
    shown_rows: Sequence[ManifestRow],
    contents: Sequence[CellContent],
    store: PictureStore,
    snr: Iterable[SnrCurve],
    part: Study,
    *,
    problems: Iterable[str],
) -> ReportContent:
    study, frame_problems = totals.study, list[str]()
    frames = frames_content(study, layout, store, frame_problems)
    problems = [*problems, *frame_problems]
    left_out = part_notices(part, n_cells=len(cells(study)), run=str(layout.root))
    of_run = [*cleaned_notices(layout), *state_notices(study, layout, totals)]
    notices = [*left_out, *of_run, *cell_notices(contents, problems)]
    ended = [row for row in shown_rows if row.cell not in totals.running]
    return ReportContent(
        study=study.name,
        run=str(layout.root),
        made_at=page_time(),
        counts=totals.counts,
        notices=tuple(notices),
        answer=answer_content(totals, str(layout.root), snr),
        doses=tuple(dose_name(dose) for dose in doses_of(part)),
        dose_unit=DOSE_UNITS[study.dose_by],
        views=tuple(view.name for view in part.views),
        splits=study.splits,
        sections=tuple(section.label for section in sections(part)),
        quantities=quantities_of(contents, totals.lead({column for cell in contents for column in cell.numbers})),
        frames=frames,
        thresholds=Thresholds(
            good_lit=GOOD_LIT_PER_UNKNOWN,
            min_lit=MIN_LIT_PER_UNKNOWN,
            good_twice=GOOD_COVERED_TWICE,
        ),
        cells=tuple(contents),
        places=places_of(part, contents, {row.cell: row for row in ended}),
        marks=legend_of(part, ended),
        state_signs=STATE_SIGNS,
        provenance=_provenance(totals),
        images=tuple(store.images),
        scans=store.scans,
        colours={name: hex_colours(name, N_KEY_COLOURS) for name in get_args(ColourMap)},
    )


def _provenance(totals: RunTotals) -> Provenance:
    """Say which software and devices computed how many cells."""
    ours = software_versions()
    report = {"made with fly64dask": ours["fly64dask"]}
    return Provenance(
        study=totals.study,
        versions=tuple(
            VersionCount(name=name, version=version, n_cells=n_cells)
            for (name, version), n_cells in sorted(totals.versions.items())
        ),
        devices=dict(totals.devices),
        report=report | ({"commit": ours["commit"]} if ours.get("commit") else {}),
    )
