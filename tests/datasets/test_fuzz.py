"""Input that nobody meant: whatever is in a study or scan file, it is used or refused, and a refusal writes nothing.

Every search is bounded and draws the same examples each time.
"""

from __future__ import annotations

import bz2
import io
import json
import os
import pickle
import re
import string
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from scan_files import DATA001, METADATA, TIKE, H, N, W
from tiny import TEXT

from fly64dask.base import Fly64Error, InputError
from fly64dask.datasets import read_inputs
from fly64dask.datasets.formats import ReadOptions
from fly64dask.datasets.ingest import ingest_file
from fly64dask.scheduling import plan_cells
from fly64dask.store import ExposureAttributes, RunLayout, open_group
from fly64dask.study import Study, cells, parse_study

ASK_NOTHING = ReadOptions()


def search(n_examples: int) -> Callable[[Any], Any]:
    """How all searches here run; what a draw costs is no failure."""
    return settings(
        max_examples=n_examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )


# Studies.


def parsed(text: str) -> Study | None:
    """The study, or None if it is refused as input; any other end is a defect."""
    try:
        return parse_study(text, origin="fuzz.toml")
    except InputError as refused:
        message = str(refused)
    assert message.startswith("read study fuzz.toml")
    return None


def assert_stays_inside(study: Study, root: Path) -> None:
    """Every path that a run of the study would write lies below its directory."""
    layout = RunLayout(root)
    inside = root.resolve()
    for cell in cells(study):
        paths = [
            layout.record_file(cell),
            layout.reconstruction_group(cell),
            layout.log_file(cell),
            layout.history_directory(cell, 1),
            layout.exposure_group(cell.dose, cell.split),
            layout.view_group(cell.view, cell.split),
        ]
        assert [path for path in paths if inside not in path.resolve().parents] == []


@given(st.text(max_size=200))
@search(300)
def test_parse_study_takes_or_refuses_any_text(text: str) -> None:
    parsed(text)


@given(st.text(alphabet=string.printable, max_size=200))
@search(300)
def test_parse_study_takes_or_refuses_what_a_keyboard_has(text: str) -> None:
    parsed(text)


@given(st.binary(max_size=200))
@search(300)
def test_parse_study_takes_or_refuses_any_bytes(content: bytes) -> None:
    parsed(content.decode("latin-1"))


@given(st.text(max_size=60), st.integers(0, len(TEXT)))
@search(300)
def test_parse_study_takes_or_refuses_any_text_inside_a_study(text: str, place: int) -> None:
    parsed(TEXT[:place] + text + TEXT[place:])


