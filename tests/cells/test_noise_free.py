"""A noise-free cell through the real engine: what it runs with, what its record says, and who reads it."""

from __future__ import annotations

import numpy as np
import pytest
from one_cell import run_one
from tiny import tiny_study

from fly64dask.base import InputError
from fly64dask.datasets import expose_split, prepare_scan, read_inputs, select_view
from fly64dask.reconstruction import Exposures
from fly64dask.records import read_record, read_row, unfollowed, write_run_study
from fly64dask.runs import open_run, reconstruct, verify_run
from fly64dask.scheduling import plan_cells
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Recipe

CELL = Cell(dose="noise_free", view="few", split="train")
STUDY = tiny_study(doses_photons=("noise_free",), stop="half_sets", halves="counts", patience=10)


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    made = RunLayout(tmp_path_factory.mktemp("cell") / "run")
    prepare_scan(STUDY, made)
    expose_split(STUDY, "noise_free", "train", made)
    select_view(STUDY, "few", "train", made)
    run_one(STUDY, CELL, made)
    write_run_study(made, STUDY)
    return made


def test_noise_free_cell_keeps_the_last_epoch_by_its_own_rule(layout):
    record = read_record(layout, CELL)
    assert record.state == "completed"
    assert (record.stopping.rule, record.stopping.best_epoch, record.stopping.fallback) == ("epochs", 3, None)


def test_noise_free_cell_is_not_marked_as_without_its_rule(layout):
    assert unfollowed(read_row(layout, CELL)) == []


def test_noise_free_row_names_no_number_of_photons(layout):
    row = read_row(layout, CELL)
    assert (row.dose, row.dose_photons, row.identifiability.photons_per_unknown) == ("noise_free", None, None)


def test_noise_free_run_verifies(layout):
    assert verify_run(STUDY, layout) == ()


def test_noise_free_cell_is_selected_and_opened_by_its_word(layout):
    cell = open_run(layout.root).sel(dose="noise_free", view="few", split="train")
    assert cell.exposures.counts.dtype == np.float32
    assert float(cell.exposures.counts.sum()) > 0
    assert cell.reconstruction.loss.size == 3


def test_noise_free_cell_is_planned_without_the_memory_of_half_sets():
    drawn = STUDY.model_copy(update={"doses_photons": (1e3, "noise_free")})
    chosen = [Cell(dose=dose, view="few", split="train") for dose in drawn.doses_photons]
    with_halves, noise_free = plan_cells(drawn, read_inputs(drawn), chosen)
    assert noise_free.dose_photons is None
    assert noise_free.predicted_memory_bytes < with_halves.predicted_memory_bytes


def exposures_of(layout, **changes):
    opened = open_run(layout.root).sel(dose="noise_free", view="few", split="train").exposures
    given = {name: opened[name].values for name in ("counts", "positions_px", "probe_guess")}
    return Exposures(**given | changes)


def test_reconstruct_takes_expected_counts_that_say_so(layout):
    result = reconstruct(exposures_of(layout, noise_free=True), Recipe(n_epochs=2, device="cpu", stop="half_sets"))
    assert "noise-free" in result.stopping.fallback
    assert len(result.loss) == 2


def test_reconstruct_refuses_floats_that_do_not(layout):
    with pytest.raises(InputError, match="noise_free=True"):
        reconstruct(exposures_of(layout))


def test_reconstruct_refuses_expected_counts_below_zero(layout):
    counts = -exposures_of(layout).counts
    with pytest.raises(InputError, match="at least 0"):
        reconstruct(exposures_of(layout, counts=counts, noise_free=True))
