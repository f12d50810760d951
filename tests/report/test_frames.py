"""The exposures of a measured scan in the report: photons over the field, marked ones, mean pattern and mask."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from measured import measured_study, write_scan
from PIL import Image
from tiny import tiny_study

from fly64dask.datasets import expose_split, prepare_scan
from fly64dask.report.frames import frames_content
from fly64dask.report.pictures import PictureStore
from fly64dask.store import ExposureAttributes, RunLayout, open_group

DARK, BRIGHT = 7, 21
VALID = np.ones((8, 8), bool)
VALID[3] = False
COUNTS = np.random.default_rng(0).poisson(20.0, (30, 8, 8)) * VALID
COUNTS[DARK], COUNTS[BRIGHT] = 0, 50 * COUNTS[BRIGHT]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    write_scan(folder / "scan.zarr", COUNTS.astype(np.uint16), VALID)
    study, layout = measured_study(folder / "scan.zarr", '[300.0, "measured"]'), RunLayout(folder / "run")
    prepare_scan(study, layout)
    for split in study.splits:
        expose_split(study, "measured", split, layout)
    return study, layout


@pytest.fixture(scope="module")
def frames(made):
    store = PictureStore(n_cells=1)
    return frames_content(*made, store, []), store


def test_frames_are_those_of_the_highest_dose_over_the_whole_field(frames):
    found, _ = frames
    photons = COUNTS.sum(axis=(1, 2))
    assert (found.dose, found.n) == ("dose_measured", 30)
    assert (found.photons_min, found.photons_max) == (0, photons.max())
    assert found.photons_median == np.median(photons)
    assert sorted(found.photons) == sorted(photons)


def test_frames_mark_the_dark_and_the_far_too_bright_by_their_place_in_the_scan(frames):
    found, _ = frames
    assert {(one.index, one.kind) for one in found.marked} == {(DARK, "dark"), (BRIGHT, "bright")}
    assert sorted(filter(None, found.kinds)) == ["bright", "dark"]


def test_frames_show_masked_pixels_as_holes_in_the_mean_pattern(frames):
    found, store = frames
    picture = Image.open(io.BytesIO(base64.b64decode(store.images[found.pattern.image]))).convert("RGBA")
    assert np.array_equal(np.asarray(picture)[..., 3] > 0, VALID)
    assert (found.n_masked, found.n_pixels) == (8, 64)


def test_groups_of_exposures_hold_their_mean_pattern(made):
    _, layout = made
    group = open_group(layout.exposure_group("measured", "test"), ExposureAttributes)
    np.testing.assert_allclose(group.read("mean_pattern"), group.read("counts").mean(axis=0))


def test_a_simulated_study_has_no_frames_to_judge(made):
    assert frames_content(tiny_study(), made[1], PictureStore(n_cells=1), []) is None


def test_exposures_that_are_not_made_yet_are_no_damage(tmp_path, made):
    problems: list[str] = []
    assert frames_content(made[0], RunLayout(tmp_path), PictureStore(n_cells=1), problems) is None
    assert problems == []
