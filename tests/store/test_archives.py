"""A Zarr group in one zip archive: the same group as in a directory, and no damage to a byte of it is read."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from archives import change_member, remove_member
from hypothesis import given, settings, strategies as st
from zarr.storage import ZipStore

from fly64dask.base import IntegrityError
from fly64dask.store import (
    ArraySource,
    TruthAttributes,
    counts_array,
    open_dataset,
    open_group,
    whole_array,
    write_group,
    write_group_archive,
)

N, H, W = 300, 4, 5  # two chunks of counts: 256 and 44 exposures
TRUTH = TruthAttributes(created_at="2026-01-02T03:04:05+00:00", software={"numpy": "2"}, source_digest="d")
COUNTS = np.random.default_rng(1).poisson(3.0, (N, H, W)).astype(np.uint16)
LOSS = np.random.default_rng(2).uniform(size=7)


def sources() -> Sequence[ArraySource]:
    return [
        counts_array((N, H, W), np.dtype(np.uint16), [COUNTS]),
        whole_array("loss", LOSS, dims=("epoch",)),
        whole_array("epoch", np.arange(7), dims=("epoch",)),
    ]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy archive; never changed."""
    path = tmp_path_factory.mktemp("sound") / "group.zarr.zip"
    write_group_archive(path, TRUTH, sources())
    return path


@pytest.fixture
def archive(sound: Path, tmp_path: Path) -> Path:
    """A copy of the healthy archive, to be damaged."""
    path = tmp_path / "group.zarr.zip"
    path.write_bytes(sound.read_bytes())
    return path


def read_everything(path: Path) -> dict[str, np.ndarray]:
    group = open_group(path, TruthAttributes)
    return {name: group.read(name) for name in group.names}


def test_an_archive_reads_back(sound: Path) -> None:
    found = read_everything(sound)
    assert [*found] == ["counts", "loss", "epoch"]
    np.testing.assert_array_equal(found["counts"], COUNTS)
    np.testing.assert_array_equal(found["loss"], LOSS)


@pytest.mark.parametrize("rows", [[], [0], [255, 256], [3, 200, 299]])
def test_some_rows_of_an_archive_equal_numpy_indexing(sound: Path, rows: list[int]) -> None:
    wanted = np.array(rows, dtype=np.int64)
    np.testing.assert_array_equal(open_group(sound, TruthAttributes).read("counts", wanted), COUNTS[wanted])


def test_an_archive_holds_the_files_of_a_directory(sound: Path, tmp_path: Path) -> None:
    directory = tmp_path / "group"
    directory.mkdir()
    write_group(directory, TRUTH, sources())
    files = {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    with zipfile.ZipFile(sound) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == files


def test_an_archive_compresses_nothing_a_second_time_and_names_each_member_once(sound: Path) -> None:
    with zipfile.ZipFile(sound) as opened:
        members = opened.infolist()
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
    assert len({member.filename for member in members}) == len(members)


def test_the_same_arrays_give_the_same_bytes(sound: Path, tmp_path: Path) -> None:
    write_group_archive(tmp_path / "again.zarr.zip", TRUTH, sources())
    assert (tmp_path / "again.zarr.zip").read_bytes() == sound.read_bytes()


def test_xarray_opens_an_archive_lazily(sound: Path) -> None:
    with xr.open_zarr(ZipStore(sound, mode="r"), consolidated=False) as opened:
        assert opened["counts"].chunks is not None
        np.testing.assert_array_equal(opened["counts"].values, COUNTS)
        np.testing.assert_array_equal(opened["epoch"].values, np.arange(7))


def test_open_dataset_reads_an_archive_when_it_is_computed(archive: Path) -> None:
    dataset = open_dataset(archive)
    np.testing.assert_array_equal(dataset.counts[250:].compute(), COUNTS[250:])
    change_member(archive, "counts/c.1.0.0", lambda chunk: chunk[:-1])
    np.testing.assert_array_equal(dataset.counts[:256].compute(), COUNTS[:256])
    with pytest.raises(IntegrityError, match=r"counts: chunk c\.1\.0\.0"):
        dataset.counts.compute()


@pytest.mark.parametrize("member", ["counts/c.0.0.0", "counts/c.1.0.0", "loss/c.0", "loss/zarr.json", "zarr.json"])
@pytest.mark.parametrize("change", [lambda content: None, lambda content: b""], ids=["left_out", "empty"])
def test_reading_detects_a_member_that_is_missing_or_empty(
    archive: Path, member: str, change: Callable[[bytes], bytes | None]
) -> None:
    change_member(archive, member, change)
    with pytest.raises(IntegrityError):
        read_everything(archive)


def test_reading_names_the_chunk_that_is_missing(archive: Path) -> None:
    remove_member(archive, "loss/c.0")
    with pytest.raises(IntegrityError, match=r"loss: chunk c\.0 is missing or empty"):
        read_everything(archive)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(sound: Path, place: float, bit: int) -> None:
    content = bytearray(sound.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    assert_refused_or_right(bytes(content))


@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=50, deadline=None)
def test_a_file_that_was_cut_is_refused(sound: Path, share: float) -> None:
    content = sound.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "group.zarr.zip")
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(IntegrityError):
            read_everything(path)


@given(noise=st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_bytes_behind_an_archive_are_refused_or_change_nothing(sound: Path, noise: bytes) -> None:
    assert_refused_or_right(sound.read_bytes() + noise)


def assert_refused_or_right(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "group.zarr.zip")
        path.write_bytes(content)
        try:
            found = read_everything(path)
        except IntegrityError:
            return
    np.testing.assert_array_equal(found["counts"], COUNTS)
    np.testing.assert_array_equal(found["loss"], LOSS)
