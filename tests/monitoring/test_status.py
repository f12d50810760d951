"""What a look at a run directory shows, also while its study grows."""

from __future__ import annotations

from tiny import tiny_study

from fly64dask.monitoring import RunReader
from fly64dask.records import write_run_study
from fly64dask.store import RunLayout
from fly64dask.study import Addition, cells

STUDY = tiny_study()
GROWN = STUDY.model_copy(
    update={"added": (Addition(dose=3e4, view="all", split="train", n_repeats=2, round=1, reason="x"),)}
)


def test_a_reader_that_follows_a_run_sees_the_cells_that_a_round_adds(tmp_path):
    layout = RunLayout(tmp_path)
    write_run_study(layout, STUDY)
    reader = RunReader(STUDY, layout, follows=True)
    assert reader.read().counts == {"pending": len(cells(STUDY))}
    write_run_study(layout, GROWN)
    assert reader.read().counts == {"pending": len(cells(STUDY)) + 2}


def test_a_reader_of_one_study_keeps_to_it(tmp_path):
    layout = RunLayout(tmp_path)
    reader = RunReader(STUDY, layout)
    write_run_study(layout, GROWN)
    assert reader.read().study == STUDY


def test_a_study_that_becomes_damaged_leaves_a_reader_its_last_one(tmp_path):
    layout = RunLayout(tmp_path)
    write_run_study(layout, GROWN)
    reader = RunReader(STUDY, layout, follows=True)
    assert reader.read().study == GROWN
    layout.study_file.write_text("{}")
    assert reader.read().study == GROWN
