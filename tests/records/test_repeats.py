"""Repeats: the same exposures with other photons, counted and summed up; a study without them is as it always was."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from faulty_engine import ENGINE, FOLDER
from hypothesis import given, strategies as st
from rich.console import Console
from several import several_study
from tiny import TEXT, tiny_study

from fly64dask.base import Frozen, InputError
from fly64dask.cli.terminal.matrix import matrix_table
from fly64dask.datasets import expose_split, prepare_scan, read_inputs
from fly64dask.deploy import Placement
from fly64dask.metrics import HalfSetMetrics, TruthMetrics
from fly64dask.metrics.ring_correlation import Crossing
from fly64dask.records import ManifestRow, read_record, spread_of
from fly64dask.records.repeats import spreads_of, summarise
from fly64dask.runs import run_study, verify_run
from fly64dask.simulation import photon_stream
from fly64dask.store import (
    ExposureAttributes,
    RunLayout,
    counts_array,
    open_group,
    positions_array,
    probe_array,
    write_group,
)
from fly64dask.study import Cell, Filters, cells, parse_study, skip_reasons

STUDY = tiny_study(repeats=3)
values = st.floats(min_value=-1e6, max_value=1e6)


def groups_of(root, study, doses=(1e4,)):
    """Exposures of the train half, by dose and repeat: their layout."""
    layout = RunLayout(root)
    prepare_scan(study, layout)
    for dose in doses:
        for repeat in range(study.repeats):
            expose_split(study, dose, "train", layout, repeat=repeat)
    return layout


def sha256_of(layout, repeat, dose=1e4):
    return open_group(layout.exposure_group(dose, "train", repeat), ExposureAttributes).array_sha256


def counts_of(layout, repeat, dose=1e4):
    group = layout.exposure_group(dose, "train", repeat)
    return open_group(group, ExposureAttributes).read("counts").astype(np.float64)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Three draws of one dose's photons."""
    return groups_of(tmp_path_factory.mktemp("drawn"), STUDY)


def test_expose_split_changes_the_photons_of_a_repeat_and_nothing_else(drawn):
    first, second = sha256_of(drawn, 0), sha256_of(drawn, 1)
    assert {name for name in first if first[name] != second[name]} == {"counts", "exposure_photons", "mean_pattern"}


def test_expose_split_draws_repeat_0_as_a_study_without_repeats_does(drawn, tmp_path):
    assert sha256_of(groups_of(tmp_path, tiny_study()), 0) == sha256_of(drawn, 0)


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)])
def test_expose_split_draws_independent_poisson_counts_in_repeats(drawn, pair):
    """Of two independent Poisson counts with one mean and sum n, (a - b)^2 has the mean n: b is binomial, p = 1/2."""
    a, b = (counts_of(drawn, repeat) for repeat in pair)
    lit = a + b > 0
    ratios = (a - b)[lit] ** 2 / (a + b)[lit]
    assert abs(ratios.mean() - 1.0) < 5 * math.sqrt(2 / lit.sum())


def test_expose_split_thins_a_measured_scan_anew_in_each_repeat(tmp_path):
    study = measured_study(tmp_path, "[20.0]", repeats=2)
    layout = groups_of(tmp_path / "run", study, doses=(20.0,))
    first, second = counts_of(layout, 0, 20.0), counts_of(layout, 1, 20.0)
    assert not np.array_equal(first, second)
    assert first.sum() == pytest.approx(second.sum(), rel=0.2)


def test_read_inputs_refuses_repeats_of_the_measured_dose_in_numbers(tmp_path):
    with pytest.raises(InputError, match='write it as "measured"'):
        read_inputs(measured_study(tmp_path, "[64.0]", repeats=2))


