"""Positions of a simulated scan that stand in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from tiny import TEXT

from fly64dask.base import InputError
from fly64dask.datasets import read_inputs
from fly64dask.datasets.formats import read_positions
from fly64dask.study import Study

YX = ("y_px", "x_px")
POSITIONS = np.array([[12.5, 20.0], [30.0, 41.25], [58.0, 33.0], [44.0, 12.0]])
FINITE = arrays(np.float64, st.tuples(st.integers(1, 20), st.just(2)), elements=st.floats(-1e6, 1e6))


def write(path: Path, positions: np.ndarray, names: tuple[str, str] = YX) -> Path:
    """Positions as a file of the path's suffix has them, x before y where columns have names."""
    y, x = positions.T
    if path.suffix == ".csv":
        rows = [f"{x!r},{y!r},note" for y, x in positions.tolist()]
        path.write_text("\n".join([f"{names[1]},{names[0]},remark", *rows]))
    elif path.suffix == ".txt":
        rows = [f"{x!r}\t{y!r}" for y, x in positions.tolist()]
        path.write_text("\n".join([f"# {names[1]}  {names[0]}", *rows, "", "# end"]) + "\n")
    elif path.suffix == ".npz":
        np.savez(path, **{names[0]: y, names[1]: x, "counts": np.zeros(3)})
    else:
        table = np.empty(len(positions), dtype=[(names[1], "f8"), (names[0], "f8")])
        table[names[0]], table[names[1]] = y, x
        np.save(path, table)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".npy", ".npz"])
@given(positions=FINITE)
def test_read_positions_reads_what_was_written(suffix, positions, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("file") / f"scan{suffix}", positions)
    assert np.array_equal(read_positions(path, YX), positions)


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".npy", ".npz"])
def test_read_positions_takes_the_named_columns(suffix, tmp_path):
    path = write(tmp_path / f"scan{suffix}", POSITIONS, ("ycoords", "xcoords"))
    assert np.array_equal(read_positions(path, ("ycoords", "xcoords")), POSITIONS)
    assert np.array_equal(read_positions(path, ("xcoords", "ycoords")), POSITIONS[:, ::-1])


def test_read_positions_takes_a_plain_array_as_y_and_x(tmp_path):
    np.save(tmp_path / "scan.npy", POSITIONS)
    assert np.array_equal(read_positions(tmp_path / "scan.npy", YX), POSITIONS)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("missing.csv", None, "no such file"),
        ("scan.dat", b"y_px,x_px\n1,2\n", "suffix '.dat'"),
        ("bare.csv", b"1.0,2.0\n3.0,4.0\n", "needed one column 'y_px', found ['1.0', '2.0']"),
        ("other.txt", b"x y\n1 2\n", "needed one column 'y_px', found ['x', 'y']"),
        ("twice.csv", b"y_px,x_px,y_px\n1,2,3\n", "needed one column 'y_px'"),
        ("short.csv", b"y_px,x_px\n1,2\n3\n", "line 3 has 1 values, the first line names 2"),
        ("word.csv", b"y_px,x_px\n1,two\n", "'two'"),
        ("bytes.csv", b"y_px,x_px\n\xff\xfe,1\n", "can't decode"),
        ("cut.npy", np.lib.format.MAGIC_PREFIX + b"\x01\x00", "cut.npy"),
        ("cut.npz", b"PK\x03\x04", "not a whole NPZ file"),
    ],
)
def test_read_positions_refuses_by_name(name, content, named, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_positions(tmp_path / name, YX)
    assert named in str(caught.value)
    assert name in str(caught.value)


def test_read_positions_refuses_columns_of_different_lengths(tmp_path):
    np.savez(tmp_path / "scan.npz", y_px=np.zeros(3), x_px=np.zeros(4))
    with pytest.raises(InputError, match="one y and one x"):
        read_positions(tmp_path / "scan.npz", YX)


def study_of(folder: Path, positions: np.ndarray) -> Study:
    """The tiny study beside a file with its positions, read from disk."""
    folder.mkdir()
    write(folder / "scan.csv", positions)
    scan = 'scan = {kind = "file", path = "scan.csv"}'
    text = "\n".join(scan if line.startswith("scan =") else line for line in TEXT.splitlines())
    (folder / "study.toml").write_text(text)
    return Study.from_toml(folder / "study.toml")


def test_study_reads_positions_from_a_file_beside_it(tmp_path):
    study = study_of(tmp_path / "here", POSITIONS)
    assert study.source.scan.path == str(tmp_path / "here" / "scan.csv")
    assert np.array_equal(read_inputs(study).positions_px, POSITIONS)


def test_source_digest_is_of_the_positions_and_not_of_their_place(tmp_path):
    moved = POSITIONS.copy()
    moved[1, 0] += 0.25
    folders = {"here": POSITIONS, "there": POSITIONS, "moved": moved}
    here, there, other = (read_inputs(study_of(tmp_path / name, p)).source_digest for name, p in folders.items())
    assert here == there != other
