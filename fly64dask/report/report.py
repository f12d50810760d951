"""A run directory -> a page that shows what its cells gave, and figures of it for papers."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fly64dask.base import software_versions, utc_now
from fly64dask.monitoring import read_live
from fly64dask.records import ManifestRow, count_states, quantity_of, read_rows, repeat_groups, spread_of, unfollowed
from fly64dask.report.cells import CellReader, CellView
from fly64dask.report.columns import flat_row, in_order, mapped_numbers
from fly64dask.report.page import PictureStore, curve_points, render_page
from fly64dask.scan import GOOD_COVERED_TWICE, GOOD_LIT_PER_UNKNOWN, MIN_COVERED_TWICE, MIN_LIT_PER_UNKNOWN
from fly64dask.store import holder_of, publish_text
from fly64dask.study import MENDS, SPLITS, Cell, Study, cells, dose_name

if TYPE_CHECKING:
    from fly64dask.store import RunLayout

# Said once for the run, or too long to read in a cell's table; the downloads have them.
NOT_SHOWN = ("versions.", "seeds.", "attempts", "error", "log_path")


def write_report(study: Study, layout: RunLayout, out: Path, *, figures: Path | None = None) -> None:
    """Write a run's page, and its figures if they are wanted.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run; finished, under way or damaged: the page shows what is there, and says what is not.
    out : Path
        The page; replaced in one step if it is there.
    figures : Path, optional
        Directory for PNG and SVG figures; made if missing.

    Notes
    -----
    Cells are read one at a time; what stays in memory is the page.
    """
    # Before the rows: a cell that ends in between is then counted as running, never as pending.
    live = read_live(layout, cells(study))
    rows = read_rows(layout, cells(study))
    reader = CellReader(study, layout, rows)
    store = PictureStore(n_cells=sum(row.state == "completed" for row in rows))
    by_cell = {row.cell: row for row in rows}
    gallery = None
    if figures is not None:
        from fly64dask.report.figures import Gallery

        gallery = Gallery(n_cells=len(cells(study)))
    found = []
    for cell in cells(study):
        row = by_cell.get(cell)
        view = CellView() if row is None else reader.read(row)
        found.append(_cell_content(cell, row, view, store, running=cell in live, root=layout.root))
        if gallery is not None and row is not None:
            gallery.add(row, view)
    flat_rows = [flat_row(row) for row in rows]
    content = _content(study, layout, rows, found, reader.problems, list(live))
    publish_text(out, render_page(content, store, flat_rows))
    if figures is not None and gallery is not None:
        gallery.write(study, rows, figures)


def _cell_content(
    cell: Cell, row: ManifestRow | None, view: CellView, store: PictureStore, *, running: bool, root: Path
) -> dict[str, Any]:
    flat = flat_row(row) if row else {}
    numbers = mapped_numbers(flat)
    state = "pending" if row is None else row.state
    content: dict[str, Any] = {
        "name": cell.name,
        "dose": dose_name(cell.dose),
        "view": cell.view,
        "split": cell.split,
        "state": "running" if running and (row is None or row.state != "completed") else state,
        "prediction": flat.get("identifiability.prediction"),
        "numbers": numbers,
        "facts": {
            name: value for name, value in flat.items() if name not in numbers and not name.startswith(NOT_SHOWN)
        },
        "curves": {curve.key: curve_points(curve) for curve in view.curves},
        "problems": list(view.problems),
        "caveats": unfollowed(row) if row else [],
        "pictures": [],
        "left_out": [],
    }
    if row is not None and row.state == "completed":
        content |= store.add_cell(view)
    elif row is not None:
        content |= {"kind": row.failure_kind, "error": row.error, "log": row.log_path, "tries": _commands(row, root)}
    return content


def _commands(row: ManifestRow, root: Path) -> list[str]:
    """Commands that try a failed cell again, likeliest to help first."""
    run = shlex.quote(str(root))
    if row.state == "damaged":
        return [f"fly64dask verify {run} --repair"]
    which = f"--dose {dose_name(row.dose).removeprefix('dose_')} --view {row.view} --split {row.split}"
    which += f" --repeat {row.repeat}" if row.repeat else ""
    kinds = [kind for kind, mended in MENDS.items() if row.failure_kind in mended]
    special = [kind for kind in kinds if kind != "as-is"] or kinds
    return [f"fly64dask rerun {run} --failed {which} --remedy {kind}" for kind in special]


def _content(
    study: Study,
    layout: RunLayout,
    rows: Sequence[ManifestRow],
    found: Sequence[dict[str, Any]],
    problems: Sequence[str],
    running: Sequence[Cell],
) -> dict[str, Any]:
    columns = in_order(column for cell in found for column in cell["numbers"])
    by_name = {cell["name"]: cell for cell in found}
    quantities = [(column, quantity_of(column)) for column in columns]
    return {
        "study": study.name,
        "run": str(layout.root),
        "made_at": utc_now()[:19].replace("T", " ") + " UTC",
        "counts": count_states(study, rows, running),
        "notices": _notices(study, layout, rows, found, problems, running),
        "doses": [dose_name(dose) for dose in study.doses_photons],
        "views": [view.name for view in study.views],
        "splits": list(SPLITS),
        "quantities": [
            {"key": column, "label": one.label, "unit": one.unit, "better": one.better} for column, one in quantities
        ],
        "thresholds": {
            "good_lit": GOOD_LIT_PER_UNKNOWN,
            "min_lit": MIN_LIT_PER_UNKNOWN,
            "good_twice": GOOD_COVERED_TWICE,
            "min_twice": MIN_COVERED_TWICE,
        },
        "cells": list(found),
        "places": [_place(group, names, by_name) for group, names in _names(study).items()],
        "provenance": _provenance(study, rows),
    }


def _names(study: Study) -> dict[tuple[float | str, str, str], list[str]]:
    """Names of a study's cells by their place in the matrix: repeats share one."""
    return {group: [cell.name for cell in some] for group, some in repeat_groups(study).items()}


