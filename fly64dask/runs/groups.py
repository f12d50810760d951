"""Lists the groups of exposures, views and truth that the store of a run may hold."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fly64dask.records import each_row
from fly64dask.store import (
    SPACING_PREFIX,
    ExposureAttributes,
    GroupAttributes,
    RunLayout,
    ScanAttributes,
    TruthAttributes,
    ViewAttributes,
)
from fly64dask.study import Split, Study, cells, realisations


def groups_of(study: Study, layout: RunLayout) -> dict[Path, type[GroupAttributes]]:
    """List every group that a run's store may hold, with the kind of its attributes."""
    return groups_of_study(study, layout) | dict.fromkeys(respaced_groups(study, layout), ViewAttributes)


def groups_of_study(study: Study, layout: RunLayout) -> dict[Path, type[GroupAttributes]]:
    """List the groups that a study makes by itself, whatever its cells have become: no record is read."""
    groups: dict[Path, type[GroupAttributes]] = {}
    for object_seed in study.object_seeds:
        groups[layout.scan_group(object_seed)] = ScanAttributes
        if study.source.kind != "measured":
            groups[layout.truth_group(object_seed)] = TruthAttributes
    groups |= {layout.exposure_group(*drawn): ExposureAttributes for drawn in realisations(study, cells(study))}
    for split in study.splits:
        groups |= {layout.view_group(view.name, split): ViewAttributes for view in study.views}
    return groups


def respaced_groups(study: Study, layout: RunLayout) -> dict[Path, tuple[str, Split, float]]:
    """List the groups of views that cells keep at another spacing, with view, split and spacing (px).

    Those in the store, and those that are missing there though a cell's latest attempt reads them.
    """
    groups: dict[Path, tuple[str, Split, float]] = {}
    for view in study.views:
        for split in study.splits:
            for path in layout.respaced_folder(view.name).glob(f"{SPACING_PREFIX}*/{split}"):
                with suppress(ValueError):  # somebody else's directory
                    groups[path] = (view.name, split, float(path.parent.name.removeprefix(SPACING_PREFIX)))
    for row in each_row(layout, cells(study)):
        if row.remedy is not None and row.remedy.spacing_threshold is not None:
            groups[layout.kept_group(row.cell, row.remedy)] = (row.view, row.split, row.remedy.spacing_threshold)
    return groups
