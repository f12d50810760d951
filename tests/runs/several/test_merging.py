"""Several runs as one: every cell once, every byte checked, and what does not fit together named."""

from __future__ import annotations

import hashlib
import shutil

import pandas
import pytest
from finished_runs import SIX_CELLS

from fly64dask.base import InputError, IntegrityError
from fly64dask.records import read_record, write_record, write_run_study
from fly64dask.runs import clean_run, merge_runs, open_run, open_runs
from fly64dask.store import RunLayout, held_run, unchanging_run
from fly64dask.study import cells

FIRST = cells(SIX_CELLS)[0]


@pytest.fixture
def copy(six_cells, tmp_path):
    shutil.copytree(six_cells.root, tmp_path / "copy")
    return RunLayout(tmp_path / "copy")


def content(layout):
    files = (path for path in layout.root.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def change_record(layout, cell, **changes):
    """Write a cell's record anew with some of its values changed."""
    write_record(layout.cell_directory(cell), read_record(layout, cell).model_copy(update=changes))


@pytest.fixture
def merged(six_cells, low_dose, tmp_path):
    return merge_runs([six_cells.root, low_dose.root], tmp_path / "both")


def test_merged_run_has_the_cells_of_both_doses(merged):
    assert merged.study.doses_photons == (1e4, 1e5)
    assert merged.counts == {"completed": 8, "failed": 4}


def test_merged_run_is_whole(merged):
    assert merged.verify() == ()


def test_merged_run_has_the_rows_of_both(merged, six_cells, low_dose):
    both = pandas.concat([open_run(low_dose.root).table(), open_run(six_cells.root).table()])
    assert merged.table().equals(both)


def test_merged_run_has_a_manifest_of_all_cells(merged):
    assert len(merged.manifest.execution_results) == 12


def test_merging_leaves_the_runs_as_they_are(six_cells, low_dose, tmp_path):
    before = content(six_cells) | content(low_dose)
    merge_runs([six_cells.root, low_dose.root], tmp_path / "both")
    assert content(six_cells) | content(low_dose) == before


def test_cells_of_one_study_on_two_machines_come_together(six_cells, copy, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(six_cells.root, other)
    shutil.rmtree(copy.cell_directory(FIRST))
    shutil.rmtree(RunLayout(other).cell_directory(cells(SIX_CELLS)[1]))
    assert merge_runs([copy.root, other], tmp_path / "both").counts == {"completed": 4, "failed": 2}


def test_a_completed_cell_comes_before_a_failed_one(six_cells, copy, tmp_path):
    failed = read_record(copy, cells(SIX_CELLS)[-1])
    change_record(
        copy, FIRST, state="failed", returncode=1, failure_kind=failed.failure_kind, error="it failed", cell_key=None
    )
    assert merge_runs([copy.root, six_cells.root], tmp_path / "both").counts == {"completed": 4, "failed": 2}


def test_a_cell_with_other_arrays_is_a_conflict_with_its_name(six_cells, copy, tmp_path):
    digests = read_record(copy, FIRST).digests
    change_record(copy, FIRST, digests=digests | {"object_recon": "0" * 64})
    with pytest.raises(InputError, match=f"1 cell has different results: {FIRST.name} in .*other arrays"):
        merge_runs([six_cells.root, copy.root], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_a_cell_with_another_key_is_a_conflict(six_cells, copy, tmp_path):
    change_record(copy, FIRST, cell_key="0" * 64)
    with pytest.raises(InputError, match="other inputs, recipe or versions"):
        merge_runs([six_cells.root, copy.root], tmp_path / "both")


def test_first_wins_takes_the_result_of_the_first_run(six_cells, copy, tmp_path):
    change_record(copy, FIRST, cell_key="0" * 64)
    merged = merge_runs([six_cells.root, copy.root], tmp_path / "both", first_wins=True)
    assert read_record(merged.layout, FIRST) == read_record(six_cells, FIRST)


def test_different_studies_are_refused_with_what_differs(six_cells, copy, tmp_path):
    write_run_study(copy, SIX_CELLS.with_recipe(n_epochs=7))
    with pytest.raises(InputError, match=r"different studies: recipe.n_epochs is 2 and 7;"):
        merge_runs([six_cells.root, copy.root], tmp_path / "both")


def test_the_device_may_differ(six_cells, copy, tmp_path):
    write_run_study(copy, SIX_CELLS.with_recipe(device="auto"))
    assert merge_runs([six_cells.root, copy.root], tmp_path / "both").study == SIX_CELLS


def test_a_flipped_bit_is_found_and_nothing_is_left(low_dose, copy, tmp_path):
    arrays = copy.reconstruction_group(FIRST)
    data = bytearray(arrays.read_bytes())
    data[len(data) // 2] ^= 1
    arrays.write_bytes(data)
    with pytest.raises(IntegrityError, match="1 part is damaged"):
        merge_runs([copy.root, low_dose.root], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_exposures_that_one_run_lacks_come_from_the_other(six_cells, copy, tmp_path):
    clean_run(SIX_CELLS, copy)
    merged = merge_runs([copy.root, six_cells.root], tmp_path / "both")
    assert (merged.verify(), merged.layout.cleaned_file.exists()) == ((), False)


def test_exposures_that_both_runs_lack_are_noted(low_dose, copy, tmp_path):
    clean_run(SIX_CELLS, copy)
    merged = merge_runs([copy.root, low_dose.root], tmp_path / "both")
    assert (merged.verify(), merged.layout.cleaned_file.exists()) == ((), True)


def test_a_run_under_way_is_refused(low_dose, copy, tmp_path):
    with held_run(copy), pytest.raises(InputError, match="another run is using it"):
        merge_runs([copy.root, low_dose.root], tmp_path / "both")


def test_runs_that_another_merge_reads_are_merged(six_cells, low_dose, tmp_path):
    with unchanging_run(six_cells), unchanging_run(low_dose):
        assert len(merge_runs([six_cells.root, low_dose.root], tmp_path / "both").table()) == 12


def test_a_directory_that_is_not_empty_is_refused(six_cells, low_dose, copy):
    with pytest.raises(InputError, match="not empty"):
        merge_runs([six_cells.root, low_dose.root], copy.root)


def test_the_same_run_twice_is_refused(six_cells, tmp_path):
    with pytest.raises(InputError, match="got 1 different run;"):
        merge_runs([six_cells.root, six_cells.root], tmp_path / "both")


def test_table_of_several_runs_has_the_rows_of_each(six_cells, low_dose):
    table = open_runs([six_cells.root, low_dose.root]).table()
    assert table.xs(str(low_dose.root), level="run").equals(open_run(low_dose.root).table())
    assert len(table) == 12


def test_table_of_several_runs_is_written_with_units(six_cells, low_dose, tmp_path):
    runs = open_runs([six_cells.root, low_dose.root])
    runs.write_table(tmp_path / "both.parquet")
    read = pandas.read_parquet(tmp_path / "both.parquet")
    assert (read.columns[0], len(read), read.attrs["units"]["dose"]) == ("run", 12, "photons per exposure")


def test_open_runs_refuses_doses_that_count_other_things(six_cells, copy):
    write_run_study(copy, SIX_CELLS.model_copy(update={"dose_by": "total"}))
    with pytest.raises(InputError, match="their doses count different quantities"):
        open_runs([six_cells.root, copy.root])
