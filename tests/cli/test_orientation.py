"""A scan whose axes are wrong, as its file has them: `ingest --check-orientation` and `orient` name what mends them."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fly64dask.cli.main import cli
from fly64dask.simulation import Pair, intensity_batches, phase_plate_probe
from fly64dask.store import ExposureAttributes, open_group

SIDE, FIELD_PX, N = 24, 72, 36

pytestmark = [pytest.mark.engine, pytest.mark.process]


def command(*arguments: object) -> dict:
    found = CliRunner().invoke(cli, [*map(str, arguments), "--json"], standalone_mode=False)
    assert found.exception is None, found.output
    return json.loads(found.stdout)


@pytest.fixture(scope="module")
def scan() -> dict[str, np.ndarray]:
    """Simulate a random object at random positions, with 1e5 photons an exposure: the arrays of a DATA-001 file."""
    rng = np.random.default_rng(3)
    phase = np.kron(rng.uniform(0, 1, (12, 12)), np.ones((6, 6)))
    pair = Pair(object_truth=np.exp(1j * phase).astype(np.complex64), probe=phase_plate_probe((SIDE, SIDE)))
    y, x = rng.uniform(SIDE / 2 + 2, FIELD_PX - SIDE / 2 - 2, (2, N))
    intensity = np.concatenate(list(intensity_batches(pair, np.stack([y, x], axis=1))))
    counts = rng.poisson(1e5 * intensity / intensity.sum(axis=(1, 2)).mean()).astype(np.uint16)
    return {"diffraction": counts, "ycoords": y, "xcoords": x, "probeGuess": pair.probe}


@pytest.mark.parametrize(("swap", "flip_y", "flip_x"), list(product((False, True), repeat=3)))
def test_the_right_orientation_wins_whatever_is_wrong_in_the_file(
    scan: dict[str, np.ndarray], tmp_path: Path, swap: bool, flip_y: bool, flip_x: bool
) -> None:
    y, x = scan["ycoords"] * (-1) ** flip_y, scan["xcoords"] * (-1) ** flip_x
    y, x = (x, y) if swap else (y, x)
    np.savez(tmp_path / "scan.npz", **(scan | {"ycoords": y, "xcoords": x}))
    found = command("ingest", tmp_path / "scan.npz", "--out", tmp_path / "wrong.zarr", "--check-orientation")
    tried = found["orientation"]
    flags = tried["trials"][0]["flags"].split()
    said = "wrong" if swap or flip_y != flip_x else "right, or both are negated" if flip_y else "right as they are"
    assert tried["advice"].startswith(f"the axes are {said}")
    command("ingest", tmp_path / "scan.npz", "--out", tmp_path / "right.zarr", *flags)
    positions = open_group(tmp_path / "right.zarr", ExposureAttributes).read("positions_px")
    if "--transpose" in flags:  # the whole scan about its diagonal
        positions = positions[:, ::-1]
    sign = np.sign(positions[0, 0] * scan["ycoords"][0])  # negating both axes changes image and probe alone
    np.testing.assert_allclose(sign * positions, np.stack([scan["ycoords"], scan["xcoords"]], axis=1))


def test_orient_says_of_a_store_what_ingest_says(scan: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "scan.npz", **(scan | {"xcoords": -scan["xcoords"]}))
    found = command("ingest", tmp_path / "scan.npz", "--out", tmp_path / "s.zarr", "--check-orientation")
    assert command("orient", tmp_path / "s.zarr") == found["orientation"]
