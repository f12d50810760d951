"""Files in no known format, whose datasets a person names in options or in a beamline file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import foreign_scans as foreign
import h5py
import ingesting
import numpy as np
import pytest

from fly64dask.base import InputError
from fly64dask.datasets.formats import ReadOptions, ScanFile, read_options, read_scan_file

N = 6
COUNTS = np.random.default_rng(1).poisson(3.0, (N, 8, 10)).astype(np.uint16)
COUNTS[:, 3:6, 4:7] += 40
YX_UM = np.random.default_rng(2).uniform(0, 5, (N, 2))
BEAMLINES = Path(__file__).resolve().parents[3] / "data" / "beamlines"
NAMES: dict[str, Any] = {"patterns": "frames", "positions_y": "y", "positions_x": "x", "positions_unit": "um"}


def save(folder: Path, **changes: Any) -> Path:
    arrays = {"frames": COUNTS, "y": YX_UM[:, 0], "x": YX_UM[:, 1]} | changes
    return foreign.write_hdf5(folder / "any.h5", {name: array for name, array in arrays.items() if array is not None})


def read(path: Path, **options: Any) -> ScanFile:
    return read_scan_file(path, ReadOptions(**options))


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as refused:
        read(path, **options)
    return str(refused.value)


def test_positions_are_brought_from_their_unit_to_metres(tmp_path: Path) -> None:
    scan = read(save(tmp_path), **NAMES)
    np.testing.assert_array_equal(scan.positions, YX_UM * 1e-6)


def test_patterns_whose_last_axis_counts_them_ask_for_that_layout(tmp_path: Path) -> None:
    path = tmp_path / "last.npz"
    np.savez(path, frames=np.moveaxis(COUNTS, 0, 2), y=YX_UM[:, 0], x=YX_UM[:, 1])
    assert "give --layout hwn" in refusal(path, **NAMES)
    assert read(path, **NAMES, layout="hwn").patterns.shape == COUNTS.shape


def with_units(path: Path, **units: str) -> Path:
    with h5py.File(path, "r+") as file:
        for name, unit in units.items():
            file[name].attrs["units"] = unit
    return path


def test_positions_have_the_units_that_their_datasets_name_where_none_is_given(tmp_path: Path) -> None:
    scan = read(with_units(save(tmp_path), y="um", x="mm"), **NAMES | {"positions_unit": None})
    np.testing.assert_allclose(scan.positions, YX_UM * [1e-6, 1e-3], rtol=1e-15)
    assert scan.positions_unit == "m"


def test_a_unit_that_is_given_goes_before_those_of_the_datasets(tmp_path: Path) -> None:
    scan = read(with_units(save(tmp_path), y="m", x="m"), **NAMES)
    np.testing.assert_array_equal(scan.positions, YX_UM * 1e-6)


def test_a_unit_that_is_no_length_is_named(tmp_path: Path) -> None:
    path = with_units(save(tmp_path), y="um", x="steps")
    assert "positions of unit 'steps'; give --positions-unit" in refusal(path, **NAMES | {"positions_unit": None})


def test_positions_in_px_stay_as_they_are(tmp_path: Path) -> None:
    scan = read(save(tmp_path), **NAMES | {"positions_unit": "px"})
    assert scan.positions_unit == "px"
    np.testing.assert_array_equal(scan.positions, YX_UM)


def test_a_group_of_datasets_is_joined_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    parts = {f"entry/data_{number}": COUNTS[2 * place : 2 * place + 2] for place, number in enumerate((9, 10, 11))}
    scan = read(save(tmp_path, frames=None, **parts), **NAMES | {"patterns": "entry"})
    np.testing.assert_array_equal(scan.patterns.read(0, N), COUNTS)


def test_positions_may_be_in_the_other_file(tmp_path: Path) -> None:
    patterns = foreign.write_hdf5(tmp_path / "patterns.h5", {"frames": COUNTS})
    motors = foreign.write_hdf5(tmp_path / "motors.h5", {"y": YX_UM[:, 0], "x": YX_UM[:, 1]})
    scan = read(patterns, positions=motors, **NAMES)
    assert scan.paths == (patterns, motors)
    np.testing.assert_array_equal(scan.positions, YX_UM * 1e-6)


def test_a_text_gives_the_columns_that_a_person_names(tmp_path: Path) -> None:
    patterns = foreign.write_hdf5(tmp_path / "patterns.h5", {"frames": COUNTS})
    (tmp_path / "motors.txt").write_text("# t up across\n" + "\n".join(f"0 {y!r} {x!r}" for y, x in YX_UM.tolist()))
    names = {"patterns": "frames", "positions_y": "up", "positions_x": "across", "positions_unit": "um"}
    scan = read(patterns, positions=tmp_path / "motors.txt", **names)
    np.testing.assert_array_equal(scan.positions, YX_UM * 1e-6)


def test_a_name_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    message = refusal(save(tmp_path), **NAMES | {"positions_x": "motors/x"})
    assert "no dataset 'motors/x'" in message
    assert "['frames', 'x', 'y']" in message


def test_a_name_that_is_not_in_its_group_is_refused_with_those_that_are_in_it(tmp_path: Path) -> None:
    path = foreign.write_hdf5(tmp_path / "scan.h5", {"det/eiger/frames": COUNTS, "det/eiger/gain": 1, "motors/y": 0})
    message = refusal(path, **NAMES | {"patterns": "det/eiger/data"})
    assert "no dataset 'det/eiger/data'; scan.h5 has ['frames', 'gain'] in det/eiger; check" in message


def test_positions_without_a_unit_are_refused(tmp_path: Path) -> None:
    assert "--positions-unit" in refusal(save(tmp_path), **NAMES | {"positions_unit": None})


def test_a_mask_of_a_beamline_file_is_read(tmp_path: Path) -> None:
    mask = np.ones((8, 10), np.uint8)
    mask[1, 2] = 0
    found = read(save(tmp_path, mask=mask), **NAMES, mask="mask", mask_good="1").mask
    assert found is not None
    assert np.argwhere(~found).tolist() == [[1, 2]]


# The files that are shipped.


def test_the_file_of_nanomax_reads_a_scan_with_linked_patterns(tmp_path: Path) -> None:
    foreign.write_hdf5(tmp_path / "scan_000123_eiger1m.hdf5", {"entry/measurement/Eiger/data": COUNTS})
    path = foreign.write_hdf5(
        tmp_path / "000123.h5",
        {
            "entry/measurement/pseudo/x": YX_UM[:, 1],
            "entry/measurement/pseudo/y": YX_UM[:, 0],
            "entry/snapshot/energy": np.array([12_500.0]),
        },
    )
    with h5py.File(path, "r+") as file:
        link = h5py.ExternalLink("scan_000123_eiger1m.hdf5", "entry/measurement/Eiger/data")
        file["entry/measurement/eiger1m/frames"] = link
    scan = read_scan_file(path, read_options(BEAMLINES / "nanomax.toml", {"distance_m": 3.6}))
    np.testing.assert_array_equal(scan.patterns.read(0, N), COUNTS)
    np.testing.assert_array_equal(scan.positions, YX_UM * 1e-6)
    assert (scan.geometry.energy_kev, scan.geometry.distance_m, scan.geometry.pitch_um) == (12.5, 3.6, (75.0, 75.0))


def test_the_file_of_hxn_gives_the_counts_behind_shifted_amplitudes(tmp_path: Path) -> None:
    path = foreign.write_hdf5(
        tmp_path / "scan.h5",
        {
            "diffamp": np.sqrt(np.fft.ifftshift(COUNTS, axes=(1, 2)).astype(np.float32)),
            "points": YX_UM.T,
            "lambda_nm": 0.1,
            "z_m": 0.5,
            "ccd_pixel_um": 55.0,
        },
    )
    options = read_options(BEAMLINES / "nsls2_hxn.toml", {})
    found = ingesting.read_scan(path, options, ingesting.IngestOptions(no_overlap=True))
    np.testing.assert_array_equal(found.counts, COUNTS)
    pixel_um = np.array([0.1e-9 * 0.5 / (8 * 55e-6), 0.1e-9 * 0.5 / (10 * 55e-6)]) * 1e6
    np.testing.assert_allclose(found.positions_px, YX_UM / pixel_um, rtol=1e-12)


def test_an_option_comes_before_the_beamline_file() -> None:
    assert read_options(BEAMLINES / "nanomax.toml", {"pitch_um": (55.0, 55.0)}).pitch_um == (55.0, 55.0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('paterns = "/a"', "paterns"),
        ("allow_pickle = true", "allow_pickle in a beamline file"),
        ('energy_kev = "high"', "energy_kev"),
        ("energy_kev = inf", "energy_kev"),
        ("patterns = ", "docs/how-to/ingest.md"),
    ],
    ids=["unknown_key", "leave_to_run_code", "no_number", "infinite", "no_toml"],
)
def test_a_beamline_file_is_refused_by_its_key(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(InputError, match=named):
        read_options(tmp_path / "site.toml", {})


def test_an_energy_beside_a_wavelength_is_refused(tmp_path: Path) -> None:
    message = refusal(save(tmp_path), **NAMES, energy_kev=8.0, wavelength_nm=0.2, distance_m=2.0, pitch_um=75.0)
    assert [part for part in ("8.0", "0.2", "--energy-kev or --wavelength-nm") if part not in message] == []


def test_names_take_the_place_of_what_a_known_format_has(tmp_path: Path) -> None:
    scan = foreign.Scan(counts=COUNTS, positions_m=YX_UM * 1e-6, probe=np.ones((8, 10), np.complex64))
    path = foreign.write_cxi(tmp_path / "scan.cxi", scan, encoder=YX_UM + 1)
    found = read(path, positions_y="encoder:0", positions_x="encoder:1", positions_unit="um")
    np.testing.assert_array_equal(found.positions, (YX_UM + 1) * 1e-6)
    np.testing.assert_array_equal(found.patterns.read(0, N), COUNTS)
    assert (found.file_format, found.geometry.distance_m) == ("CXI", foreign.DISTANCE_M)


def test_the_page_on_ingesting_lists_every_key_of_a_beamline_file() -> None:
    page = (BEAMLINES.parents[1] / "docs" / "how-to" / "ingest.md").read_text()
    keys = set(ReadOptions.model_fields) - {"positions", "allow_pickle", "allow_links"}
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []


@pytest.mark.parametrize("path", sorted(BEAMLINES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_beamline_file_is_named_on_the_page_and_read(path: Path) -> None:
    assert f"`data/beamlines/{path.name}`" in (BEAMLINES.parents[1] / "docs" / "how-to" / "ingest.md").read_text()
    assert read_options(path, {}).patterns
