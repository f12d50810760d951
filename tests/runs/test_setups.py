"""A run of two setups: each has exposures of its own, and every reader of the run tells them apart."""

from __future__ import annotations

import json

import numpy as np
import pytest
from several import make_run, publish_groups
from tiny import TEXT, tiny_study

from fly64dask.base import InputError
from fly64dask.datasets import read_inputs
from fly64dask.records import read_record, read_rows
from fly64dask.records.derived import StudyNow
from fly64dask.runs import open_run, verify_run
from fly64dask.scheduling import plan_cells
from fly64dask.store import ExposureAttributes, RunLayout, ScanAttributes, open_group
from fly64dask.study import Cell, Setup, cells, parse_study

SETUP = """
[setup]
background_photons = [0, 2]
gap_px = 2
full_well_photons = 1000
position_jitter_px = 0.3
"""
VIEW = '{name = "all", rule = "baseline"}'
ONE_VIEW = TEXT[: TEXT.index("views")] + f"views = [{VIEW}]\n" + TEXT[TEXT.index("overlap") :]


def parsed(setup=SETUP, doses="[1e5]"):
    return parse_study(ONE_VIEW.replace("[1e4, 1e5]", doses) + setup, origin="setups.toml")


STUDY = parsed()
NAMES = ("background_photons_0", "background_photons_2")
pytestmark = pytest.mark.process


def cell_of(name):
    return Cell(dose=1e5, view="all", split="train", setup_name=name)


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return make_run(STUDY, tmp_path_factory.mktemp("setups") / "run")


def exposures_of(layout, name, dose=1e5):
    return open_group(layout.exposure_group(dose, "train", setup_name=name), ExposureAttributes)


def test_two_values_give_cells_with_data_of_their_own(layout):
    rows = read_rows(layout, cells(STUDY))
    assert [row.setup_name for row in rows] == [*NAMES, *NAMES]
    none, some = (exposures_of(layout, name).read("counts") for name in NAMES)
    valid = exposures_of(layout, NAMES[0]).read("valid_pixels")
    assert some[:, valid].mean() - none[:, valid].mean() == pytest.approx(2.0, rel=0.1)
    assert not some[:, ~valid].any()


def test_a_record_has_the_setup_and_what_its_detector_did(layout):
    record = read_record(layout, cell_of(NAMES[1]))
    assert record.setup == Setup(background_photons=2, gap_px=2, full_well_photons=1000, position_jitter_px=0.3)
    assert record.mean_background_photons == 2 * (24 - 2) ** 2
    exposures = exposures_of(layout, NAMES[1])
    saturated = (exposures.read("counts") == 1000).sum() / (exposures.attributes.n_exposures * 22**2)
    assert record.saturated_share == pytest.approx(saturated)
    assert record.unmasked_share is None


def test_dose_and_fluence_are_of_the_samples_photons_and_the_real_mean_is_what_was_counted(layout):
    none, some = (read_record(layout, cell_of(name)) for name in NAMES)
    assert none.fluence_photons_per_px2 == some.fluence_photons_per_px2
    assert some.total_photons == 1e5 * some.n_kept
    assert some.mean_counts_photons > none.mean_counts_photons
    assert some.dose_deviation is None


def test_the_engine_gets_the_positions_that_the_scan_says(layout):
    scan = open_group(layout.scan_group(), ScanAttributes).read("positions_px")
    exposures = exposures_of(layout, NAMES[0])
    assert np.array_equal(exposures.read("positions_px"), scan[exposures.read("scan_index")])


def test_readers_of_a_run_tell_setups_apart(layout):
    run = open_run(layout.root)
    assert run.sel(dose=1e5, view="all", split="train", setup_name=NAMES[1]).name == f"dose_100000.{NAMES[1]}/all/train"
    assert list(run.table().index.names) == ["dose", "view", "split", "repeat", "setup_name"]
    assert run.table()["setup.background_photons"].tolist() == [0, 2, 0, 2]
    assert list(run.metrics.setup_name.values) == list(NAMES)
    with pytest.raises(InputError, match=f"setups {NAMES[0]}, {NAMES[1]}"):
        run.sel(dose=1e5, view="all", split="train")


def test_manifest_names_the_setup_and_its_exposures(layout):
    manifest = json.loads(layout.manifest_file.read_text())
    assert {job["input"] for job in manifest["jobs"]} == {
        f"exposures.zarr/dose_100000.{name}/{split}" for name in NAMES for split in ("train", "test")
    }
    assert verify_run(STUDY, layout) == ()


def test_a_value_that_changes_leaves_cells_of_other_data(layout):
    rows = read_rows(layout, cells(STUDY))
    changed = StudyNow(parsed(SETUP.replace("jitter_px = 0.3", "jitter_px = 0.4")), layout)
    assert {changed.outdated(row) for row in rows} == {"of other data"}
    assert {StudyNow(STUDY, layout).outdated(row) for row in rows} == {None}


