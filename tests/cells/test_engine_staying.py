"""What the project's engine gives does not depend on what its process has done before. Real pty-chi."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil

import numpy as np
import pytest
from one_cell import run_one
from process_families import grandchildren_of
from small_scan import small_counts, small_positions, small_probe
from tiny import tiny_study

from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.reconstruction import Exposures
from fly64dask.records import read_record
from fly64dask.runs import reconstruct
from fly64dask.store import LOG_NAME, RunLayout
from fly64dask.study import Cell, Recipe

EXPOSURES = Exposures(counts=small_counts(), positions_px=small_positions(), probe_guess=small_probe()[None, None])
# Each after others that share with it, by name, the settings and streams of a process.
RECIPES = [
    Recipe(**{"n_epochs": 3, "batch_size": 8, "device": "cpu"} | changes)
    for changes in (
        {"noise_model": "poisson"},
        {},
        {"halves": "counts", "stop": "half_sets"},
        {"accelerated": False},
        {"batching": "compact"},
        {"refine_positions": True},
        {"opr_modes": 2},
        {"algorithm": "ePIE"},
        {"noise_model": "poisson", "batch_size": 7},
        {},
    )
]


def engines():
    """Processes of engines that are there: those of the fork servers, which are children of this process."""
    return {process.pid for process in grandchildren_of(os.getpid())}


def arrays_of(result):
    values = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


@pytest.mark.process
def test_reconstruct_gives_the_same_bits_in_a_process_that_has_run_others(monkeypatch):
    stayed, processes, before = [], set(), engines()
    for recipe in RECIPES:
        stayed.append(reconstruct(EXPOSURES, recipe))
        processes |= engines() - before
    assert len(processes) == 1
    for number, (recipe, result) in enumerate(zip(RECIPES, stayed, strict=True)):
        monkeypatch.setenv("FLY64DASK_TEST_NUMBER", str(number))  # no process of another environment is taken
        of_new, of_stayed = arrays_of(reconstruct(EXPOSURES, recipe)), arrays_of(result)
        assert set(of_new) == set(of_stayed)
        for name, values in of_new.items():
            assert values.tobytes() == of_stayed[name].tobytes(), (recipe, name)


def cell_of(view):
    return Cell(dose=1e5, view=view, split="train")


@pytest.fixture
def layouts(tmp_path):
    """The same exposures twice, without a cell."""
    study, first = tiny_study(halves="counts"), RunLayout(tmp_path / "first")
    prepare_scan(study, first)
    expose_split(study, 1e5, "train", first)
    for view in ("all", "few"):
        select_view(study, view, "train", first)
    shutil.copytree(first.root, tmp_path / "second")
    return study, first, RunLayout(tmp_path / "second")


def own_lines(layout, view):
    """What the package has logged. Others may say a thing once in a process, as torch does some warnings."""
    text = (layout.cell_directory(cell_of(view)) / LOG_NAME).read_text()
    return re.findall(r"[A-Z]+ fly64dask.*", text)


def test_run_cell_stores_and_logs_the_same_in_a_process_that_has_run_another_cell(layouts, monkeypatch):
    study, first, second = layouts
    before = engines()
    for view in ("all", "few"):
        assert run_one(study, cell_of(view), first).failure is None
    assert len(engines() - before) == 1
    monkeypatch.setenv("FLY64DASK_TEST_NUMBER", "another")
    assert run_one(study, cell_of("few"), second).failure is None
    records = [read_record(layout, cell_of("few")) for layout in (first, second)]
    assert records[0].digests == records[1].digests
    logs = [own_lines(layout, "few") for layout in (first, second)]
    assert len(logs[0]) == study.recipe.n_epochs
    assert logs[0] == logs[1]