def measured_study(folder, doses, repeats):
    """A study of a measured scan of one photon in each of 64 pixels."""
    store = folder / "scan.zarr"
    store.mkdir()
    positions = np.random.default_rng(1).uniform(10, 50, (30, 2))
    write_group(
        store,
        ExposureAttributes(
            created_at="",
            software={},
            source_digest="",
            source={},
            dose_photons=64.0,
            mean_counts_photons=64.0,
            brightest_count_photons=1,
            n_exposures=30,
        ),
        [
            counts_array((30, 8, 8), np.dtype(np.uint16), [np.ones((30, 8, 8), np.uint16)]),
            positions_array(positions),
            probe_array(np.ones((1, 1, 8, 8), np.complex64)),
        ],
    )
    text = TEXT[: TEXT.index("[source]")].replace("[1e4, 1e5]", f"{doses}\nrepeats = {repeats}")
    return parse_study(f'{text}\n[source]\nkind = "measured"\npath = "{store}"', origin="measured.toml")


@given(st.lists(st.tuples(st.integers(0, 2**70) | st.none(), st.integers(0, 60)), min_size=2, max_size=20, unique=True))
def test_photon_stream_is_another_one_for_each_object_and_repeat(keys):
    drawn = {photon_stream(42, 1e3, "train", repeat, seed).integers(2**63) for seed, repeat in keys}
    assert len(drawn) == len(keys)


def test_parse_study_refuses_to_repeat_what_was_measured(tmp_path):
    with pytest.raises(InputError, match="leave repeats out, or add doses in photons"):
        measured_study(tmp_path, '["measured"]', repeats=2)


def test_cells_has_the_measured_dose_once_among_repeats(tmp_path):
    study = measured_study(tmp_path, '["measured", 20.0]', repeats=3)
    assert {cell.repeat for cell in cells(study) if cell.dose == "measured"} == {0}
    assert {cell.repeat for cell in cells(study) if cell.dose == 20.0} == {0, 1, 2}


def test_cells_begins_with_the_cells_of_a_study_without_repeats():
    assert tuple(cell for cell in cells(STUDY) if not cell.repeat) == cells(tiny_study())


def test_cell_names_a_repeat_beside_its_dose():
    assert Cell(dose=1e3, view="sparse", split="train", repeat=2).name == "dose_1000.repeat_2/sparse/train"


@given(
    st.lists(st.floats(min_value=1e-6, max_value=1e9), min_size=1, max_size=8, unique=True),
    st.integers(min_value=1, max_value=12),
)
def test_cells_have_names_of_which_none_lies_in_another(doses, n_repeats):
    matrix = cells(tiny_study(doses_photons=tuple(doses), repeats=n_repeats))
    names = {cell.name for cell in matrix}
    assert len(names) == len(matrix) == len(doses) * 6 * n_repeats
    assert not {str(parent) for name in names for parent in Path(name).parents} & names


def test_skip_reasons_keeps_the_wanted_repeats():
    skipped = skip_reasons(STUDY, Filters(repeat=(0, 2)))
    assert {cell.repeat for cell in cells(STUDY) if cell not in skipped} == {0, 2}
    assert set(skipped.values()) == {"repeat 1 is not in --repeat 0 2"}


def test_skip_reasons_refuses_a_repeat_that_the_study_does_not_have():
    with pytest.raises(InputError, match="--repeat 3: study 'tiny' has 0, 1, 2"):
        skip_reasons(STUDY, Filters(repeat=(3,)))


@given(st.lists(values, min_size=2, max_size=30))
def test_spread_of_is_that_of_numpy(some):
    found = spread_of(some)
    assert found.n == len(some)
    assert found.mean == pytest.approx(np.mean(some), rel=1e-9, abs=1e-6)
    assert found.standard_deviation == pytest.approx(np.std(some, ddof=1), rel=1e-9, abs=1e-6)
    assert found.standard_error == pytest.approx(np.std(some, ddof=1) / np.sqrt(len(some)), rel=1e-9, abs=1e-6)


def test_spread_of_one_value_says_nothing_of_a_spread():
    assert spread_of([2.5]).model_dump(exclude_none=True) == {"n": 1, "mean": 2.5}


class Inner(Frozen):
    """A record within one."""

    resolution_px: float


class Measured(Frozen):
    """Fields of every kind that a record of metrics may have."""

    error_rad: float
    n_pixels: int
    known: float | None = None
    said: str = "words"
    flag: bool = True
    ring: Inner | None = None


