"""Scan files of other programs: every variant is read exactly, every doubt is refused with a way out."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import math
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from ingesting import read_scan
from scan_files import (
    AMPLITUDE,
    BRIGHTEST,
    COUNTS,
    DATA001,
    METADATA,
    POSITIONS_PX,
    PROBE,
    TIKE,
    H,
    N,
    W,
    draw_counts,
    draw_probe,
    save,
)

from fly64dask.base import InputError
from fly64dask.datasets.export import ScanToWrite, export_scan, write_data001
from fly64dask.datasets.formats import ReadOptions, read_pair
from fly64dask.datasets.ingest import IngestOptions, ingest_file
from fly64dask.scan import SelectionMetadata
from fly64dask.store import (
    ExposureAttributes,
    TruthAttributes,
    ViewAttributes,
    open_group,
    whole_array,
    write_group,
)

ASK_NOTHING = ReadOptions()
KEEP_ALL = IngestOptions(keep_outliers=True, no_overlap=True)
PROVENANCE: dict[str, Any] = {"created_at": "2026-01-02T03:04:05+00:00", "software": {}, "source_digest": "d"}
moderate = settings(max_examples=40, deadline=None)
few = settings(max_examples=8, deadline=None)  # each of these writes two stores: 0.2 s


def counts_in(store: Path) -> np.ndarray:
    return read_one(store, "counts")


def read_one(store: Path, name: str) -> np.ndarray:
    return open_group(store, ExposureAttributes).read(name)


def message_of(path: Path, options: ReadOptions = ASK_NOTHING) -> str:
    """Words of the refusal; the file must be named in them."""
    with pytest.raises(InputError) as refused:
        read_scan(path, options)
    assert path.name in str(refused.value)
    return str(refused.value)


# DATA-001: patterns.


@pytest.mark.parametrize("key", ["diffraction", "diff3d"])
def test_read_scan_finds_patterns_under_either_name(tmp_path: Path, key: str) -> None:
    path = save(tmp_path, **{"diffraction": None, key: AMPLITUDE})
    np.testing.assert_array_equal(read_scan(path, ASK_NOTHING).counts, COUNTS)


@pytest.mark.parametrize("key", ["diffraction", "diff3d"])
def test_read_scan_turns_patterns_whose_last_axis_is_the_exposure(tmp_path: Path, key: str) -> None:
    path = save(tmp_path, **{"diffraction": None, key: np.moveaxis(AMPLITUDE, 0, -1)})
    np.testing.assert_array_equal(read_scan(path, ASK_NOTHING).counts, COUNTS)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "u4", "i8", ">u2"])
def test_read_scan_takes_integers_for_counts(tmp_path: Path, dtype: str) -> None:
    scan = read_scan(save(tmp_path, diffraction=COUNTS.astype(dtype)), ASK_NOTHING)
    assert scan.photons_per_intensity == 1.0
    np.testing.assert_array_equal(scan.counts, COUNTS)


def test_read_scan_takes_integers_for_counts_when_the_dimmest_is_not_one(tmp_path: Path) -> None:
    path = save(tmp_path, diffraction=(2 * COUNTS).astype(np.uint16))
    assert "every count is a multiple of 2" in message_of(path)
    scan = read_scan(path, ReadOptions(photons_per_intensity=1))
    np.testing.assert_array_equal(scan.counts, 2 * COUNTS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_read_scan_takes_fractions_for_amplitudes(tmp_path: Path, dtype: type) -> None:
    path = save(tmp_path, diffraction=(np.sqrt(COUNTS) / math.pi).astype(dtype))
    np.testing.assert_array_equal(read_scan(path, ASK_NOTHING).counts, COUNTS)


def test_read_scan_takes_big_endian_files(tmp_path: Path) -> None:
    path = save(tmp_path, diffraction=AMPLITUDE.astype(">f4"), probeGuess=PROBE.astype(">c8"))
    np.testing.assert_array_equal(read_scan(path, ASK_NOTHING).counts, COUNTS)


def test_read_scan_stores_counts_above_65535_as_uint32(tmp_path: Path) -> None:
    bright = COUNTS.copy()
    bright[0, H // 2, W // 2] = 65536
    assert read_scan(save(tmp_path, diffraction=bright), wishes=KEEP_ALL).counts.dtype == np.uint32


def test_read_scan_stores_counts_up_to_65535_as_uint16(tmp_path: Path) -> None:
    bright = COUNTS.copy()
    bright[0, H // 2, W // 2] = 65535
    assert read_scan(save(tmp_path, diffraction=bright), wishes=KEEP_ALL).counts.dtype == np.uint16


@pytest.mark.parametrize("number", [COUNTS.astype(np.float32), np.sqrt(COUNTS**2.0)], ids=["float32", "float64"])
def test_read_scan_refuses_whole_floats_naming_the_flag(tmp_path: Path, number: np.ndarray) -> None:
    assert "--quantity intensity or --quantity amplitude" in message_of(save(tmp_path, diffraction=number))


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_read_scan_takes_whole_floats_for_counts_when_told(tmp_path: Path, factor: int) -> None:
    path = save(tmp_path, diffraction=(factor * COUNTS).astype(np.float32))
    told = ReadOptions(quantity="intensity", photons_per_intensity=1)
    np.testing.assert_array_equal(read_scan(path, told).counts, factor * COUNTS)


def test_read_scan_squares_whole_floats_when_told(tmp_path: Path) -> None:
    path = save(tmp_path, diffraction=COUNTS.astype(np.float32))
    np.testing.assert_array_equal(read_scan(path, ReadOptions(quantity="amplitude")).counts, COUNTS**2)


def test_read_scan_takes_the_quantity_from_the_metadata(tmp_path: Path) -> None:
    path = save(tmp_path, diffraction=COUNTS.astype(np.float32), _metadata=np.array('{"quantity": "intensity"}'))
    np.testing.assert_array_equal(read_scan(path, ASK_NOTHING).counts, COUNTS)


# DATA-001: the legacy scale, amplitude = sqrt(counts) / s in float32.


@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(-4, 4).map(lambda exponent: math.sqrt(2) * 10**exponent),
    peak=st.floats(2, 1e5),
)
@moderate
def test_read_scan_gives_back_exact_counts_of_a_legacy_scale(seed: int, scale: float, peak: float) -> None:
    counts = draw_counts(seed, peak=peak)
    assume((counts == 1).any())
    with tempfile.TemporaryDirectory() as folder:
        scan = read_scan(save(Path(folder), diffraction=(np.sqrt(counts) / scale).astype(np.float32)), ASK_NOTHING)
    np.testing.assert_array_equal(scan.counts, counts)
    assert scan.photons_per_intensity == pytest.approx(scale**2, rel=1e-6)


def test_read_scan_refuses_a_scale_it_cannot_find_naming_the_flag(tmp_path: Path) -> None:
    path = save(tmp_path, diffraction=(np.sqrt(COUNTS * 2 + 3 * (COUNTS == 1)) / math.pi).astype(np.float32))
    assert "--photons-per-intensity" in message_of(path)


def test_read_scan_gives_exact_counts_when_told_the_scale(tmp_path: Path) -> None:
    counts = COUNTS * 2 + 3 * (COUNTS == 1)  # the dimmest pixel that holds photons holds four photons, others five
    path = save(tmp_path, diffraction=(np.sqrt(counts) / math.pi).astype(np.float32))
    np.testing.assert_array_equal(read_scan(path, ReadOptions(photons_per_intensity=math.pi**2)).counts, counts)


@pytest.mark.parametrize("stored", [4, 4.0])
def test_read_scan_takes_the_scale_from_the_metadata(tmp_path: Path, stored: float) -> None:
    counts = COUNTS * 2 + 3 * (COUNTS == 1)
    metadata = np.array(json.dumps({"photons_per_intensity": stored}))
    path = save(tmp_path, diffraction=(np.sqrt(counts) / 2).astype(np.float32), _metadata=metadata)
    np.testing.assert_array_equal(read_scan(path, ASK_NOTHING).counts, counts)


@pytest.mark.parametrize("stored", ["0.0", "-9.8696044", "NaN", "Infinity"])
def test_read_scan_refuses_a_stored_scale_that_is_none(tmp_path: Path, stored: str) -> None:
    path = save(tmp_path, _metadata=np.array(f'{{"photons_per_intensity": {stored}}}'))
    assert "photons_per_intensity" in message_of(path).replace("-", "_")


@pytest.mark.parametrize("given_scale", [0.0, -(math.pi**2)])
def test_read_scan_refuses_a_given_scale_that_is_none(tmp_path: Path, given_scale: float) -> None:
    message = message_of(save(tmp_path), ReadOptions(photons_per_intensity=given_scale))
    assert "photons_per_intensity" in message.replace("-", "_")


def test_read_scan_refuses_a_scale_that_leaves_no_photon(tmp_path: Path) -> None:
    assert "--photons-per-intensity" in message_of(save(tmp_path), ReadOptions(photons_per_intensity=1e-9))


# DATA-001: positions and probe.


def test_read_scan_gives_positions_as_y_then_x(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_scan(save(tmp_path), ASK_NOTHING).positions_px, POSITIONS_PX)


def test_read_scan_takes_coordinates_in_a_column(tmp_path: Path) -> None:
    path = save(tmp_path, xcoords=POSITIONS_PX[:, 1:], ycoords=POSITIONS_PX[:, :1])
    np.testing.assert_array_equal(read_scan(path, ASK_NOTHING).positions_px, POSITIONS_PX)


@pytest.mark.parametrize(
    ("stored", "shape"),
    [((H, W), (1, 1, H, W)), ((3, H, W), (1, 3, H, W)), ((2, 3, H, W), (2, 3, H, W)), ((1, 1, 3, H, W), (1, 3, H, W))],
)
def test_read_scan_gives_the_probe_four_axes(tmp_path: Path, stored: tuple[int, ...], shape: tuple[int, ...]) -> None:
    probe = draw_probe(5, stored)
    found = read_scan(save(tmp_path, probeGuess=probe), ASK_NOTHING).probe_guess
    assert found.shape == shape
    np.testing.assert_array_equal(found, probe.reshape(shape))


def test_read_scan_needs_no_object(tmp_path: Path) -> None:
    assert read_scan(save(tmp_path, objectGuess=None), ASK_NOTHING).object_guess is None


# DATA-001: which axis numbers the exposures.


@pytest.mark.parametrize(("layout", "axis"), [("nhw", 0), ("hwn", -1)])
def test_read_scan_is_settled_by_the_layout_when_both_axes_fit(tmp_path: Path, layout: Any, axis: int) -> None:
    counts = draw_counts(6, shape=(N, H, N) if layout == "nhw" else (N, N, H))
    stored = np.moveaxis(counts, 0, axis)
    path = save(tmp_path, diffraction=stored, probeGuess=draw_probe(7, counts.shape[1:]))
    assert "give --layout nhw or --layout hwn" in message_of(path)
    np.testing.assert_array_equal(read_scan(path, ReadOptions(layout=layout)).counts, counts)


def test_read_scan_refuses_a_cube_naming_the_flag(tmp_path: Path) -> None:
    path = save(tmp_path, diffraction=draw_counts(6, shape=(N, N, N)), probeGuess=draw_probe(7, (N, N)))
    assert "give --layout nhw or --layout hwn" in message_of(path)


def test_read_scan_refuses_a_layout_that_does_not_fit(tmp_path: Path) -> None:
    assert "give the other layout" in message_of(save(tmp_path), ReadOptions(layout="hwn"))


def test_ingest_makes_a_probe_for_data001_without_one(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    ingest_file(save(tmp_path, probeGuess=None), store, ASK_NOTHING, KEEP_ALL)
    probe = read_one(store, "probe_guess")
    assert probe.shape == (1, 1, *COUNTS.shape[1:])
    assert np.abs(probe).max() > 0


# Where the zero frequency is.

odd_and_even = pytest.mark.parametrize("shape_px", [(8, 10), (9, 11), (9, 10)], ids=str)


@odd_and_even
def test_read_scan_refuses_data001_with_light_at_the_corner(tmp_path: Path, shape_px: tuple[int, int]) -> None:
    corner = np.fft.ifftshift(draw_counts(8, shape=(N, *shape_px)), axes=(1, 2))
    path = save(tmp_path, diffraction=corner, probeGuess=draw_probe(9, shape_px))
    assert "give --zero-frequency corner" in message_of(path)


@odd_and_even
def test_read_scan_centres_data001_when_told_corner(tmp_path: Path, shape_px: tuple[int, int]) -> None:
    counts = draw_counts(8, shape=(N, *shape_px))
    corner = np.fft.ifftshift(counts, axes=(1, 2))
    path = save(tmp_path, diffraction=corner, probeGuess=draw_probe(9, shape_px))
    np.testing.assert_array_equal(read_scan(path, ReadOptions(zero_frequency="corner")).counts, counts)


def test_read_scan_leaves_data001_as_it_is_when_told_centre(tmp_path: Path) -> None:
    corner = np.fft.ifftshift(COUNTS, axes=(1, 2))
    path = save(tmp_path, diffraction=corner)
    np.testing.assert_array_equal(read_scan(path, ReadOptions(zero_frequency="centre")).counts, corner)


# DATA-001: metadata.


@pytest.mark.parametrize(
    "stored",
    [
        np.array(json.dumps(METADATA)),
        np.array(json.dumps(METADATA, ensure_ascii=False)),
        np.array([json.dumps(METADATA)]),
        np.array(json.dumps(METADATA, ensure_ascii=False).encode()),
    ],
    ids=["text", "text_not_ascii", "text_in_a_list", "bytes"],
)
def test_read_scan_reads_metadata_without_pickle(tmp_path: Path, stored: np.ndarray) -> None:
    assert read_scan(save(tmp_path, _metadata=stored), ASK_NOTHING).metadata == METADATA


PICKLED = {
    "text": np.array(json.dumps(METADATA), dtype=object),
    "bytes": np.array(json.dumps(METADATA).encode(), dtype=object),
    "dict": np.array(METADATA, dtype=object),
    "dict_in_a_list": np.array([METADATA], dtype=object),
}


@pytest.mark.parametrize("stored", PICKLED.values(), ids=PICKLED)
def test_read_scan_reads_pickled_metadata_when_allowed(tmp_path: Path, stored: np.ndarray) -> None:
    path = save(tmp_path, _metadata=stored)
    assert read_scan(path, ReadOptions(allow_pickle=True)).metadata == METADATA


@pytest.mark.parametrize("stored", PICKLED.values(), ids=PICKLED)
def test_read_scan_refuses_pickled_metadata_naming_the_flag(tmp_path: Path, stored: np.ndarray) -> None:
    assert "--allow-pickle" in message_of(save(tmp_path, _metadata=stored))


def test_read_scan_has_no_metadata_when_the_file_has_none(tmp_path: Path) -> None:
    assert read_scan(save(tmp_path), ASK_NOTHING).metadata == {}


@pytest.mark.parametrize("text", ["[1]", "null", '"text"', "{", "", "{'dose': 1}"], ids=repr)
def test_read_scan_refuses_metadata_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    assert "store a JSON object" in message_of(save(tmp_path, _metadata=np.array(text)))


def test_ingest_stores_pickled_metadata_of_numpy_values(tmp_path: Path) -> None:
    metadata = {"dose": np.float64(1e3), "n_images": np.int64(7), "shape": np.array([8, 10])}
    path = save(tmp_path, _metadata=np.array(metadata, dtype=object))
    ingest_file(path, tmp_path / "s.zarr", ReadOptions(allow_pickle=True))
    attributes = open_group(tmp_path / "s.zarr", ExposureAttributes).attributes
    assert attributes.legacy_metadata == {"dose": 1e3, "n_images": 7, "shape": [8, 10]}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_ingest_stores_metadata_that_is_readable_when_a_number_is_not_finite(tmp_path: Path, number: str) -> None:
    path = save(tmp_path, _metadata=np.array(f'{{"loss": {number}, "dose": 5}}'))
    ingest_file(path, tmp_path / "s.zarr", ASK_NOTHING)
    attributes = open_group(tmp_path / "s.zarr", ExposureAttributes).attributes
    assert attributes.legacy_metadata is not None
    assert attributes.legacy_metadata["dose"] == 5


# What is refused, whatever is said.

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nan_pixel": ({"diffraction": np.where(BRIGHTEST, np.nan, AMPLITUDE)}, "--mask marks"),
    "infinite_pixel": ({"diffraction": np.where(COUNTS == 1, np.inf, AMPLITUDE)}, "--mask marks"),
    "negative_pixel": ({"diffraction": AMPLITUDE - np.float32(0.25)}, "give --round"),
    "negative_count": ({"diffraction": COUNTS - 1}, "give --round"),
    "no_light": ({"diffraction": np.zeros((N, H, W), np.uint16)}, "check which array holds the scan"),
    "no_light_in_floats": ({"diffraction": np.zeros((N, H, W), np.float32)}, "check which array holds the scan"),
    "no_exposures": (
        {"diffraction": np.zeros((0, H, W), np.uint16), "xcoords": np.zeros(0), "ycoords": np.zeros(0)},
        "check which array holds the scan",
    ),
    "no_exposures_in_floats": (
        {"diffraction": np.zeros((0, H, W), np.float32), "xcoords": np.zeros(0), "ycoords": np.zeros(0)},
        "check which array holds the scan",
    ),
    "not_photons": ({"diffraction": np.random.default_rng(0).random((N, H, W))}, "or store counts"),
    "count_above_uint32": ({"diffraction": COUNTS + (BRIGHTEST) * 2**33}, "or store counts"),
    "two_axes": ({"diffraction": AMPLITUDE[0]}, "store (n, H, W)"),
    "complex_patterns": ({"diffraction": AMPLITUDE + 0j}, "store (n, H, W)"),
    "boolean_patterns": ({"diffraction": COUNTS > 0}, "store (n, H, W)"),
    "text_patterns": ({"diffraction": COUNTS.astype(str)}, "store (n, H, W)"),
    "no_patterns": ({"diffraction": None}, "if it has no patterns, give their file"),
    "no_xcoords": ({"xcoords": None}, "or name the arrays that are there: --patterns NAME --positions-y"),
    "no_ycoords": ({"ycoords": None}, "or name the arrays that are there: --patterns NAME --positions-y"),
    "fewer_ycoords": ({"ycoords": POSITIONS_PX[1:, 0]}, "give both for each exposure"),
    "fewer_positions": ({"xcoords": POSITIONS_PX[1:, 1], "ycoords": POSITIONS_PX[1:, 0]}, "give one for each pattern"),
    "nan_position": ({"xcoords": np.full(N, np.nan)}, "correct or drop that exposure"),
    "infinite_position": ({"ycoords": np.full(N, np.inf)}, "correct or drop that exposure"),
    "text_positions": ({"xcoords": np.full(N, "left")}, "in px for each exposure"),
    "complex_positions": ({"xcoords": POSITIONS_PX[:, 1] * 1j}, "in px for each exposure"),
    "probe_of_another_size": ({"probeGuess": draw_probe(3, (H, W + 1))}, "give a probe of the patterns' size"),
    "probe_of_one_axis": ({"probeGuess": PROBE[0]}, "give a probe of the patterns' size"),
    "real_probe": ({"probeGuess": PROBE.real}, "give a complex probe"),
    "nan_probe": ({"probeGuess": PROBE * np.nan}, "give a complex probe"),
    "zero_probe": ({"probeGuess": PROBE * 0}, "give a complex probe"),
    "text_object": ({"objectGuess": np.array("empty")}, "objectGuess"),
    "object_of_three_axes": ({"objectGuess": np.ones((2, 60, 62), np.complex64)}, "objectGuess"),
}


@pytest.mark.parametrize(("changes", "remedy"), REFUSED.values(), ids=REFUSED)
def test_read_scan_names_file_and_remedy_when_refused(tmp_path: Path, changes: dict[str, Any], remedy: str) -> None:
    assert remedy in message_of(save(tmp_path, **changes))


@pytest.mark.parametrize(("changes", "remedy"), REFUSED.values(), ids=REFUSED)
def test_ingest_writes_nothing_when_refused(tmp_path: Path, changes: dict[str, Any], remedy: str) -> None:
    path = save(tmp_path, **changes)
    with pytest.raises(InputError):
        ingest_file(path, tmp_path / "deep" / "s.zarr", ASK_NOTHING)
    assert list(tmp_path.iterdir()) == [path]


# Files that are damaged, or something else.


def as_bytes(tmp_path: Path) -> bytes:
    return save(tmp_path).read_bytes()


@pytest.mark.parametrize("allow_pickle", [False, True], ids=["no_pickle", "pickle"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.npz", b""),
        ("text.npz", b"y, x, counts\n1, 2, 3\n"),
        ("pickle.npz", pickle.dumps({"diffraction": 1})),
        ("nothing.npz.bz2", b""),
        ("plain.npz.bz2", b"not bzip2"),
        ("halved.npz.bz2", bz2.compress(bytes(range(256)) * 100)[:60]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_read_scan_refuses_what_is_no_npz(tmp_path: Path, name: str, content: bytes, allow_pickle: bool) -> None:
    (tmp_path / name).write_bytes(content)
    assert "npz" in message_of(tmp_path / name, ReadOptions(allow_pickle=allow_pickle)).lower()


def test_read_scan_refuses_a_missing_file(tmp_path: Path) -> None:
    assert "check the path" in message_of(tmp_path / "absent.npz")


def test_read_scan_refuses_a_directory(tmp_path: Path) -> None:
    assert "check the path" in message_of(tmp_path)


def test_read_scan_refuses_a_single_array(tmp_path: Path) -> None:
    np.save(tmp_path / "counts.npy", COUNTS)
    assert "save it with np.savez" in message_of(tmp_path / "counts.npy")


def test_read_scan_asks_for_the_unit_of_positions_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "positions.npy", np.zeros((5, 2)))
    assert "give --positions-unit px, m" in message_of(tmp_path / "positions.npy")


def test_read_scan_refuses_an_npz_of_other_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", images=COUNTS)
    message = message_of(tmp_path / "other.npz")
    assert "images" in message
    assert "diffraction or diff3d" in message


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_read_scan_refuses_a_truncated_npz(tmp_path: Path, keep: float) -> None:
    path = save(tmp_path)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    assert "give an .npz or .npz.bz2 file" in message_of(path)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), allow_pickle=st.booleans())
@settings(max_examples=200, deadline=None)
def test_read_scan_is_unchanged_or_refused_when_a_bit_flips(place: float, bit: int, allow_pickle: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scan.npz")
        np.savez_compressed(path, **DATA001, _metadata=np.array(json.dumps(METADATA)))
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 1 << bit
        path.write_bytes(content)
        try:
            scan = read_scan(path, ReadOptions(allow_pickle=allow_pickle))
        except InputError:
            return
    np.testing.assert_array_equal(scan.counts, COUNTS)
    np.testing.assert_array_equal(scan.positions_px, POSITIONS_PX)
    np.testing.assert_array_equal(scan.probe_guess[0, 0], PROBE)


def test_read_scan_refuses_a_list_of_arrays_that_is_shorter_than_its_end_says(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    np.savez_compressed(path, **DATA001)
    content = bytearray(path.read_bytes())
    # Of the list's first entry the length of a comment, 2 bytes at 32, now takes in the entries after it.
    first, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    name_length = int.from_bytes(content[first + 28 : first + 30], "little")
    content[first + 32 : first + 34] = (end - first - 46 - name_length).to_bytes(2, "little")
    path.write_bytes(content)
    assert "1 members are listed, its end says 5" in message_of(path)


def test_read_scan_refuses_compressed_data_that_do_not_unpack(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    np.savez_compressed(path, **DATA001)
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30  # inside the first array's deflate stream
    path.write_bytes(content)
    assert "save it again" in message_of(path)


def test_read_scan_reads_an_npz_inside_bzip2(tmp_path: Path) -> None:
    (tmp_path / "scan.npz.bz2").write_bytes(bz2.compress(save(tmp_path).read_bytes()))
    np.testing.assert_array_equal(read_scan(tmp_path / "scan.npz.bz2", ASK_NOTHING).counts, COUNTS)


def test_read_scan_reads_a_compressed_npz(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "scan.npz", **DATA001)
    np.testing.assert_array_equal(read_scan(tmp_path / "scan.npz", ASK_NOTHING).counts, COUNTS)


# tike.


def test_read_scan_centres_tike_counts(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_scan(save(tmp_path, TIKE), ASK_NOTHING).counts, COUNTS)


def test_read_scan_takes_tike_floats_for_counts_when_the_dimmest_is_not_one(tmp_path: Path) -> None:
    scan = read_scan(save(tmp_path, TIKE, data=3 * TIKE["data"]), ASK_NOTHING)
    np.testing.assert_array_equal(scan.counts, 3 * COUNTS)


def test_read_scan_takes_tike_positions_as_y_then_x(tmp_path: Path) -> None:
    found = read_scan(save(tmp_path, TIKE), ASK_NOTHING).positions_px
    np.testing.assert_array_equal(found, POSITIONS_PX.astype(np.float32))


def test_read_scan_gives_the_tike_probe_four_axes(tmp_path: Path) -> None:
    found = read_scan(save(tmp_path, TIKE), ASK_NOTHING).probe_guess
    assert found.shape == (1, 1, H, W)
    np.testing.assert_array_equal(found[0, 0], PROBE)


def test_read_scan_refuses_tike_data_with_light_at_the_centre(tmp_path: Path) -> None:
    path = save(tmp_path, TIKE, data=COUNTS[None].astype(np.float32))
    assert "give --zero-frequency centre" in message_of(path)
    np.testing.assert_array_equal(read_scan(path, ReadOptions(zero_frequency="centre")).counts, COUNTS)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"data": np.repeat(TIKE["data"], 2, axis=0)}, "ingest one angle at a time"),
        ({"data": TIKE["data"][0]}, "ingest one angle at a time"),
        ({"scan": np.repeat(TIKE["scan"], 2, axis=0)}, "ingest one angle at a time"),
        ({"data": TIKE["data"] + 0.5}, "or store counts"),
        ({"data": TIKE["data"] * 1j}, "(1, n, H, W)"),
        ({"scan": TIKE["scan"][:, 1:]}, "give one position for each pattern"),
        ({"scan": np.zeros((1, N, 3))}, "give one (y, x) pair in px"),
        ({"probe": PROBE.real}, "give a complex probe"),
    ],
    ids=["two_angles", "no_angle", "two_scans", "fractions", "complex", "fewer_positions", "three_axes", "real_probe"],
)
def test_read_scan_refuses_tike_files_with_a_remedy(tmp_path: Path, changes: dict[str, Any], remedy: str) -> None:
    assert remedy in message_of(save(tmp_path, TIKE, **changes))


# Ingest.


def test_ingest_stores_counts_positions_and_probe(tmp_path: Path) -> None:
    ingest_file(save(tmp_path), tmp_path / "s.zarr", ASK_NOTHING)
    np.testing.assert_array_equal(counts_in(tmp_path / "s.zarr"), COUNTS)
    np.testing.assert_array_equal(read_one(tmp_path / "s.zarr", "positions_px"), POSITIONS_PX)
    np.testing.assert_array_equal(read_one(tmp_path / "s.zarr", "probe_guess")[0, 0], PROBE)


def test_ingest_states_the_dose_it_measured(tmp_path: Path) -> None:
    attributes = ingest_file(save(tmp_path), tmp_path / "s.zarr", ASK_NOTHING)
    assert attributes.dose_photons == pytest.approx(COUNTS.sum() / N, rel=1e-15)
    assert attributes.brightest_count_photons == COUNTS.max()


def test_ingest_states_the_digest_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path)
    attributes = ingest_file(path, tmp_path / "s.zarr", ASK_NOTHING)
    assert attributes.source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_ingest_stores_what_it_returns(tmp_path: Path) -> None:
    returned = ingest_file(save(tmp_path, _metadata=np.array(json.dumps(METADATA))), tmp_path / "s.zarr", ASK_NOTHING)
    assert open_group(tmp_path / "s.zarr", ExposureAttributes).attributes == returned


def test_ingest_leaves_only_the_store(tmp_path: Path) -> None:
    path = save(tmp_path)
    ingest_file(path, tmp_path / "s.zarr", ASK_NOTHING)
    assert set(tmp_path.iterdir()) == {path, tmp_path / "s.zarr"}


def test_ingest_refuses_a_store_that_exists(tmp_path: Path) -> None:
    path = save(tmp_path)
    ingest_file(path, tmp_path / "s.zarr", ASK_NOTHING)
    with pytest.raises(InputError, match="give another --out or delete it first"):
        ingest_file(path, tmp_path / "s.zarr", ASK_NOTHING)


def killed_ingest(path: Path, store: Path) -> list[str]:
    """Start an ingest, send it SIGKILL once it writes, and list what it left beside the store."""
    command = [sys.executable, "-m", "fly64dask", "ingest", str(path), "--out", str(store)]
    with subprocess.Popen(command) as child:
        while not list(store.parent.glob(f".{store.name}-*")):
            assert child.poll() is None, "it ended before it could be killed"
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert not store.exists()
    return [left.name for left in store.parent.glob(f".{store.name}-*")]


def test_ingest_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    # 20 MB of noise, which zstd cannot shrink: writing it takes long enough to be killed.
    counts = np.random.default_rng(1).integers(0, 60_000, (256, 200, 200), dtype=np.uint16)
    counts[:, 50:150, 50:150] += 5_000
    path = tmp_path / "large.npz"
    yx = np.random.default_rng(2).uniform(0, 50, (2, 256))
    np.savez(path, diffraction=counts, ycoords=yx[0], xcoords=yx[1], probeGuess=draw_probe(3, (200, 200)))
    (tmp_path / "out").mkdir()
    store, other = tmp_path / "out" / "s.zarr", tmp_path / "out" / "other.zarr"
    assert len(killed_ingest(path, store)) == 1
    (left_by_other,) = killed_ingest(path, other)
    ingest_file(save(tmp_path), store, ASK_NOTHING)
    assert {path.name for path in store.parent.iterdir()} == {store.name, left_by_other}
    np.testing.assert_array_equal(counts_in(store), COUNTS)


# Export, and back again.


def ingested_again(folder: Path, source: Path, options: ReadOptions = ASK_NOTHING) -> tuple[Path, Path, Path]:
    """Ingest, export, ingest: the first store, the exported file and the second store."""
    one, exported, two = folder / "one.zarr", folder / "exported.npz", folder / "two.zarr"
    ingest_file(source, one, options)
    export_scan(one, exported)
    ingest_file(exported, two, ASK_NOTHING)
    return one, exported, two


def assert_same_scan(one: Path, two: Path) -> None:
    for name in ("counts", "positions_px", "probe_guess"):
        expected = read_one(one, name)
        found = read_one(two, name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, err_msg=name)


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(2, 12), st.integers(13, 18), st.integers(13, 18)),
    peak=st.floats(20, 1e6),
    origin=st.tuples(st.floats(-200, 200), st.floats(-200, 200)),
    jitter=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=12, max_size=12),
    n_modes=st.integers(1, 3),
)
@few
def test_export_is_ingested_again_without_loss(
    seed: int,
    shape: tuple[int, int, int],
    peak: float,
    origin: tuple[float, float],
    jitter: list[tuple[float, float]],
    n_modes: int,
) -> None:
    counts = np.minimum(draw_counts(seed, peak=peak, shape=shape), 2**20)
    raster = 5.0 * np.stack(np.divmod(np.arange(12), 4), axis=1)
    yx = (np.array(origin) + raster + np.array(jitter))[: shape[0]]
    probe = draw_probe(seed, (1, n_modes, *shape[1:]))
    with tempfile.TemporaryDirectory() as name:
        source = save(Path(name), diffraction=counts, ycoords=yx[:, 0], xcoords=yx[:, 1], probeGuess=probe)
        one, exported, two = ingested_again(Path(name), source)
        with np.load(exported, allow_pickle=False) as arrays:
            assert (arrays["diffraction"].shape, arrays["xcoords"].shape) == (shape, (shape[0],))
        np.testing.assert_array_equal(counts_in(two), counts)
        np.testing.assert_array_equal(read_one(two, "positions_px"), yx)
        np.testing.assert_array_equal(read_one(two, "probe_guess"), probe)
        assert_same_scan(one, two)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(-4, 4).map(lambda exponent: math.sqrt(2) * 10**exponent))
@few
def test_export_of_legacy_amplitudes_is_ingested_again_without_loss(seed: int, scale: float) -> None:
    counts = draw_counts(seed)
    assume((counts == 1).any())
    with tempfile.TemporaryDirectory() as name:
        source = save(Path(name), diffraction=(np.sqrt(counts) / scale).astype(np.float32))
        one, _, two = ingested_again(Path(name), source)
        np.testing.assert_array_equal(counts_in(two), counts)
        assert_same_scan(one, two)


def test_export_of_tike_data_is_ingested_again_without_loss(tmp_path: Path) -> None:
    one, _, two = ingested_again(tmp_path, save(tmp_path, TIKE))
    np.testing.assert_array_equal(counts_in(two), COUNTS)
    assert_same_scan(one, two)


@pytest.mark.parametrize("shape", [(N, N, N), (N, H, N)], ids=["cube", "as_wide_as_long"])
def test_export_is_ingested_again_without_flags_when_shapes_are_ambiguous(
    tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    source = save(tmp_path, diffraction=draw_counts(4, shape=shape), probeGuess=draw_probe(4, shape[1:]))
    one, _, two = ingested_again(tmp_path, source, ReadOptions(layout="nhw"))
    assert_same_scan(one, two)


def test_export_is_ingested_again_without_flags_when_light_is_not_at_the_centre(tmp_path: Path) -> None:
    source = save(tmp_path, diffraction=np.fft.ifftshift(COUNTS, axes=(1, 2)))
    one, _, two = ingested_again(tmp_path, source, ReadOptions(zero_frequency="centre"))
    assert_same_scan(one, two)


def test_export_writes_a_flat_object_when_there_is_none(tmp_path: Path) -> None:
    ingest_file(save(tmp_path, objectGuess=None), tmp_path / "s.zarr", ASK_NOTHING)
    export_scan(tmp_path / "s.zarr", tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz", allow_pickle=False) as arrays:
        assert np.unique(arrays["objectGuess"]) == [1]
        assert json.loads(str(arrays["_metadata"]))["object_is_empty"] is True


def test_ingest_takes_no_object_from_a_flat_export(tmp_path: Path) -> None:
    _, _, two = ingested_again(tmp_path, save(tmp_path, objectGuess=None))
    assert "object_guess" not in open_group(two, ExposureAttributes).names


def test_export_keeps_the_metadata_of_the_file(tmp_path: Path) -> None:
    _, exported, _ = ingested_again(tmp_path, save(tmp_path, _metadata=np.array(json.dumps(METADATA))))
    with np.load(exported, allow_pickle=False) as arrays:
        found = json.loads(str(arrays["_metadata"]))
    assert {key: found[key] for key in METADATA} == METADATA


def test_export_writes_float32_amplitudes(tmp_path: Path) -> None:
    _, exported, _ = ingested_again(tmp_path, save(tmp_path, diffraction=COUNTS))
    with np.load(exported, allow_pickle=False) as arrays:
        assert arrays["diffraction"].dtype == np.float32
        np.testing.assert_allclose(arrays["diffraction"] ** 2, COUNTS, rtol=1e-6)


def write_view(directory: Path, kept: list[int]) -> SelectionMetadata:
    selection = SelectionMetadata(
        overlap_view="sparse",
        spacing_threshold=102.4,
        n_accepted=len(kept),
        n_rejected=N - len(kept),
        acceptance_rate=len(kept) / N,
        selection_strategy="greedy",
        geometry_acceptance_bound=0.1,
        effective_min_acceptance=0.08,
    )
    attributes = ViewAttributes(
        **PROVENANCE,
        overlap_view="sparse",
        split="train",
        n_exposures=N,
        n_kept=len(kept),
        selection=selection,
        image_overlap=0.0,
        group_overlap=0.0,
        overlap_diameter_px=1.0,
        overlap_n_neighbours=6,
        bounding_box_area_px2=0.0,
        span_y_px=0.0,
        span_x_px=0.0,
    )
    directory.mkdir()
    write_group(directory, attributes, [whole_array("kept_indices", np.array(kept), dims=("exposure",))])
    return selection


def test_export_writes_only_the_exposures_of_a_view(tmp_path: Path) -> None:
    ingest_file(save(tmp_path, diffraction=COUNTS), tmp_path / "s.zarr", ASK_NOTHING)
    write_view(tmp_path / "view", [1, 2, 5])
    assert export_scan(tmp_path / "s.zarr", tmp_path / "e.npz", view_group=tmp_path / "view") == 3
    scan = read_scan(tmp_path / "e.npz", ASK_NOTHING)
    np.testing.assert_array_equal(scan.counts, COUNTS[[1, 2, 5]])
    np.testing.assert_array_equal(scan.positions_px, POSITIONS_PX[[1, 2, 5]])


def test_export_writes_the_selection_of_a_view(tmp_path: Path) -> None:
    ingest_file(save(tmp_path), tmp_path / "s.zarr", ASK_NOTHING)
    selection = write_view(tmp_path / "view", [1, 2, 5])
    export_scan(tmp_path / "s.zarr", tmp_path / "e.npz", view_group=tmp_path / "view")
    metadata = read_scan(tmp_path / "e.npz", ASK_NOTHING).metadata
    assert {key: metadata[key] for key in ("overlap_view", "n_accepted", "spacing_threshold")} == {
        "overlap_view": "sparse",
        "n_accepted": 3,
        "spacing_threshold": selection.spacing_threshold,
    }


def test_export_has_no_truth_unless_asked(tmp_path: Path) -> None:
    ingest_file(save(tmp_path, objectGuess=None), tmp_path / "s.zarr", ASK_NOTHING)
    truth = draw_probe(5, (60, 62))
    (tmp_path / "truth").mkdir()
    write_group(
        tmp_path / "truth",
        TruthAttributes(**PROVENANCE),
        [whole_array("object_truth", truth, dims=("y", "x"))],
    )
    export_scan(tmp_path / "s.zarr", tmp_path / "without.npz")
    export_scan(tmp_path / "s.zarr", tmp_path / "with.npz", truth_group=tmp_path / "truth")
    with np.load(tmp_path / "without.npz") as without, np.load(tmp_path / "with.npz") as asked:
        assert np.unique(without["objectGuess"]) == [1]
        np.testing.assert_array_equal(asked["objectGuess"], truth)


def scaled_scan(counts: np.ndarray, scale: float) -> ScanToWrite:
    return ScanToWrite(
        counts=counts.astype(np.uint32),
        positions_px=POSITIONS_PX,
        probe_guess=PROBE[None, None],
        object_guess=None,
        metadata={},
        photons_per_intensity=scale,
        source={},
    )


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-6, 1e6))
@moderate
def test_write_data001_gives_back_counts_up_to_2_to_the_20(seed: int, scale: float) -> None:
    counts = draw_counts(seed)
    counts[:, H // 2, W // 2] = np.random.default_rng(seed).integers(2**20 - 2**17, 2**20, N, endpoint=True)
    with tempfile.TemporaryDirectory() as folder:
        write_data001(Path(folder, "e.npz"), scaled_scan(counts, scale))
        np.testing.assert_array_equal(read_scan(Path(folder, "e.npz"), ASK_NOTHING).counts, counts)


@pytest.mark.parametrize("exponent", [22, 25, 28, 31])
@pytest.mark.parametrize("seed", range(5))
def test_write_data001_loses_no_photon_of_one_brighter_pixel_in_silence(
    tmp_path: Path, exponent: int, seed: int
) -> None:
    counts = COUNTS.copy()
    counts[0, H // 2, W // 2] = np.random.default_rng(seed).integers(2**exponent, 2 ** (exponent + 1))
    try:
        write_data001(tmp_path / "e.npz", scaled_scan(counts, 1.0))
        found = read_scan(tmp_path / "e.npz", ASK_NOTHING).counts
    except InputError:
        return
    np.testing.assert_array_equal(found, counts)


# A pair to simulate from.


def save_pair(folder: Path, **changes: Any) -> Path:
    return save(folder, {"objectGuess": draw_probe(10, (20, 24)), "probeGuess": PROBE}, **changes)


def test_read_pair_gives_object_and_probe(tmp_path: Path) -> None:
    pair = read_pair(save_pair(tmp_path))
    np.testing.assert_array_equal(pair.object_truth, draw_probe(10, (20, 24)))
    np.testing.assert_array_equal(pair.probe, PROBE)


def test_read_pair_drops_axes_of_length_one(tmp_path: Path) -> None:
    pair = read_pair(save_pair(tmp_path, objectGuess=draw_probe(10, (1, 20, 24)), probeGuess=PROBE[None, None]))
    assert (pair.object_truth.shape, pair.probe.shape) == ((20, 24), (H, W))


def test_read_pair_brings_a_probe_in_a_far_off_unit_to_a_power_of_1(tmp_path: Path) -> None:
    probe = read_pair(save_pair(tmp_path, probeGuess=(1e-20 * PROBE).astype(np.complex64))).probe
    assert np.allclose(probe, PROBE / np.sqrt(np.square(np.abs(PROBE)).sum()), rtol=1e-5)


def test_read_pair_gives_complex64(tmp_path: Path) -> None:
    pair = read_pair(save_pair(tmp_path, probeGuess=PROBE.astype(np.complex128)))
    assert (pair.object_truth.dtype, pair.probe.dtype) == (np.complex64, np.complex64)


@pytest.mark.parametrize(
    ("changes", "found", "remedy"),
    [
        ({"objectGuess": None}, "no array 'objectGuess'", "add it"),
        ({"probeGuess": None}, "no array 'probeGuess'", "add it"),
        ({"objectGuess": np.ones((20, 24))}, "float64", "store one complex image under that key"),
        ({"probeGuess": PROBE.real}, "float32", "store one complex image under that key"),
        ({"probeGuess": draw_probe(3, (2, H, W))}, f"(2, {H}, {W})", "store one complex image under that key"),
        ({"probeGuess": PROBE * np.nan}, "probeGuess", "store one complex image under that key"),
        ({"objectGuess": np.zeros((20, 24), complex)}, "objectGuess", "store one complex image under that key"),
        ({"objectGuess": draw_probe(3, (H, W - 1))}, f"({H}, {W - 1})", "give an object that the probe can scan"),
    ],
    ids=["no_object", "no_probe", "real_object", "real_probe", "two_modes", "nan", "zero", "probe_larger"],
)
def test_read_pair_names_file_and_remedy_when_refused(
    tmp_path: Path, changes: dict[str, Any], found: str, remedy: str
) -> None:
    path = save_pair(tmp_path, **changes)
    with pytest.raises(InputError) as refused:
        read_pair(path)
    assert [part for part in (str(path), found, remedy) if part not in str(refused.value)] == []


def test_read_pair_refuses_pickled_arrays_naming_the_flag(tmp_path: Path) -> None:
    path = save_pair(tmp_path, objectGuess=np.array(None, dtype=object))
    with pytest.raises(InputError, match="--allow-pickle"):
        read_pair(path)


def test_read_pair_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.npz"):
        read_pair(tmp_path / "absent.npz")


# The measured Siemens star.


@pytest.fixture(scope="module")
def star_store(star_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("star") / "star.zarr"
    ingest_file(star_file, store, ASK_NOTHING)
    return store


@pytest.fixture(scope="module")
def star_counts(star_store: Path) -> np.ndarray:
    return counts_in(star_store)


def test_ingest_reads_516_exposures_of_the_star(star_counts: np.ndarray) -> None:
    assert star_counts.shape == (516, 128, 128)


def test_ingest_reads_the_photons_of_the_star(star_counts: np.ndarray) -> None:
    thousands = star_counts.sum(axis=(1, 2)) / 1000
    assert (round(thousands.min()), round(thousands.max())) == (433, 491)


def test_ingest_puts_the_light_of_the_star_at_the_centre(star_counts: np.ndarray) -> None:
    mean = star_counts.mean(axis=0)
    in_blocks = mean.reshape(4, 32, 4, 32).sum(axis=(1, 3))
    assert in_blocks[1:3, 1:3].min() > np.delete(in_blocks.ravel(), [5, 6, 9, 10]).max()


def test_ingest_reads_the_counts_of_the_star_pixel_by_pixel(star_counts: np.ndarray, star_file: Path) -> None:
    with np.load(io.BytesIO(bz2.decompress(star_file.read_bytes()))) as arrays:
        raw = arrays["data"][0]
    # numpy.fft.fftshift of an even size, by hand.
    np.testing.assert_array_equal(star_counts, np.roll(raw, (64, 64), axis=(1, 2)))
