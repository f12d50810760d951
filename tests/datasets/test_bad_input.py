"""Wrong input on the command line: exit code 2, file, key, value and remedy named, no traceback, nothing written."""

from __future__ import annotations

import io
import os
import pickle
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scan_files import AMPLITUDE, BRIGHTEST, COUNTS, DATA001, POSITIONS_PX, PROBE, H, N, W, draw_probe
from tiny import TEXT

from fly64dask.cli.main import main

Make = Callable[[Path], object]
HEAD = TEXT[: TEXT.index("[source]")]
PAIR = (
    HEAD
    + """[source]
kind = "pair"
path = "pair.npz"
scan = {kind = "listed", positions_px = [[10, 12], [14, 16]]}
"""
)
OBJECT = draw_probe(10, (30, 34))


def study_with(old: str, new: str, text: str = TEXT) -> Make:
    """A study file with one part of the tiny study, or of another text, changed."""
    assert text.count(old) == 1, f"{old!r} must name one place"
    return lambda folder: (folder / "bad.toml").write_text(text.replace(old, new))


def pair_study(positions: str = "", **changes: Any) -> Make:
    """A study of an NPZ pair, with some arrays of the pair or its positions changed."""

    def make(folder: Path) -> None:
        (folder / "bad.toml").write_text(PAIR.replace("[[10, 12], [14, 16]]", positions) if positions else PAIR)
        arrays = {"objectGuess": OBJECT, "probeGuess": PROBE} | changes
        np.savez(folder / "pair.npz", **{key: value for key, value in arrays.items() if value is not None})

    return make


def measured_study(path: str) -> Make:
    return lambda folder: (folder / "bad.toml").write_text(f'{HEAD}[source]\nkind = "measured"\npath = "{path}"\n')


def study_bytes(content: bytes) -> Make:
    return lambda folder: (folder / "bad.toml").write_bytes(content)


def scan_with(**changes: Any) -> Make:
    """A DATA-001 file with some arrays changed, or left out where None."""
    arrays = {key: value for key, value in (DATA001 | changes).items() if value is not None}
    return lambda folder: np.savez(folder / "bad.npz", **arrays)


def scan_bytes(content: bytes, name: str = "bad.npz") -> Make:
    return lambda folder: (folder / name).write_bytes(content)


def sound() -> bytes:
    content = io.BytesIO()
    np.savez(content, **DATA001)
    return content.getvalue()


