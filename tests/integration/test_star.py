"""The measured Siemens star: ingested, run as a study, and checked without any ground truth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command

from fly64dask.metrics import remove_phase_ramp
from fly64dask.reconstruction import LSQML, Exposures, compare_halves, load_engine, shared_area
from fly64dask.scan import illuminated_area, illumination_map
from fly64dask.store import ExposureAttributes, open_group
from fly64dask.study import Recipe

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.engine]


def fly64dask(*arguments):
    done = run_command(*arguments, cwd=Path.cwd(), timeout=900)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def store(star_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("star") / "star.zarr"
    fly64dask("ingest", star_file, "--out", path)
    return path


@pytest.fixture(scope="module")
def rows(store):
    study = store.parent / "star.toml"
    shutil.copy(ROOT / "data" / "star.toml", study)
    # Each cell is three reconstructions, of the counts and of their halves: the outer doses and views.
    some = ("--dose", "1e4", "--dose", "measured", "--view", "baseline", "--view", "sparse")
    fly64dask("run", study, "--out", store.parent / "run", *some)
    manifest = json.loads((store.parent / "run" / "reconstruction_manifest.json").read_text())
    return {(r["dose"], r["view"], r["split"]): r for r in manifest["execution_results"]}


def test_star_ends_with_completed_cells(rows):
    assert len(rows) == 8
    assert {row["state"] for row in rows.values()} == {"completed"}


def test_star_baseline_at_the_measured_dose_fits_its_counts(rows):
    # The loss starts at 11.2 with an empty object; photon noise alone leaves about 0.25.
    assert max(rows["measured", "baseline", split]["final_loss"] for split in ("train", "test")) < 0.7


def test_star_records_the_doses_it_was_thinned_to(rows):
    doses = {key[0]: round(row["dose_photons"]) for key, row in rows.items()}
    assert doses == {1e4: 10000, "measured": 461213}


def test_star_has_no_truth_to_be_measured_against(rows):
    assert all("metrics" not in row for row in rows.values())


def test_star_resolves_less_with_fewer_photons(rows):
    resolution_px = {key: row["half_sets"]["resolution_px"] for key, row in rows.items()}
    for split in ("train", "test"):
        assert resolution_px[1e4, "baseline", split] > resolution_px["measured", "baseline", split]


def test_star_differs_from_its_reference_the_more_the_fewer_photons_and_exposures(rows):
    assert "reference" not in rows["measured", "baseline", "train"]
    dim, sparse = (rows[key]["reference"] for key in ((1e4, "sparse", "train"), ("measured", "sparse", "train")))
    assert dim["name"] == "dose_measured/baseline/train"
    assert dim["over_empty"] > sparse["over_empty"] > 0


@pytest.fixture(scope="module")
def halves(store):
    """Phases of two reconstructions, from even and odd exposures, on the area that both illuminated."""
    group = open_group(store, ExposureAttributes)
    whole = {name: group.read(name) for name in ("counts", "positions_px", "probe_guess")}
    images, areas = [], []
    for first in (0, 1):
        exposures = Exposures(
            counts=whole["counts"][first::2],
            positions_px=whole["positions_px"][first::2],
            probe_guess=whole["probe_guess"],
        )
        result = load_engine(LSQML)(exposures, Recipe(n_epochs=15, device="cpu"), seed=123, progress=lambda *_: None)
        image, (y, x) = result.object_recon[0], result.object_origin_px
        lit = illuminated_area(
            illumination_map(result.probe_recon, exposures.positions_px, image.shape, result.object_origin_px)
        )
        window = np.s_[-150 - y : 150 - y, -150 - x : 150 - x]
        images.append(image[window])
        areas.append(lit[window])
    both = areas[0] & areas[1]
    return [remove_phase_ramp(image, both)[both] for image in images]


def test_star_halves_agree(halves):
    correlation = np.corrcoef(*halves)[0, 1]
    assert correlation > 0.85


def test_star_halves_see_a_phase_object(halves):
    assert min(phase.std() for phase in halves) > 0.1


def test_star_halves_by_exposures_give_a_resolution_without_a_truth(store):
    group = open_group(store, ExposureAttributes)
    exposures = Exposures(**{name: group.read(name) for name in ("counts", "positions_px", "probe_guess")})
    recipe = Recipe(n_epochs=8, device="cpu", halves="exposures")
    result = load_engine(LSQML)(exposures, recipe, seed=123, progress=lambda *_: None)
    shape = (result.half_objects.shape[1], result.half_objects.shape[2])
    area = shared_area(exposures, "exposures", shape, result.object_origin_px)
    found, curve = compare_halves(result.half_objects, area, "exposures")
    # Slow structure agrees. With half the overlap and few epochs nothing near a pixel does.
    assert curve.correlation[:3].mean() > 0.9
    assert found.half.resolution_px > 1.5
    assert found.half.frequency_per_px > curve.frequency_per_px[2]


def test_star_has_its_axes_right(store):
    found = json.loads(fly64dask("orient", store, "--device", "cpu", "--json").stdout)
    best, second = (trial["loss"] for trial in found["trials"][:2])
    assert found["trials"][0]["flags"] == ""
    assert best < 0.8 * second
