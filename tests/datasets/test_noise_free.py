"""Expected intensities in the place of counts: what is stored of them, and where they come out again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_study

from fly64dask.base import InputError, IntegrityError
from fly64dask.datasets import expose_split, prepare_scan
from fly64dask.datasets.export import export_scan
from fly64dask.datasets.formats import ReadOptions
from fly64dask.datasets.ingest import ingest_file
from fly64dask.store import (
    ExposureAttributes,
    RunLayout,
    TruthAttributes,
    expected_counts_array,
    open_dataset,
    open_group,
    write_arrays,
)

STUDY = tiny_study(doses_photons=(1e3, "noise_free"))
SCALE_PHOTONS = 1e6  # as the documentation states it


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    made = RunLayout(tmp_path_factory.mktemp("noise_free") / "run")
    prepare_scan(STUDY, made)
    for split in STUDY.splits:
        expose_split(STUDY, "noise_free", split, made)
    expose_split(STUDY, 1e3, "train", made)
    return made


def group_of(layout: RunLayout, split: str = "train") -> Path:
    return layout.exposure_group("noise_free", split)


def test_expose_split_without_noise_stores_the_expected_intensity(tmp_path: Path) -> None:
    """On whole pixels, where every forward model is plain: |FFT(probe x patch)|^2."""
    places = np.random.default_rng(0).integers(12, 60, (40, 2))
    listed = type(STUDY.source).model_validate(
        STUDY.source.model_dump() | {"scan": {"kind": "listed", "positions_px": places.tolist()}}
    )
    study, layout = STUDY.model_copy(update={"source": listed}), RunLayout(tmp_path / "run")
    prepare_scan(study, layout)
    expose_split(study, "noise_free", "train", layout)
    group = open_group(group_of(layout), ExposureAttributes)
    truth = open_group(layout.truth_group(), TruthAttributes)
    positions = group.read("positions_px").astype(int)
    patches = [truth.read("object_truth")[y - 12 : y + 12, x - 12 : x + 12] for y, x in positions]
    waves = np.fft.fft2(truth.read("probe_truth").astype(complex) * patches, norm="ortho")
    expected = np.fft.fftshift(np.abs(waves) ** 2, axes=(1, 2)) * group.attributes.photons_per_intensity
    np.testing.assert_allclose(group.read("counts"), expected, rtol=1e-4, atol=1e-3 * expected.mean())


def test_noise_free_counts_have_the_stated_scale(layout: RunLayout) -> None:
    groups = [open_group(group_of(layout, split), ExposureAttributes) for split in STUDY.splits]
    totals = np.concatenate([group.read("counts").sum(axis=(1, 2), dtype=float) for group in groups])
    assert totals.mean() == pytest.approx(SCALE_PHOTONS, rel=1e-5)


def test_noise_free_exposures_say_so_and_state_no_dose(layout: RunLayout) -> None:
    attributes = open_group(group_of(layout), ExposureAttributes).attributes
    assert attributes.noise_free
    assert attributes.dose_photons is None


def test_drawn_exposures_say_that_they_are_not_noise_free(layout: RunLayout) -> None:
    attributes = open_group(layout.exposure_group(1e3, "train"), ExposureAttributes).attributes
    assert (attributes.noise_free, attributes.dose_photons) == (False, 1e3)


def test_noise_free_counts_open_as_floats_with_a_label(layout: RunLayout) -> None:
    counts = open_dataset(group_of(layout)).counts
    assert counts.dtype == np.float32
    assert counts.attrs == {"units": "photons", "long_name": "expected photon counts, without noise"}


def test_noise_free_exposures_do_not_depend_on_the_seed_of_the_photons(layout: RunLayout, tmp_path: Path) -> None:
    """A study that differs in all that draws photons, and not in its positions, which it lists."""
    positions = open_dataset(layout.scan_group()).positions_px.values.tolist()
    listed = type(STUDY.source).model_validate(
        STUDY.source.model_dump() | {"scan": {"kind": "listed", "positions_px": positions}}
    )
    seeds = STUDY.seeds.model_copy(update={"simulation": 7})
    other = RunLayout(tmp_path / "run")
    study = STUDY.model_copy(update={"source": listed, "seeds": seeds})
    prepare_scan(study, other)
    expose_split(study, "noise_free", "train", other)
    counts = open_group(group_of(layout), ExposureAttributes).read("counts")
    np.testing.assert_array_equal(open_group(group_of(other), ExposureAttributes).read("counts"), counts)


def test_export_writes_the_root_of_expected_intensities(layout: RunLayout, tmp_path: Path) -> None:
    export_scan(group_of(layout), tmp_path / "scan.npz")
    group = open_group(group_of(layout), ExposureAttributes)
    with np.load(tmp_path / "scan.npz") as npz:
        counts = npz["diffraction"].astype(float) ** 2 * group.attributes.photons_per_intensity
    np.testing.assert_allclose(counts, group.read("counts"), rtol=1e-5)


def test_ingest_refuses_expected_intensities_as_photon_counts(layout: RunLayout, tmp_path: Path) -> None:
    export_scan(group_of(layout), tmp_path / "scan.npz")
    with pytest.raises(InputError, match="photons"):
        ingest_file(tmp_path / "scan.npz", tmp_path / "scan.zarr", ReadOptions())


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_expected_counts_are_finite_and_not_negative(tmp_path: Path, value: float) -> None:
    blocks = [np.array([[[1.0, value]]], np.float32)]
    with pytest.raises(IntegrityError, match="expected counts"):
        write_arrays(tmp_path / "group", [expected_counts_array((1, 1, 2), blocks)])