def with_member(name: str, body: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for key, array in DATA001.items():
            if f"{key}.npy" != name:
                member = io.BytesIO()
                np.save(member, array)
                archive.writestr(f"{key}.npy", member.getvalue())
        archive.writestr(name, body)
    return content.getvalue()


def header(shape: str, descr: str = "<f4") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class Bomb:
    """Unpickling it makes a directory in the current one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("marker",)


SCAN = "n_exposures = 60, low_px = 12, high_px = 60"
# What makes the input, and what the message must name besides the file: key, value, remedy.
STUDIES: dict[str, tuple[Make, list[str]]] = {
    "unknown_key": (study_with("n_epochs", "n_epoch"), ["recipe.n_epoch = 3", "did you mean 'n_epochs'", "remove it"]),
    "key_that_a_terminal_obeys": (study_with("n_epochs", r'"\u001b[2J"'), [r"recipe.'\x1b[2J' = 3", "remove it"]),
    "key_of_letters_from_elsewhere": (study_with("n_epochs", '"\u5c64数"'), ["recipe.'層数' = 3", "remove it"]),
    "key_of_many_letters": (study_with("n_epochs", "n" * 9999), ["... = 3", "remove it"]),
    "threshold_in_um": (study_with("threshold_px = 12.0", "threshold_um = 1"), ["threshold_um = 1", "'threshold_px'"]),
    "overlap_in_percent": (
        study_with("threshold_px = 12.0", "array_overlap = 70, patch_size_px = 24"),
        ["views[1].array_overlap = 70", "less than 1", "correct it"],
    ),
    "dose_with_a_unit": (
        study_with("[1e4, 1e5]", '["1e4 photons"]'),
        ["doses_photons[0] = '1e4 photons'", "correct it"],
    ),
    "dose_with_a_date": (study_with("[1e4, 1e5]", "[2026-01-02]"), ["doses_photons[0] = '2026-01-02'", "correct it"]),
    "positions_in_metres": (
        study_with(SCAN, "n_exposures = 60, low_m = 1e-6, high_m = 6e-6"),
        ["scan.low_px", "add it"],
    ),
    "positions_beyond_any_stage": (study_with("high_px = 60", "high_px = 1e300"), ["high_px = 1e+300", "correct it"]),
    "positions_outside_the_object": (
        study_with("high_px = 60", "high_px = 61"),
        ["px outside an object of (72, 72) px"],
    ),
    "positions_below_the_object": (study_with("low_px = 12", "low_px = -5"), ["move the scan or enlarge the object"]),
    "probe_larger_than_object": (study_with("[24, 24]", "[24, 73]"), ["probe_shape_px = (24, 73)", "shrink the probe"]),
    "object_beyond_memory": (study_with("[72, 72]", "[65536, 65536]"), ["object_shape_px", "give a smaller object"]),
    "object_of_no_axis": (study_with("[72, 72]", "[]"), ["source.object_shape_px[0]: missing", "add it"]),
    "scan_of_no_exposure": (study_with("n_exposures = 60", "n_exposures = 0"), ["scan.n_exposures = 0", "correct it"]),
    "scan_of_one_exposure": (
        study_with("n_exposures = 60", "n_exposures = 1"),
        ["holds no exposure", "split.fraction"],
    ),
    "threshold_of_nothing": (
        study_with("threshold_px = 12.0", "threshold_px = 1e-320"),
        ["views[1].threshold_px = 1e-320"],
    ),
    "threshold_of_everything": (study_with("threshold_px = 12.0", "threshold_px = 1e308"), ["threshold_px = 1e+308"]),
    "overlap_of_everything": (
        study_with("threshold_px = 12.0", "array_overlap = 0.9999999999999999, patch_size_px = 1"),
        ["views[1]", "array_overlap 0.9999999999999999", "lower it"],
    ),
    "patch_beyond_a_float": (
        study_with("threshold_px = 12.0", f"array_overlap = 0.5, patch_size_px = {'9' * 400}"),
        ["views[1].patch_size_px = 999", "correct it"],
    ),
    "number_of_5000_digits": (
        study_with("n_epochs = 3", "n_epochs = " + "9" * 5000),
        ["5000 digits", "correct that line"],
    ),
    "number_of_5000_hex_digits": (study_with("n_epochs = 3", "n_epochs = 0x" + "f" * 5000), ["correct that line"]),
    "tables_in_tables": (study_bytes(("[a" + ".a" * 5000 + "]").encode()), ["recursion", "correct that line"]),
    "view_that_climbs": (study_with('"few"', '"../../few"'), ["views[1].name = '../../few'", "correct it"]),
    "view_of_a_root": (study_with('"few"', '"/etc"'), ["views[1].name = '/etc'", "correct it"]),
    "view_of_a_nul": (study_with('"few"', r'"a\u0000"'), [r"views[1].name = 'a\x00'", "correct it"]),
    "study_of_no_bytes": (study_bytes(b""), ["schema_version: missing", "add it"]),
    "study_not_in_utf8": (study_bytes(TEXT.encode() + b"# \xe9"), ["utf-8", "give a TOML file in UTF-8"]),
    "study_of_zeros": (study_bytes(bytes(1000)), ["not valid TOML", "correct that line"]),
    "study_of_an_npz": (study_bytes(sound()), ["give a TOML file in UTF-8"]),
    "pair_missing": (study_with("pair.npz", "absent.npz", PAIR), ["absent.npz", "give an .npz"]),
    "pair_at_a_nul": (study_with("pair.npz", r"a\u0000b", PAIR), [r"source.path = 'a\x00b'", "correct it"]),
    "pair_at_a_long_path": (study_with("pair.npz", "a" * 9999, PAIR), ["source.path = 'aaa", "correct it"]),
    "pair_at_a_long_name": (study_with("pair.npz", "a" * 300, PAIR), ["File name too long", "give an .npz"]),
    "pair_at_a_directory": (study_with("pair.npz", "..", PAIR), ["not a plain one", "give an .npz"]),
    "pair_at_a_device": (study_with("pair.npz", "/dev/zero", PAIR), ["/dev/zero", "not a plain one", "give an .npz"]),
    "pair_nan": (pair_study(objectGuess=OBJECT * np.nan), ["pair.npz", "objectGuess", "store one complex image"]),
    "pair_real": (pair_study(probeGuess=PROBE.real), ["probeGuess", "float32", "store one complex image"]),
    "pair_beyond_single_precision": (
        pair_study(probeGuess=PROBE.astype(complex) * 1e200),
        ["probeGuess", "single precision", "store one complex image"],
    ),
    "pair_below_single_precision": (
        pair_study(probeGuess=PROBE.astype(complex) * 1e-200),
        ["probeGuess", "single precision", "store one complex image"],
    ),
    "pair_probe_larger": (pair_study(objectGuess=draw_probe(1, (H - 1, W))), [f"probe ({H}, {W})", "give an object"]),
    "pair_position_outside": (pair_study("[[10, 12], [29, 12]]"), ["position 1", "[29, 12] px", "move the scan"]),
    "pair_position_nan": (pair_study("[[10, nan], [11, 12]]"), ["positions_px[0][1] = nan", "finite", "correct it"]),
    "pair_pickled": (pair_study(objectGuess=np.array([Bomb()])), ["'objectGuess' is pickled"]),
    "store_missing": (measured_study("absent.zarr"), ["absent.zarr", "fly64dask ingest FILE --out STORE"]),
    "store_with_a_long_name": (measured_study("a" * 300), ["source.path = ", "fly64dask ingest FILE --out STORE"]),
    "store_that_is_a_file": (measured_study("bad.toml"), ["bad.toml", "no readable Zarr v3 group"]),
}
SCANS: dict[str, tuple[Make, list[str]]] = {
    "nan_counts": (
        scan_with(diffraction=np.where(BRIGHTEST, np.nan, AMPLITUDE)),
        ["1 of 80 pixels holds values that are not finite", "--mask marks"],
    ),
    "negative_counts": (
        scan_with(diffraction=COUNTS - 1),
        ["are negative in some exposures, down to -1", "give --round"],
    ),
    "no_counts": (scan_with(diffraction=COUNTS * 0), ["every pixel is 0", "check which array"]),
    "complex_counts": (scan_with(diffraction=AMPLITUDE * 1j), ["'diffraction'", "complex64", "store (n, H, W)"]),
    "text_counts": (scan_with(diffraction=COUNTS.astype(str)), ["'diffraction'", "<U", "store (n, H, W)"]),
    "dates_for_counts": (scan_with(diffraction=COUNTS.astype("M8[s]")), ["datetime64[s]", "store (n, H, W)"]),
    "counts_that_vanish": (
        scan_with(diffraction=np.where(BRIGHTEST, 1.5e-200, 0)),
        ["brightest amplitude is 1.5e-200", "store it in another unit"],
    ),
    "counts_that_overflow": (
        scan_with(diffraction=AMPLITUDE.astype(float) * 1e200, _metadata=np.array('{"quantity": "amplitude"}')),
        ["brightest amplitude is", "store it in another unit"],
    ),
    "fewer_patterns": (
        scan_with(diffraction=AMPLITUDE[1:]),
        [f"({N - 1}, {H}, {W}) but {N} positions", "give one for each"],
    ),
    "fewer_xcoords": (scan_with(xcoords=POSITIONS_PX[1:, 1]), [f"{N - 1} xcoords but {N} ycoords", "give both"]),
    "nan_position": (scan_with(xcoords=np.full(N, np.nan)), ["position 0", "nan", "correct or drop"]),
    "position_beyond_any_stage": (scan_with(ycoords=np.full(N, 1e30)), ["position 0", "1e+30", "correct or drop"]),
    "structured_positions": (scan_with(xcoords=np.zeros(N, [("x", "f4")])), ["'xcoords'", "[('x', '<f4')]", "in px"]),
    "dates_for_positions": (scan_with(ycoords=np.zeros(N, "M8[s]")), ["'ycoords'", "datetime64[s]", "in px"]),
    "boolean_positions": (scan_with(ycoords=np.zeros(N, bool)), ["'ycoords'", "bool", "in px"]),
    "empty_scan": (
        scan_with(diffraction=AMPLITUDE[:0], xcoords=POSITIONS_PX[:0, 1], ycoords=POSITIONS_PX[:0, 0]),
        ["and so no pattern", "check which array"],
    ),
    "probe_larger_than_the_patterns": (
        scan_with(probeGuess=draw_probe(3, (H, W + 2))),
        [f"({H}, {W + 2})", "give a probe of the patterns' size"],
    ),
    "probe_beyond_single_precision": (scan_with(probeGuess=PROBE.astype(complex) * 1e200), ["give a complex probe"]),
    "metadata_with_a_long_number": (
        scan_with(_metadata=np.array('{"a": ' + "9" * 5000 + "}")),
        ["_metadata is not JSON", "5000 digits", "store a JSON object"],
    ),
    "metadata_that_is_no_text": (
        scan_with(_metadata=np.array(r'{"a": "\ud800"}')),
        ["_metadata is not JSON", "surrogates", "store a JSON object"],
    ),
    "metadata_of_many_levels": (
        scan_with(_metadata=np.array('{"a": ' + "[" * 90 + "]" * 90 + "}")),
        ["_metadata is nested", "store a flatter JSON object"],
    ),
    "scale_beyond_a_float": (
        scan_with(_metadata=np.array('{"photons_per_intensity": 1' + "0" * 400 + "}")),
        ["photons_per_intensity of its metadata is 1", "give --photons-per-intensity"],
    ),
    "file_of_no_bytes": (scan_bytes(b""), ["it is empty", "give one of CXI"]),
    "truncated_zip": (scan_bytes(sound()[:-100]), ["not a whole NPZ file", "cut short has to be copied again"]),
    "zip_of_nothing": (scan_bytes(b"PK\x05\x06" + bytes(18)), ["nothing in it", "rename the array"]),
    "pickle": (scan_bytes(pickle.dumps(Bomb())), ["a Python pickle", "numpy.savez"]),
    "pickled_array": (scan_with(diffraction=np.array([Bomb()])), ["'diffraction' is pickled", "give --allow-pickle"]),
    "pickled_metadata": (scan_with(_metadata=np.array([Bomb()])), ["'_metadata' is pickled", "give --allow-pickle"]),
    "huge_declared_shape": (
        scan_bytes(with_member("diffraction.npy", header(f"({10**9}, {10**9}, {10**9})"))),
        ["'diffraction'", "(1000000000, 1000000000, 1000000000) of float32", "and it has 0", "save it again"],
    ),
    "huge_declared_shape_of_nothing": (
        scan_bytes(with_member("diffraction.npy", header(f"({10**15},)", "<U0"))),
        ["'diffraction'", "<U0", "store (n, H, W)"],
    ),
    "negative_declared_shape": (
        scan_bytes(with_member("diffraction.npy", header(f"(-{N}, -{H}, {W})") + AMPLITUDE.tobytes())),
        ["'diffraction'", f"declared shape (-{N}, -{H}, {W})", "save it again"],
    ),
    "shorter_declared_shape": (
        scan_bytes(with_member("diffraction.npy", header(f"({N}, {H}, {W})", "<f2") + AMPLITUDE.tobytes())),
        ["'diffraction'", "float16", "save it again"],
    ),
    "zip_in_zip": (
        scan_bytes(with_member("diffraction.npy", sound())),
        ["'diffraction' cannot be read", "save it again"],
    ),
    "array_twice": (scan_bytes(with_member("xcoords", header("(0,)"))), ["'xcoords'", "save each array once"]),
    "name_that_a_terminal_obeys": (
        lambda folder: np.savez(folder / "bad.npz", **{"\x1b[2J": AMPLITUDE}),
        [r"it has ['\x1b[2J']", "rename the array"],
    ),
}


def everything(folder: Path) -> list[str]:
    """Each file and directory below a folder; a refused command leaves the list as it was."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command line on wrong input in `tmp_path`; what it says is checked for what all refusals share."""

    def run(*arguments: object) -> str:
        before = everything(tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["fly64dask", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        assert (left.value.code, out) == (2, "")
        assert "Traceback" not in err
        assert re.sub(r"[\n\t]", "", err).isprintable()
        assert everything(tmp_path) == before
        return err

    return run


@pytest.mark.process  # some are refused once the run has its server of engines
@pytest.mark.parametrize(("make", "named"), STUDIES.values(), ids=STUDIES)
def test_run_refuses_a_study(tmp_path: Path, refused: Callable[..., str], make: Make, named: list[str]) -> None:
    make(tmp_path)
    message = refused("run", "bad.toml", "--out", "run")
    assert [part for part in named if part not in message] == []


@pytest.mark.parametrize(("make", "named"), SCANS.values(), ids=SCANS)
def test_ingest_refuses_a_scan(tmp_path: Path, refused: Callable[..., str], make: Make, named: list[str]) -> None:
    make(tmp_path)
    message = refused("ingest", "bad.npz", "--out", "deep/s.zarr")
    assert [part for part in ["bad.npz", *named] if part not in message] == []


@pytest.mark.parametrize("name", ["\x1b[2J.npz", "a\nb.npz", "\udcff.npz", "é漢.npz", "-.npz"], ids=ascii)
def test_ingest_refuses_a_scan_with_a_hostile_name(tmp_path: Path, refused: Callable[..., str], name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert "it is empty" in refused("ingest", "--out", "s.zarr", "--", name)


@pytest.mark.parametrize(
    ("out", "named"),
    [
        ("scan.npz", "it exists"),
        (".", "it exists"),
        ("..", "it exists"),
        ("/", "it exists"),
        ("scan.npz/s.zarr", "File exists"),
        ("loop", "it exists"),
        ("loop/s.zarr", "File exists"),
        ("a" * 300, "File name too long"),
        ("a" * 5000, "File name too long"),
        ("/dev/null/s.zarr", "/dev/null"),
        ("/proc/s.zarr", "/proc"),
    ],
    ids=lambda value: value[:20],
)
def test_ingest_refuses_a_place_for_its_store(
    tmp_path: Path, refused: Callable[..., str], out: str, named: str
) -> None:
    (tmp_path / "scan.npz").write_bytes(sound())
    (tmp_path / "loop").symlink_to("loop")
    message = refused("ingest", "scan.npz", "--out", out)
    assert named in message
    assert "give an" in message


@pytest.mark.parametrize(
    ("out", "named", "remedy"),
    [
        ("scan.npz/e.npz", "File exists", "give an --out that can be written"),
        ("loop/e.npz", "File exists", "give an --out that can be written"),
        ("a" * 300, "File name too long", "make it writable, or give another place"),
    ],
    ids=lambda value: value[:20],
)
def test_export_refuses_a_place_for_its_file(
    tmp_path: Path, refused: Callable[..., str], out: str, named: str, remedy: str
) -> None:
    from fly64dask.datasets.formats import ReadOptions
    from fly64dask.datasets.ingest import ingest_file

    (tmp_path / "scan.npz").write_bytes(sound())
    (tmp_path / "loop").symlink_to("loop")
    ingest_file(tmp_path / "scan.npz", tmp_path / "s.zarr", ReadOptions())
    message = refused("export", "s.zarr", "--out", out)
    assert named in message
    assert remedy in message