def test_spreads_of_takes_every_number_of_a_record_by_name():
    some = [Measured(error_rad=1.0, n_pixels=4, ring=Inner(resolution_px=3.0)), Measured(error_rad=3.0, n_pixels=4)]
    found = spreads_of([*some, Measured(error_rad=2.0, n_pixels=4, known=7.0)])
    assert {name: (spread.n, spread.mean) for name, spread in found.items()} == {
        "error_rad": (3, 2.0),
        "n_pixels": (3, 4.0),
        "known": (1, 7.0),
        "ring.resolution_px": (1, 3.0),
    }


def row(repeat, error=None, dose=1e4, state="completed"):
    """A committed cell of view `all`, train."""
    metrics = error and TruthMetrics.model_construct(phase_rmse_rad=error, empty_phase_rmse_rad=0.25, n_pixels=9)
    kind = None if state == "completed" else "timed_out"
    made = {"dose": dose, "view": "all", "split": "train", "repeat": repeat, "state": state, "failure_kind": kind}
    made |= {"returncode": int(kind is not None), "log_path": "x", "n_kept": 33, "final_loss": 0.5}
    half_sets = error and HalfSetMetrics(split_by="counts", half=Crossing.model_construct(resolution_px=10 * error))
    return ManifestRow.model_construct(**made, metrics=metrics, half_sets=half_sets)


def test_summarise_counts_an_interrupted_repeat_as_pending():
    found = next(summarise(STUDY, [row(0, 0.1), row(1, state="interrupted"), row(2, 0.2)]))
    assert (found.n_completed, found.n_failed, found.n_pending, found.failure_kinds) == (2, 0, 1, {})


def test_summarise_counts_a_failed_repeat_beside_the_others():
    found = next(summarise(STUDY, [row(0, 0.1), row(1, state="failed"), row(2, 0.2)]))
    assert (found.n_repeats, found.n_completed, found.n_failed, found.n_pending) == (3, 2, 1, 0)
    assert found.failure_kinds == {"timed_out": 1}
    assert found.metrics["phase_rmse_rad"].n == 2
    assert found.metrics["phase_rmse_rad"].mean == pytest.approx(0.15)


def test_summarise_has_the_spread_of_what_is_measured_without_a_truth():
    found = next(summarise(STUDY, [row(0, 0.1), row(1, 0.3)])).half_sets["half.resolution_px"]
    assert (found.n, found.mean, found.standard_deviation) == (2, pytest.approx(2.0), pytest.approx(2**0.5))


def test_summarise_counts_repeats_that_are_not_committed_as_pending():
    found = [*summarise(STUDY, [row(0, 0.1)])]
    assert [one.n_pending for one in found] == [2] + [3] * (len(found) - 1)


def test_summarise_has_one_entry_for_each_dose_view_and_split():
    found = [(one.dose, one.view, one.split) for one in summarise(STUDY, [])]
    assert found == [(cell.dose, cell.view, cell.split) for cell in cells(tiny_study())]


def test_summarise_has_one_entry_for_each_recipe_and_object():
    study = several_study(repeats=2)
    rows = [row(k, 0.1, dose=1e5) for k in (0, 1)]
    rows = [one.model_copy(update={"recipe_name": "poisson", "object_seed": 8}) for one in rows]
    found = [*summarise(study, rows)]
    assert [(one.view, one.split, one.recipe_name, one.object_seed) for one in found] == [
        (cell.view, cell.split, cell.recipe_name, cell.object_seed) for cell in cells(several_study())
    ]
    assert [(one.recipe_name, one.object_seed) for one in found if one.n_completed == 2] == [("poisson", 8)]


def test_summarise_refuses_rows_out_of_the_order_of_the_cells():
    with pytest.raises(ValueError, match="dose_10000/all/train is not in the order"):
        [*summarise(STUDY, [row(0, 0.1, dose=1e5), row(0, 0.1)])]


def drawn_table(rows):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(matrix_table(STUDY, rows))
    return console.export_text()


