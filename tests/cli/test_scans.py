"""Commands of one scan: ingest with its options and lines, its starting probe, and a check of its store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from small_scan import SIDE, N, small_counts, small_positions, small_probe

from fly64dask.base import InputError
from fly64dask.cli.main import cli
from fly64dask.datasets.formats import ReadOptions
from fly64dask.datasets.ingest import IngestOptions, damages_of_store, ingest_file
from fly64dask.store import ExposureAttributes, open_group


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    y, x = small_positions().T
    counts = small_counts()
    counts[:, 3, 4] = 65535
    counts[7] = 0
    np.savez(path, diffraction=counts, ycoords=y, xcoords=x, probeGuess=small_probe())
    return path


@pytest.fixture(scope="module")
def store(scan_file: Path) -> Path:
    path = scan_file.parent / "scan.zarr"
    ingest_file(scan_file, path, ReadOptions(), IngestOptions(masks=("marks",), drop_dark=True))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments], standalone_mode=False)


def test_ingest_says_what_it_found_and_did(scan_file: Path, tmp_path: Path) -> None:
    out = run("ingest", scan_file, "--out", tmp_path / "s.zarr", "--mask", "marks", "--drop-dark", "--bin", 2).output
    needed = [
        f"DATA-001, {N - 1} exposures of {SIDE // 2} x {SIDE // 2} px",
        "steps of 5 px with frames of 12 px",
        "median ",
        f"{4 / SIDE**2:.2%} of the pixels masked",
        "--bin 2, --mask marks, 1 exposure left out",
    ]
    assert [part for part in needed if part not in out] == []
    assert out.splitlines()[-1] == f"next: fly64dask new mine.toml --scan {tmp_path / 's.zarr'}"


def test_ingest_json_is_one_document(scan_file: Path, tmp_path: Path) -> None:
    out = run("ingest", scan_file, "--out", tmp_path / "s.zarr", "--mask", "marks", "--drop", 7, "--json").stdout
    found = json.loads(out)
    assert found["ingested"]["dropped"] == [7]
    assert (
        found["ingested"]["photons_max"]
        == open_group(tmp_path / "s.zarr", ExposureAttributes).read("exposure_photons").max()
    )


def test_ingest_takes_ranges_of_exposures_to_drop(scan_file: Path, tmp_path: Path) -> None:
    run("ingest", scan_file, "--out", tmp_path / "s.zarr", "--mask", "marks", "--drop", "7,10:13")
    assert open_group(tmp_path / "s.zarr", ExposureAttributes).attributes.n_exposures == N - 4


def test_ingest_names_all_that_is_against_a_scan(scan_file: Path, tmp_path: Path) -> None:
    failure = run("ingest", scan_file, "--out", tmp_path / "s.zarr").exception
    assert isinstance(failure, InputError)
    assert "2 problems were found" in str(failure)


@pytest.mark.parametrize("option", ["--energy-kev", "--distance-m", "--photons-per-intensity", "--raster-rotation-deg"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_ingest_refuses_numbers_that_are_not_finite(scan_file: Path, tmp_path: Path, option: str, value: str) -> None:
    failure = run("ingest", scan_file, "--out", tmp_path / "s.zarr", option, value).exception
    assert isinstance(failure, click.BadParameter)
    assert "is not a finite number" in str(failure)


def test_probe_says_sizes_and_draws(store: Path, tmp_path: Path) -> None:
    out = run("probe", store, "--png", tmp_path / "p.png").output
    assert "D90" in out
    assert "@" in out
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_probe_replaces_a_picture_with_force_alone(store: Path, tmp_path: Path) -> None:
    (tmp_path / "p.png").write_text("mine")
    failure = run("probe", store, "--png", tmp_path / "p.png").exception
    assert isinstance(failure, InputError)
    assert "--png" in str(failure)
    assert (tmp_path / "p.png").read_text() == "mine"
    run("probe", store, "--png", tmp_path / "p.png", "--force")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_probe_json_has_the_numbers(store: Path) -> None:
    found = json.loads(run("probe", store, "--json").stdout)
    # A Gaussian amplitude exp(-r^2 / 20): intensity of standard deviation sqrt(5), of which D90 is 4.292.
    assert found["d90_px"] == pytest.approx(4.292 * np.sqrt(5), rel=0.1)
    assert found["mode_shares"] == [1.0]


def test_verify_finds_a_sound_store_sound(store: Path) -> None:
    assert run("verify", store).output == "0 damaged\n"


def test_verify_names_an_altered_chunk(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "s.zarr")
    chunk = tmp_path / "s.zarr" / "counts" / "c.0.0.0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    assert [path for path, _ in damages_of_store(tmp_path / "s.zarr")] == ["s.zarr/counts"]


def test_verify_ends_with_1_when_a_store_is_damaged(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / "positions_px" / "zarr.json").unlink()
    assert run("verify", tmp_path / "s.zarr").exit_code == 1


def test_verify_repairs_no_store(store: Path) -> None:
    assert "ingest its file again" in str(run("verify", store, "--repair").exception)