hostile_names = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "..", "../..", "/etc", ".", "a/b", "a\\b", "\x1b[2J", "a\nb", "\0", "é", "k" * 70, "k" * 700]),
)
toml_scalars = st.one_of(
    st.integers().map(str),
    st.sampled_from(["0", "-1", "1", "9" * 400, "9" * 5000, "-" + "9" * 19, "0x" + "f" * 5000, "0o7", "0b1"]),
    st.floats().map(lambda number: repr(number)),
    st.sampled_from(
        ["inf", "-inf", "nan", "1e308", "-1e308", "1e999", "5e-324", "1e-320", "-0.0", "0.9999999999999999"]
    ),
    st.sampled_from(["true", "false", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "''", '"""\n"""']),
    hostile_names.map(lambda name: json.dumps(name).replace("\x7f", "\\u007f")),
)
toml_values = st.one_of(
    toml_scalars,
    st.recursive(toml_scalars, lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")),
    st.integers(1, 500).map(lambda depth: "[" * depth + "]" * depth),
    st.dictionaries(hostile_names.map(json.dumps), toml_scalars, max_size=2).map(
        lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
    ),
)
PLACES = [match.span(1) for match in re.finditer(r"= (\[[^\[\]{}]*\]|\"[^\"]*\"|[^\s,{}\[\]]+)", TEXT)]
KEYS = [match.span(1) for match in re.finditer(r"(\w+) =", TEXT)]
LINES = TEXT.splitlines()


@given(
    st.lists(st.tuples(st.integers(0, len(PLACES) - 1), toml_values), min_size=1, max_size=2, unique_by=lambda e: e[0])
)
@search(800)
def test_study_with_other_values_stays_inside_its_run_directory(edits: list[tuple[int, str]]) -> None:
    text = TEXT
    for place, value in sorted(edits, reverse=True):
        start, end = PLACES[place]
        text = text[:start] + value + text[end:]
    study = parsed(text)
    if study is not None:
        assert_stays_inside(study, Path("run"))


@given(st.integers(0, len(KEYS) - 1), hostile_names)
@search(300)
def test_study_with_another_key_is_taken_or_refused(place: int, name: str) -> None:
    start, end = KEYS[place]
    study = parsed(TEXT[:start] + json.dumps(name) + TEXT[end:])
    if study is not None:
        assert_stays_inside(study, Path("run"))


@given(st.lists(st.sampled_from(range(len(LINES))), max_size=len(LINES)))
@search(300)
def test_study_with_its_lines_left_out_repeated_or_moved_is_taken_or_refused(order: list[int]) -> None:
    parsed("\n".join(LINES[line] for line in order))


numbers = st.one_of(
    st.integers(-3, 100).map(str),
    st.floats(width=64).map(repr),
    st.sampled_from(["1e-6", "1e-5", "1e9", "-1e9", "12", "60", "0.9999999999999999", "1e-320", "5e-324"]),
)
NUMBERS = [span for span in PLACES if re.fullmatch(r"[\d.e]+", TEXT[slice(*span)])]


@given(st.lists(st.tuples(st.integers(0, len(NUMBERS) - 1), numbers), min_size=1, max_size=3, unique_by=lambda e: e[0]))
@search(400)
def test_study_with_other_numbers_is_planned_or_refused(edits: list[tuple[int, str]]) -> None:
    text = TEXT
    for place, value in sorted(edits, reverse=True):
        start, end = NUMBERS[place]
        text = text[:start] + value + text[end:]
    study = parsed(text)
    if study is None:
        return
    try:
        plan_cells(study, read_inputs(study), cells(study))
    except Fly64Error:
        return


# Scan files.


def npz(arrays: dict[str, Any], *, compress: bool = True) -> bytes:
    content = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(content, **arrays)
    return content.getvalue()


def npy(array: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def npy_header(header: str, body: bytes = b"") -> bytes:
    """An .npy of version 1.0 whose header says anything."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def zipped(members: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return content.getvalue()


WITH_METADATA = DATA001 | {"_metadata": np.array(json.dumps(METADATA))}
MEMBERS = {f"{name}.npy": npy(array) for name, array in WITH_METADATA.items()}
SOUND = {"data001": npz(WITH_METADATA), "stored": npz(WITH_METADATA, compress=False), "tike": npz(TIKE)}


def refusal(content: bytes, name: str = "scan.npz", options: ReadOptions = ASK_NOTHING) -> str | None:
    """Ingest some bytes: None if that made a sound store, else the words of the refusal, which left nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        path, store = Path(folder, name), Path(folder, "s.zarr")
        path.write_bytes(content)
        try:
            stored = ingest_file(path, store, options)
        except Fly64Error as refused:
            assert os.listdir(folder) == [name]
            return str(refused)
        assert sorted(os.listdir(folder)) == sorted([name, "s.zarr"])
        assert open_group(store, ExposureAttributes).attributes == stored
        return None


edits_of_bytes = st.lists(
    st.tuples(
        st.sampled_from(["flip", "set", "insert", "delete", "cut"]),
        st.one_of(st.floats(0, 1, exclude_max=True), st.floats(0.8, 1, exclude_max=True)),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for kind, place, part in edits:
        at = int(place * len(content))
        if kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ (1 << part[0] % 8)]) + content[at + 1 :]
        elif kind == "set":
            content = content[:at] + part + content[at + len(part) :]
        elif kind == "insert":
            content = content[:at] + part + content[at:]
        elif kind == "delete":
            content = content[:at] + content[at + len(part) :]
        elif kind == "cut":
            content = content[: max(at, 1)]
    return content


@given(st.binary(max_size=300), st.sampled_from(["scan.npz", "scan.npz.bz2", "scan"]))
@search(300)
def test_ingest_takes_or_refuses_any_bytes(content: bytes, name: str) -> None:
    assert refusal(content, name)
    assert refusal(b"PK\x03\x04" + content, name)


@pytest.mark.parametrize("sound", SOUND.values(), ids=SOUND)
@given(edits=edits_of_bytes)
@search(200)
def test_ingest_takes_or_refuses_a_file_with_other_bytes(sound: bytes, edits: list[tuple[str, float, bytes]]) -> None:
    refusal(edited(sound, edits))


@given(edits=edits_of_bytes)
@search(150)
def test_ingest_takes_or_refuses_a_bzip2_file_with_other_bytes(edits: list[tuple[str, float, bytes]]) -> None:
    refusal(edited(bz2.compress(SOUND["stored"]), edits), "scan.npz.bz2")


@given(name=st.sampled_from(sorted(MEMBERS)), edits=edits_of_bytes)
@search(200)
def test_ingest_takes_or_refuses_an_array_with_other_bytes(name: str, edits: list[tuple[str, float, bytes]]) -> None:
    refusal(zipped(MEMBERS | {name: edited(MEMBERS[name], edits)}))


@given(name=st.sampled_from(sorted(MEMBERS)), place=st.integers(0, 127), part=st.binary(min_size=1, max_size=3))
@search(200)
def test_ingest_takes_or_refuses_an_array_with_another_header(name: str, place: int, part: bytes) -> None:
    content = MEMBERS[name]
    refusal(zipped(MEMBERS | {name: content[:place] + part + content[place + len(part) :]}))


OTHER_TYPES = ["U3", "S3", "U0", "V0", "V5", "M8[s]", "m8[s]", [("y", "f4"), ("x", "f4")], [("d", "f4", (2, 2))]]
dtypes = st.sampled_from(
    ["?", "u1", "i1", "u8", "i8", "f2", "f4", ">f4", "f8", "g", "c8", "c16", "G", *OTHER_TYPES]
).map(np.dtype)
shapes = st.sampled_from([(), (0,), (1,), (N,), (N, 1), (N, 2), (H, W), (N, H, W), (H, W, N), (1, N, H, W), (1, N, 2)])


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Any dtype and shape, in either memory order, of zeros, of any values, or of the bytes of a sound array."""
    dtype, shape = draw(dtypes), draw(shapes)
    if dtype.fields or dtype.kind in "V" or draw(st.booleans()):
        array = np.zeros(shape, dtype)
    else:
        array = draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(dtype), fill=hnp.from_dtype(dtype)))
    return np.asfortranarray(array) if draw(st.booleans()) else array


@pytest.mark.parametrize("base", [WITH_METADATA, TIKE], ids=["data001", "tike"])
@given(data=st.data())
@search(200)
def test_ingest_takes_or_refuses_any_arrays_under_its_names(base: dict[str, Any], data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(base)), min_size=1, max_size=3, unique=True))
    options = data.draw(
        st.builds(
            ReadOptions,
            layout=st.sampled_from([None, "nhw", "hwn"]),
            quantity=st.sampled_from([None, "amplitude", "intensity"]),
            zero_frequency=st.sampled_from([None, "centre", "corner"]),
        )
    )
    refusal(npz(base | {name: data.draw(arrays()) for name in names}, compress=False), options=options)


pixels = st.one_of(
    st.floats(),
    st.floats(width=32),
    st.sampled_from([1e-300, 5e-324, 1e-170, 1e150, 1e200, 1e308, np.nan, np.inf, -1.0]),
)


@given(
    pixels=st.lists(st.tuples(st.integers(0, N * H * W - 1), pixels), max_size=3),
    background=st.sampled_from([0.0, 1.0, 0.5, 1e-200, 1e160]),
    dtype=st.sampled_from(["f2", "f4", "f8", "g"]),
    quantity=st.sampled_from([None, "amplitude", "intensity"]),
    scale=st.sampled_from([None, 1.0, 1e-300, 1e300]),
)
@search(200)
def test_ingest_takes_or_refuses_any_pixels(
    pixels: list[tuple[int, float]], background: float, dtype: str, quantity: Any, scale: float | None
) -> None:
    with np.errstate(all="ignore"):
        patterns = np.full(N * H * W, background).astype(dtype)
        for place, value in pixels:
            patterns[place] = value
    content = npz(DATA001 | {"diffraction": patterns.reshape(N, H, W)})
    refusal(content, options=ReadOptions(quantity=quantity, zero_frequency="centre", photons_per_intensity=scale))


@given(
    name=st.sampled_from(["xcoords", "ycoords"]),
    values=st.lists(st.floats(), min_size=N, max_size=N),
)
@search(150)
def test_ingest_takes_or_refuses_any_positions(name: str, values: list[float]) -> None:
    refusal(npz(DATA001 | {name: np.array(values)}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
metadata_texts = st.one_of(
    st.text(max_size=40),
    st.dictionaries(st.text(max_size=5), json_values, max_size=3).map(json.dumps),
    st.sampled_from(["photons_per_intensity", "quantity", "layout", "zero_frequency", "object_is_empty"]).flatmap(
        lambda key: json_values.map(lambda value: json.dumps({key: value}))
    ),
    st.sampled_from(
        ["9" * 400, "9" * 5000, "1e999", "-0.0", "NaN", '"\\ud800"', '{"\\udfff": 1}', '{"\\u0000": 1}']
    ).map(lambda value: f'{{"photons_per_intensity": {value}, "dose": {value}}}'),
    st.sampled_from([10, 60, 100, 200, 300, 900, 2000, 100_000]).map(
        lambda depth: '{"a": ' + "[" * depth + "]" * depth + "}"
    ),
)


@given(text=metadata_texts, as_bytes=st.booleans())
@search(100)
def test_ingest_takes_or_refuses_any_metadata(text: str, as_bytes: bool) -> None:
    stored = text.encode(errors="surrogatepass") if as_bytes else text
    refusal(npz(WITH_METADATA | {"_metadata": np.array(stored)}, compress=False))


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("name", sorted(WITH_METADATA))
@pytest.mark.parametrize("dtype", ["object", "field"])
def test_ingest_runs_no_code_of_a_pickled_array(tmp_path: Path, name: str, dtype: str) -> None:
    marker = tmp_path / "marker"
    bomb = np.array([Bomb(marker)], dtype=object if dtype == "object" else [("a", object)])
    message = refusal(npz(WITH_METADATA | {name: bomb}))
    assert message is not None
    assert f"{name!r} is pickled" in message
    assert not marker.exists()


def test_ingest_runs_no_code_of_a_pickle_that_is_no_array(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    assert refusal(pickle.dumps(Bomb(marker)))
    assert refusal(zipped(MEMBERS | {"diffraction.npy": pickle.dumps(Bomb(marker))}))
    assert not marker.exists()


def test_bomb_makes_its_file_when_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


def declares(descr: str, shape: str, body: bytes = b"") -> bytes:
    return npy_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", body)


BODY = bytes(N * H * W * 4)
HEADERS = {
    "huge": declares("'<f4'", "(1000000000, 1000000000)", BODY),
    "huge_by_one_axis": declares("'<f4'", "(9223372036854775807,)", BODY),
    "beyond_64_bits": declares("'<f4'", f"({10**30}, 8, 10)", BODY),
    "product_beyond_64_bits": declares("'<f4'", f"({2**32}, {2**31}, 4)", BODY),
    "product_wraps_to_the_size": declares("'<f4'", f"({2**62}, 4, {N * H * W})", BODY),
    "too_long_by_one": declares("'<f4'", f"({N}, {H}, {W + 1})", BODY),
    "too_short_by_one": declares("'<f4'", f"({N}, {H}, {W - 1})", BODY),
    "narrower_type": declares("'<f2'", f"({N}, {H}, {W})", BODY),
    "negative": declares("'<f4'", f"(-{N}, {H}, {W})", BODY),
    "two_negatives": declares("'<f4'", f"(-{N}, -{H}, {W})", BODY),
    "huge_of_nothing": declares("'V0'", f"({10**15},)"),
    "huge_of_empty_text": declares("'<U0'", f"({10**15},)"),
    "wide_text": declares("'<U999999999'", "(1,)", BODY),
    "wider_than_a_type_can_be": declares("'V99999999999999999999'", "(1,)", BODY),
    "shape_of_floats": declares("'<f4'", "(7.0, 8, 10)", BODY),
    "shape_of_text": declares("'<f4'", "'(7, 8, 10)'", BODY),
    "python_2_header": declares("'<f4'", f"({N}L, {H}L, {W}L)", BODY),
    "code": declares("__import__('os').system('true')", "(1,)", BODY),
    "nested": declares("'<f4'", "(" * 500 + ")" * 500, BODY),
    "unclosed": npy_header("{'descr': ", BODY),
    "no_header": b"\x93NUMPY\x01\x00",
    "long_header": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    "version_3": b"\x93NUMPY\x03\x00" + MEMBERS["diffraction.npy"][8:],
    "version_99": b"\x93NUMPY\x63\x00" + MEMBERS["diffraction.npy"][8:],
    "zip_inside": SOUND["data001"],
    "text": b"0.5 0.5\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", ["diffraction", "xcoords", "probeGuess", "objectGuess", "_metadata"])
@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_ingest_refuses_a_false_header_without_taking_memory_for_it(content: bytes, name: str) -> None:
    file = zipped(MEMBERS | {f"{name}.npy": content})
    tracemalloc.start()
    try:
        message = refusal(file)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert message is not None
    assert name in message or "every pixel is 0" in message or "probe of dtype" in message
    assert peak_bytes < 64e6


def duplicated(name: str) -> bytes:
    content = io.BytesIO(SOUND["data001"])
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(content, "a") as archive:
        archive.writestr(name, npy(DATA001["diffraction"] * 2))
    return content.getvalue()


def test_ingest_refuses_a_zip_with_two_arrays_of_one_name() -> None:
    message = refusal(duplicated("diffraction.npy"))
    assert message is not None
    assert "['diffraction'] more than once" in message


def test_ingest_refuses_two_members_that_give_one_name() -> None:
    message = refusal(zipped(MEMBERS | {"diffraction": MEMBERS["diffraction.npy"]}))
    assert message is not None
    assert "save each array once" in message


@pytest.mark.parametrize("name", ["/abs.npy", "../../up.npy", "..\\up.npy", "C:\\x.npy", "\x1b[2J.npy", "é.npy", "a/"])
def test_ingest_writes_no_member_anywhere(name: str) -> None:
    assert refusal(zipped(MEMBERS | {name: npy(np.zeros(3))})) is None


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_ingest_refuses_compression_that_unpacks_without_bound(compression: int) -> None:
    message = refusal(zipped(MEMBERS, compression=compression))
    assert message is not None
    assert f"zip compression {compression}" in message


def test_ingest_refuses_an_encrypted_zip() -> None:
    content = bytearray(zipped(MEMBERS))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(mark, at + 1)) >= 0:
            content[at + flags] |= 1
    message = refusal(bytes(content))
    assert message is not None
    assert "encrypted" in message


def test_ingest_shows_few_of_many_names() -> None:
    message = refusal(zipped({f"{number:05}{'x' * 100}.npy": b"" for number in range(2000)}))
    assert message is not None
    assert len(message) < 2000
    assert "and 1988 more" in message


# Files that unpack to more than memory.

BLOCK_BYTES = 2**26
BOMB_PX = 4096  # each pixel is looked at before memory is asked for


def zip_bomb(path: Path) -> None:
    """A sound array of 0.5 GB of zeros in 2 MB."""
    header = declares("'<f4'", f"({N}, {BOMB_PX}, {BOMB_PX})")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in MEMBERS.items():
            if name != "diffraction.npy":
                archive.writestr(name, content)
        with archive.open("diffraction.npy", "w", force_zip64=True) as stream:
            stream.write(header)
            for _ in range(N):
                stream.write(bytes(4 * BOMB_PX**2))


def bzip2_bomb(path: Path) -> None:
    """8 GiB of zeros in 8 kB: bzip2 streams may follow each other."""
    path.write_bytes(bz2.compress(bytes(BLOCK_BYTES)) * (2**33 // BLOCK_BYTES))


@pytest.mark.parametrize(("name", "make"), [("scan.npz", zip_bomb), ("scan.npz.bz2", bzip2_bomb)], ids=["zip", "bzip2"])
def test_ingest_refuses_a_bomb_before_memory_is_exhausted(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 2**23
    # 1.25 GB of address space, of which Python and its libraries take 0.7: more would be a MemoryError.
    command = ["bash", "-c", 'ulimit -v 1250000; exec "$@"', "bash", sys.executable, "-m", "fly64dask"]
    done = subprocess.run(
        [*command, "ingest", str(tmp_path / name), "--out", str(tmp_path / "s.zarr")],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "GB of memory" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == [name]


# Words of a refusal.


@given(message=st.text(), remedy=st.text())
@search(300)
def test_error_has_nothing_that_a_terminal_obeys(message: str, remedy: str) -> None:
    shown = str(InputError(message, remedy=remedy))
    assert shown.replace("\n", "").isprintable()


@given(message=st.text(), remedy=st.text())
@search(100)
def test_error_is_the_same_after_a_process_boundary(message: str, remedy: str) -> None:
    error = InputError(message, remedy=remedy)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_error_keeps_lines_and_letters() -> None:
    assert str(InputError("a\n  é 漢 = 1", remedy="b")) == "a\n  é 漢 = 1; b"


def test_error_writes_control_characters_out() -> None:
    found = str(InputError("\x1b[2J\r\x00\u202e\ud800\u2028", remedy=""))
    assert found == r"\x1b[2J\r\x00\u202e\ud800\u2028"


def test_parse_study_shows_a_hostile_key_on_one_line() -> None:
    with pytest.raises(InputError) as refused:
        parse_study(TEXT + '"\\u001b[2J\\n  forged" = 1\n', origin="fuzz.toml")
    _, *faults = str(refused.value).splitlines()
    assert len(faults) == 1
    assert r"source.'\x1b[2J\n  forged' = 1: unknown key" in faults[0]


def test_ingest_shows_a_hostile_member_name_escaped() -> None:
    message = refusal(zipped({"\x1b[2J.npy": npy(np.zeros(3))}))
    assert message is not None
    assert r"\x1b[2J" in message
    assert "\x1b" not in message