def _place(
    group: tuple[float | str, str, str], names: Sequence[str], by_name: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """One place of the matrix: its cells, and mean and spread of what is known of more than one of them."""
    values: dict[str, list[float]] = {}
    for name in names:
        for column, value in by_name[name]["numbers"].items():
            values.setdefault(column, []).append(value)
    return {
        "dose": dose_name(group[0]),
        "view": group[1],
        "split": group[2],
        "cells": list(names),
        "numbers": {
            column: spread_of(some).model_dump(exclude_none=True) for column, some in values.items() if len(some) > 1
        },
    }


def _notices(
    study: Study,
    layout: RunLayout,
    rows: Sequence[ManifestRow],
    found: Sequence[dict[str, Any]],
    problems: Sequence[str],
    running: Sequence[Cell],
) -> list[dict[str, str]]:
    """What a reader must know before any number: what is missing, damaged or not finished."""
    said = []
    n_absent = len(cells(study)) - len(rows)
    holder = holder_of(layout)
    if holder is not None:
        said.append(("running", f"This run is held by {holder}; the page shows what was committed when it was made."))
    if n_absent:
        said.append(("pending", f"{n_absent} of {len(cells(study))} cells have no result yet."))
    if running and holder is None:
        said.append(("failed", f"{len(running)} cells were running when their process ended; run again to continue."))
    n_failed = sum(row.state != "completed" for row in rows)
    if n_failed:
        said.append(("failed", f"{n_failed} cells have no reconstruction; their reasons are below."))
    n_unfollowed = sum(bool(cell["caveats"]) for cell in found)
    if n_unfollowed:
        without = (
            f"{n_unfollowed} of {len(cells(study))} cells without the half sets or the stopping rule of their recipe"
        )
        said.append(("pending", f"{without}; each says why."))
    said += [("damaged", f"Damaged: {problem}") for problem in problems]
    said += [("damaged", f"Damaged, {cell['name']}: {problem}") for cell in found for problem in cell["problems"]]
    if any(cell["left_out"] for cell in found):
        said.append(("pending", "Some pictures are left out to keep this page small; `report --figures` draws them."))
    return [{"kind": kind, "text": text} for kind, text in said]


def _provenance(study: Study, rows: Sequence[ManifestRow]) -> dict[str, Any]:
    """Where the numbers come from: the study, and what computed each cell."""
    versions = Counter(pair for row in rows for pair in (row.versions or {}).items())
    return {
        "study": study.model_dump(mode="json", exclude_none=True),
        "versions": [[name, version, number] for (name, version), number in sorted(versions.items())],
        "devices": dict(Counter(row.device for row in rows if row.device)),
        "report": {"made with fly64dask": software_versions()["fly64dask"], **_commit()},
    }


def _commit() -> dict[str, str]:
    commit = software_versions().get("commit")
    return {"commit": commit} if commit else {}