def test_matrix_table_shows_mean_spread_and_number_of_repeats():
    assert "✔ n=33 0.105 ± 0.004 rad (3)" in drawn_table([row(0, 0.101), row(1, 0.105), row(2, 0.109)])


def test_matrix_table_shows_a_failed_repeat_beside_the_spread_of_the_others():
    text = drawn_table([row(0, 0.101), row(1, state="failed"), row(2, 0.109)])
    assert "✘ n=33 0.105 ± 0.006 rad (2), 1 timed_out" in text


def test_matrix_table_shows_repeats_that_are_pending():
    assert "· n=33 0.101 rad (1), 2 pending" in drawn_table([row(0, 0.101)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of one cell a split; the same directory with three repeats, of which one fails; and once more."""
    folder = tmp_path_factory.mktemp("runs")
    few = {"doses_photons": (1e5,), "views": STUDY.views[:1]}
    layout = RunLayout(folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(folder))
        patch.setenv("PYTHONPATH", str(Path(tiny.__file__).parent))
        made = {}
        for name, n_repeats, faults in (
            ("without", 1, {}),
            ("failing", 3, {"dose_100000.repeat_1-all-train": "raise"}),
            ("again", 3, {}),
        ):
            (folder / "faults.json").write_text(json.dumps(faults))
            study = tiny_study(**few, repeats=n_repeats)
            report = run_study(study, layout.root, placement=Placement(n_workers=1), engine=ENGINE)
            document = json.loads(layout.manifest_file.read_text())
            calls = {path.name: path.read_text().count("call") for path in folder.glob("dose_*")}
            record = read_record(layout, cells(study)[0])
            made[name] = SimpleNamespace(
                report=report, rows=report.rows, document=document, calls=calls, record=record, study=study
            )
    return SimpleNamespace(**made, layout=layout)


@pytest.mark.cluster
def test_run_study_keeps_the_finished_cells_when_repeats_are_added(runs):
    assert runs.failing.record == runs.without.record
    assert set(runs.failing.calls.values()) == {1}


@pytest.mark.cluster
def test_run_study_writes_no_summary_without_repeats(runs):
    assert "summary" not in runs.without.document


@pytest.mark.cluster
def test_run_study_loses_no_repeat_beside_a_failed_one(runs):
    failed = [row.cell.name for row in runs.failing.rows if row.state != "completed"]
    assert failed == ["dose_100000.repeat_1/all/train"]
    assert len(runs.failing.rows) == 6


@pytest.mark.cluster
def test_run_study_counts_the_failed_repeat_in_the_manifests_summary(runs):
    train = runs.failing.document["summary"][0]
    assert (train["split"], train["n_completed"], train["failure_kinds"]) == ("train", 2, {"crashed": 1})


@pytest.mark.cluster
def test_run_study_runs_a_failed_repeat_alone_again(runs):
    before, after = runs.failing.calls, runs.again.calls
    assert {name for name in after if after[name] != before[name]} == {"dose_100000.repeat_1-all-train"}


@pytest.mark.cluster
def test_run_study_summarises_the_metrics_of_its_rows(runs):
    errors = [row.metrics.phase_rmse_rad for row in runs.again.report.manifest.execution_results[:3]]
    found = runs.again.document["summary"][0]["metrics"]["phase_rmse_rad"]
    assert (found["n"], found["mean"]) == (3, pytest.approx(np.mean(errors)))
    assert found["standard_deviation"] == pytest.approx(np.std(errors, ddof=1))


@pytest.mark.cluster
def test_run_study_gives_each_repeat_its_own_numbers(runs):
    digests = [row.digests["counts"] for row in runs.again.report.manifest.execution_results]
    assert len(set(digests)) == 6


@pytest.mark.cluster
def test_verify_run_finds_nothing_wrong_with_repeats_and_a_damaged_one_by_name(runs):
    assert verify_run(runs.again.study, runs.layout) == ()
    cell = replace(cells(runs.again.study)[0], repeat=2)
    runs.layout.log_file(cell).write_text("")
    assert [one.path for one in verify_run(runs.again.study, runs.layout)] == [
        "dose_100000.repeat_2/all/train/ptychi.log"
    ]
