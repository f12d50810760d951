"""The light of a cell's exposures in its record: what was asked, what came, and what lights the sample."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from measured import measured_study, write_scan
from one_cell import run_one
from tiny import tiny_study

from fly64dask.cells import open_inputs
from fly64dask.datasets import expose_split, prepare_scan, read_truth, select_view
from fly64dask.records import read_record
from fly64dask.store import RunLayout, ScanAttributes, open_group
from fly64dask.study import Cell

CELL = Cell(dose=1e5, view="few", split="train")
STUDY = tiny_study(source=tiny_study().source.model_copy(update={"pixel_size_nm": 4.0}))


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    found = RunLayout(tmp_path_factory.mktemp("light") / "run")
    prepare_scan(STUDY, found)
    expose_split(STUDY, 1e5, "train", found)
    select_view(STUDY, "few", "train", found)
    return found


@pytest.fixture(scope="module")
def facts(layout):
    return open_inputs(STUDY, layout, CELL).facts()


def kept_counts(layout):
    group, view = (zarr.open_group(str(path), mode="r") for path in groups(layout))
    return group["counts"][:][view["kept_indices"][:]].astype(np.float64)


def groups(layout):
    return layout.exposure_group(1e5, "train"), layout.view_group("few", "train")


def test_facts_count_the_photons_of_the_kept_exposures(layout, facts):
    counts = kept_counts(layout)
    assert facts.mean_counts_photons == pytest.approx(counts.sum() / len(counts), rel=1e-12)
    assert facts.total_photons == pytest.approx(counts.sum(), rel=1e-12)
    assert facts.dose_photons == 1e5


def test_facts_say_nothing_of_a_mean_that_is_as_asked(facts):
    assert facts.dose_deviation is None


def test_facts_give_the_fluence_where_a_pixel_has_a_size(facts):
    assert facts.fluence_photons_per_nm2 == pytest.approx(facts.fluence_photons_per_px2 / 16)


def test_facts_are_in_nm_where_a_pixel_has_a_size(facts):
    assert facts.pixel_size_nm == (4.0, 4.0)
    assert facts.step_nm == pytest.approx(4 * facts.step_px)
    assert facts.illuminated_area_um2 == pytest.approx(16e-6 * facts.illuminated_area_px2)


def test_incident_photons_follow_from_the_stored_probe_and_scale(layout, facts):
    # A pattern has the sum of its exit wave: what the probe brings is scaled as the patterns are.
    scale = open_inputs(STUDY, layout, CELL).exposures.attributes.photons_per_intensity
    power = float((np.abs(read_truth(layout).probe).astype(np.float64) ** 2).sum())
    assert facts.incident_photons == pytest.approx(scale * power, rel=1e-12)


def test_detected_share_is_that_of_an_object_that_absorbs(layout):
    pair = read_truth(layout)
    share = open_group(layout.scan_group(), ScanAttributes).attributes.detected_share
    transmitted = np.abs(pair.object_truth) ** 2
    assert transmitted.min() < share < transmitted.max()
    assert share == pytest.approx(transmitted.mean(), abs=0.02)


def test_exposures_keep_the_photons_of_each_exposure(layout):
    group = zarr.open_group(str(groups(layout)[0]), mode="r")
    assert (group["exposure_photons"][:] == group["counts"][:].sum(axis=(1, 2))).all()


def test_photons_of_exposures_are_no_part_of_a_cells_key(layout):
    assert set(open_inputs(STUDY, layout, CELL).sha256) == {"counts", "positions_px", "probe_guess", "kept_indices"}


def test_record_has_the_light_of_its_cell(layout, facts):
    run_one(STUDY, CELL, layout, None, lambda epoch, loss: None)
    record = read_record(layout, CELL)
    assert record.total_photons == facts.total_photons
    assert record.linear_overlap == facts.linear_overlap
    assert record.fluence_photons_per_nm2 == facts.fluence_photons_per_nm2


@pytest.fixture(scope="module")
def mad_frame(tmp_path_factory):
    """A scan whose first exposure holds nearly all photons, thinned to 10 per exposure; facts of both halves."""
    folder = tmp_path_factory.mktemp("mad")
    counts = np.ones((60, 8, 8), np.uint32)
    counts[0] = 2**20
    write_scan(folder / "scan.zarr", counts)
    study, layout = measured_study(folder / "scan.zarr", "[1000.0]"), RunLayout(folder / "run")
    prepare_scan(study, layout)
    facts = {}
    for split in ("train", "test"):
        expose_split(study, 1000.0, split, layout)
        select_view(study, "all", split, layout)
        facts[split] = open_inputs(study, layout, Cell(dose=1000.0, view="all", split=split)).facts()
    return facts


def test_facts_say_that_one_frame_holds_the_photons_that_others_lack(mad_frame):
    assert mad_frame.keys() == {"train", "test"}
    for found in mad_frame.values():
        assert found.dose_photons == 1000.0
        assert f"real mean of {found.mean_counts_photons:.4g} photons per exposure" in found.dose_deviation


def test_facts_count_the_exposures_without_a_photon(mad_frame):
    # 59 of 60 exposures have 64 of 6.7e7 photons, of which 6e4 stay: 0.057 each, none with a chance of 94 %.
    assert 48 <= sum(found.n_dark for found in mad_frame.values()) <= 59


def test_facts_of_a_measured_scan_know_no_incident_photons(mad_frame):
    assert {found.incident_photons for found in mad_frame.values()} == {None}


def test_a_cell_whose_numbers_of_photons_are_damaged_fails_by_name(tmp_path):
    layout = RunLayout(tmp_path / "run")
    prepare_scan(STUDY, layout)
    expose_split(STUDY, 1e5, "train", layout)
    select_view(STUDY, "few", "train", layout)
    (chunk,) = (layout.exposure_group(1e5, "train") / "exposure_photons").glob("c.*")
    chunk.write_bytes(chunk.read_bytes()[:-1])
    run_one(STUDY, CELL, layout)
    record = read_record(layout, CELL)
    assert (record.state, record.failure_kind) == ("failed", "bad_input")
    assert "exposure_photons" in record.error
    assert record.mean_counts_photons is None
