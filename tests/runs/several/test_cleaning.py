"""Cleaning of a run: what goes, what stays and why, and that everything else works after it."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from finished_runs import SIX_CELLS

from fly64dask.base import InputError
from fly64dask.datasets import expose_split
from fly64dask.records import committed_attempt, read_cleaned, read_record, read_row, write_record
from fly64dask.report import write_report
from fly64dask.runs import clean_run, open_run, plan_cleaning, verify_run
from fly64dask.store import LOG_NAME, RECORD_NAME, RunLayout, held_run
from fly64dask.study import cells, realisation_of, realisations

STUDY = SIX_CELLS
FIRST = cells(STUDY)[0]


@pytest.fixture
def run(six_cells, tmp_path):
    shutil.copytree(six_cells.root, tmp_path / "run")
    return RunLayout(tmp_path / "run")


def content(layout):
    """Digest of each file of a run by its path."""
    files = (path for path in layout.root.rglob("*") if path.is_file() and path != layout.lock_file)
    return {path.relative_to(layout.root): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def groups(layout):
    return [layout.exposure_group(*drawn) for drawn in realisations(STUDY, cells(STUDY))]


def tried_again(layout, cell):
    """Commit a second attempt at a cell, equal to its first."""
    log, record = layout.log_file(cell).read_bytes(), read_record(layout, cell)
    with committed_attempt(layout, cell) as directory:
        (directory / LOG_NAME).write_bytes(log)
        write_record(directory, record.model_copy(update={"attempt": 2}))


def test_plan_changes_nothing(run):
    before = content(run)
    plan_cleaning(STUDY, run)
    assert content(run) == before


def test_clean_frees_the_exposures_that_it_names(run):
    (cleaning,) = clean_run(STUDY, run, ["exposures"])
    assert sorted(cleaning.paths) == sorted(groups(run))
    assert not any(group.exists() for group in groups(run))


def test_freed_bytes_are_what_the_groups_took(run):
    expected = sum(512 * file.stat().st_blocks for group in groups(run) for file in group.rglob("*") if file.is_file())
    assert clean_run(STUDY, run, ["exposures"])[0].freed.n_bytes == expected


def test_cleaned_run_is_not_damaged(run):
    clean_run(STUDY, run)
    assert verify_run(STUDY, run) == ()


def test_export_says_that_exposures_were_cleaned_and_how_they_come_back(run, tmp_path):
    clean_run(STUDY, run)
    cell = open_run(run.root).sel(dose=FIRST.dose, view=FIRST.view, split=FIRST.split)
    with pytest.raises(InputError, match=r"there is no .*; run the study: it makes exposures that were cleaned"):
        cell.export(tmp_path / "x.tif")
    assert not (tmp_path / "x.tif").exists()


def test_exposures_that_were_removed_by_hand_are_damage_beside_cleaned_ones(run):
    first, second = groups(run)
    shutil.move(second, run.root / "kept")
    shutil.rmtree(first)
    assert [damage.path for damage in verify_run(STUDY, run)] == [
        str(group.relative_to(run.root)) for group in (first, second)
    ]


def test_arrays_of_exposures_are_made_again_byte_for_byte(run):
    # The metadata of a group say when it was made.
    times = {group.relative_to(run.root) / "zarr.json" for group in groups(run)}
    before = content(run)
    clean_run(STUDY, run, ["exposures"])
    for drawn in realisations(STUDY, cells(STUDY)):
        expose_split(STUDY, layout=run, **drawn._asdict())
    after = {path: digest for path, digest in content(run).items() if run.root / path != run.cleaned_file}
    assert after.keys() == before.keys()
    assert {path for path in before if before[path] != after[path]} == times


def test_nothing_is_noted_as_missing_once_it_is_there_again(run):
    clean_run(STUDY, run, ["exposures"])
    for drawn in realisations(STUDY, cells(STUDY)):
        expose_split(STUDY, layout=run, **drawn._asdict())
    assert read_cleaned(run) is None


def test_table_is_the_same_after_cleaning(run):
    before = open_run(run.root).table()
    clean_run(STUDY, run)
    assert open_run(run.root).table().equals(before)


def test_exposures_of_a_pending_cell_are_kept(run):
    shutil.rmtree(run.cell_directory(FIRST))
    (cleaning,) = clean_run(STUDY, run, ["exposures"])
    kept = run.exposure_group(*realisation_of(STUDY, FIRST))
    assert ([group for group in groups(run) if group.exists()], list(cleaning.kept)) == (
        [kept],
        ["cells that have not ended need them"],
    )


def test_exposures_of_a_pending_cell_go_if_asked(run):
    shutil.rmtree(run.cell_directory(FIRST))
    clean_run(STUDY, run, ["exposures"], unfinished=True)
    assert not any(group.exists() for group in groups(run))


def test_exposures_that_the_study_would_draw_otherwise_are_kept(run):
    other = STUDY.model_copy(update={"split": STUDY.split.model_copy(update={"fraction": 0.6})})
    (cleaning,) = plan_cleaning(other, run, ["exposures"])
    assert (cleaning.paths, list(cleaning.kept)) == ((), ["the study as it is now would make others"])


def test_exposures_of_another_object_than_the_study_has_are_kept(run):
    other = STUDY.model_copy(update={"source": STUDY.source.model_copy(update={"seed_pair": 2})})
    (cleaning,) = plan_cleaning(other, run, ["exposures"])
    (reason,) = cleaning.kept
    assert (cleaning.paths, reason.startswith("they could not be made again")) == ((), True)


def test_checkpoints_of_ended_cells_alone_go(run):
    pending, done = cells(STUDY)[:2]
    shutil.rmtree(run.cell_directory(pending))
    for cell in (pending, done):
        run.checkpoint_file(cell).parent.mkdir(parents=True, exist_ok=True)
        run.checkpoint_file(cell).write_bytes(b"state")
    clean_run(STUDY, run, ["checkpoints"])
    assert [run.checkpoint_file(cell).exists() for cell in (pending, done)] == [True, False]


def test_records_of_replaced_attempts_stay(run):
    tried_again(run, FIRST)
    before = read_row(run, FIRST)
    clean_run(STUDY, run, ["history"])
    left = [path.name for path in run.history_directory(FIRST, 1).iterdir()]
    assert (left, read_row(run, FIRST)) == ([RECORD_NAME], before)


def test_a_run_under_way_is_refused(run):
    with held_run(run), pytest.raises(InputError, match="another run is using it"):
        clean_run(STUDY, run)
    assert all(group.exists() for group in groups(run))


def test_report_of_a_cleaned_run_says_so_and_names_no_damage(run):
    clean_run(STUDY, run, ["exposures"])
    write_report(STUDY, run, run.report_file)
    page = run.report_file.read_text()
    assert ("No pictures of objects whose exposures are missing. cleaned on" in page, "Damaged" in page) == (
        True,
        False,
    )
