"""A small study of two recipes and two objects, and a run of it that is made by calls, without a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tiny
from faulty_engine import ENGINE
from one_cell import run_one

from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.records import read_rows, write_manifest, write_run_study
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Filters, Study, cells, parse_study, realisations

SHARED = 'recipe = {n_epochs = 3, batch_size = 16, device = "cpu"}'
RECIPES = """
recipes = [
    {name = "gauss"},
    {name = "poisson", noise_model = "poisson", batch_size = 60, n_epochs = 2},
]
"""
TEXT = tiny.TEXT.replace(SHARED, SHARED + RECIPES).replace("seed_pair = 1", "seed_pair = [7, 8]")
assert SHARED in tiny.TEXT


def several_study(**changes: object) -> Study:
    """The study, one dose of it unless others are asked for."""
    return parse_study(TEXT, origin="several.toml").model_copy(update={"doses_photons": (1e5,)} | changes)


def publish_groups(study: Study, layout: RunLayout) -> None:
    """Publish all that the cells of a study read."""
    for object_seed in study.object_seeds:
        prepare_scan(study, layout, object_seed=object_seed)
    for split in study.splits:
        for view in study.views:
            select_view(study, view.name, split, layout, object_seed=study.object_seeds[0])
    for drawn in realisations(study, cells(study)):
        expose_split(study, layout=layout, **drawn._asdict())


def make_run(study: Study, root: Path, wanted: Sequence[Cell] | None = None) -> RunLayout:
    """Run the cells of a study with the engine of the tests, and write what a run writes."""
    layout = RunLayout(root)
    publish_groups(study, layout)
    for cell in cells(study) if wanted is None else wanted:
        run_one(study, cell, layout, engine=ENGINE)
    write_run_study(layout, study)
    write_manifest(study, layout, Filters(), {}, read_rows(layout, cells(study)))
    return layout
