"""What is stored of simulated exposures, against what illuminated them."""

from __future__ import annotations

import numpy as np
import pytest

from fly64dask.datasets import expose_split, prepare_scan
from fly64dask.store import ExposureAttributes, RunLayout, ScanAttributes, TruthAttributes, open_group
from fly64dask.study import parse_study
from tests.support.tiny import TEXT


@pytest.fixture(scope="module", params=[1, 2])
def layout(tmp_path_factory, request):
    """Exposures of 1e5 detected photons, with the grid model and the fine one."""
    layout = RunLayout(tmp_path_factory.mktemp("run"))
    study = parse_study(TEXT + f"oversampling = {request.param}\n", origin="tiny.toml")
    prepare_scan(study, layout)
    for split in ("train", "test"):
        expose_split(study, 1e5, split, layout)
    return layout


def test_the_stored_probe_holds_the_photons_that_light_an_exposure(layout):
    exposures = [open_group(layout.exposure_group(1e5, split), ExposureAttributes) for split in ("train", "test")]
    incident = [float((np.abs(group.read("probe_guess")) ** 2).sum()) for group in exposures]
    detected = np.concatenate([group.read("counts").sum(axis=(1, 2)) for group in exposures]).mean()
    share = open_group(layout.scan_group(), ScanAttributes).attributes.mean_total_intensity
    assert incident[0] == pytest.approx(incident[1], rel=1e-6)
    assert detected == pytest.approx(incident[0] * share, rel=6 / np.sqrt(60 * 1e5))
    assert 0.5 < share < 1.0


def test_the_object_that_is_illuminated_is_stored_as_finely_as_it_is(layout):
    truth = open_group(layout.truth_group(), TruthAttributes)
    fineness = truth.attributes.oversampling
    illuminated = truth.read("object_fine" if fineness > 1 else "object_truth")
    assert illuminated.shape == (fineness * 72, fineness * 72)
    assert truth.read("object_truth").shape == (72, 72)


def test_exposures_say_which_forward_model_made_them(layout):
    fineness = open_group(layout.truth_group(), TruthAttributes).attributes.oversampling
    attributes = open_group(layout.exposure_group(1e5, "train"), ExposureAttributes).attributes
    assert attributes.forward_model == {1: "grid", 2: "fine_2"}[fineness]