def test_status_gives_the_rows_of_a_setup(layout, fly64dask):
    done = fly64dask("status", layout.root, "--setup", NAMES[1], "--json")
    assert {row["setup_name"] for row in json.loads(done.stdout)["cells"]} == {NAMES[1]}


def test_a_plan_has_the_setup_and_foresees_the_mask():
    known, unknown = (
        plan_cells(study, read_inputs(study), cells(study))[0]
        for study in (parsed(SETUP), parsed(SETUP + 'mask = "unknown"\n'))
    )
    assert known.setup == Setup(gap_px=2, full_well_photons=1000, position_jitter_px=0.3)
    assert known.identifiability.n_intensities < unknown.identifiability.n_intensities


def test_an_ideal_setup_has_the_bytes_of_a_study_without_one(tmp_path):
    with_setup, without = RunLayout(tmp_path / "a"), RunLayout(tmp_path / "b")
    publish_groups(parsed("[setup]\ngap_px = 0\n"), with_setup)
    publish_groups(parsed(""), without)
    one, other = (exposures_of(each, None) for each in (with_setup, without))
    assert one.array_sha256 == other.array_sha256
    assert one.attributes.source_digest == other.attributes.source_digest
    assert one.attributes.setup is None


def test_a_drift_exposes_where_a_scan_that_is_moved_by_hand_does(tmp_path):
    # Drift from the first of five exposures to the last by 2 px down and 1 px left, by hand.
    nominal = [[20.0, 30.0], [24.0, 40.0], [30.0, 20.0], [40.0, 44.0], [50.0, 30.0]]
    moved = [[19.0, 30.5], [23.5, 40.25], [30.0, 20.0], [40.5, 43.75], [51.0, 29.5]]
    drift = "[setup]\nposition_drift_y_px = 2.0\nposition_drift_x_px = -1.0\n"
    text = ONE_VIEW.replace("[1e4, 1e5]", '["noise_free"]').replace("[source]", 'split = "none"\n[source]')
    found = []
    for name, positions, setup in (("drift", nominal, drift), ("by_hand", moved, "")):
        scan = text.index("scan = {")
        listed = f'{text[:scan]}scan = {{kind = "listed", positions_px = {positions}}}\n'
        publish_groups(parse_study(listed + setup, origin="drift.toml"), RunLayout(tmp_path / name))
        group = open_group(RunLayout(tmp_path / name).exposure_group("noise_free", "whole"), ExposureAttributes)
        found.append(group.read("counts") / group.attributes.photons_per_intensity)
    assert np.allclose(*found, rtol=1e-5)


def test_setups_that_differ_in_the_start_alone_have_the_same_counts(tmp_path):
    publish_groups(parsed("[setup]\nprobe_defocus_waves = [0, 2]\n"), RunLayout(tmp_path))
    sharp, blurred = (
        exposures_of(RunLayout(tmp_path), f"probe_defocus_waves_{waves}").array_sha256 for waves in (0, 2)
    )
    assert sharp["counts"] == blurred["counts"]
    assert sharp["probe_guess"] != blurred["probe_guess"]


def test_pixels_that_the_engine_takes_for_dark_are_in_the_attributes_of_its_exposures(tmp_path):
    publish_groups(parsed('[setup]\ngap_px = 2\nmask = "unknown"\n'), RunLayout(tmp_path))
    exposures = exposures_of(RunLayout(tmp_path), None)
    # A cross of 2 of 24 px along each axis.
    assert exposures.attributes.unmasked_share == pytest.approx(1 - (22 / 24) ** 2)
    assert "valid_pixels" not in exposures.names


def test_exposures_without_noise_have_neither_background_nor_a_full_well(tmp_path):
    publish_groups(parsed(doses='["noise_free"]'), RunLayout(tmp_path))
    none, some = (exposures_of(RunLayout(tmp_path), name, "noise_free") for name in NAMES)
    assert none.array_sha256["counts"] == some.array_sha256["counts"]
    assert some.attributes.mean_background_photons is None
    assert some.attributes.brightest_count_photons > 1000


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ("position_drift_y_px = 40", "true positions of the setup"),
        ("position_drift_y_px = [0, 40]", "true positions of setup position_drift_y_px_40"),
        ("gap_px = 24", "leave none of the detector's 24 x 24 px"),
        ("source_size_px = 9", "more than 64 coherent modes"),
    ],
)
def test_read_inputs_refuses_a_setup_that_cannot_be_simulated(setup, message):
    with pytest.raises(InputError, match=message):
        read_inputs(parsed(f"[setup]\n{setup}\n"))


def test_a_study_without_setups_has_the_keys_that_it_always_had(tmp_path):
    layout = make_run(tiny_study(doses_photons=(1e5,)), tmp_path / "run", [Cell(dose=1e5, view="all", split="train")])
    manifest = json.loads(layout.manifest_file.read_text())
    keys = {*manifest["jobs"][0], *manifest["filters"], *manifest["execution_results"][0]}
    assert not {"setup", "setup_name", "mean_background_photons", "saturated_share", "unmasked_share"} & keys
