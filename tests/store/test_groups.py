"""Zarr groups: what is written is read back, another reader sees the same, and no damage goes unnoticed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from fly64dask.base import IntegrityError
from fly64dask.scan import SelectionMetadata
from fly64dask.store import (
    ArraySource,
    ExposureAttributes,
    GroupAttributes,
    ReconstructionAttributes,
    ScanAttributes,
    TruthAttributes,
    ViewAttributes,
    count_dtype,
    counts_array,
    open_group,
    positions_array,
    probe_array,
    whole_array,
    write_arrays,
    write_attributes,
    write_group,
)
from fly64dask.study import Seeds

N, H, W = 300, 4, 5  # two chunks of counts: 256 and 44 exposures
PROVENANCE: dict[str, Any] = {
    "created_at": "2026-01-02T03:04:05+00:00",
    "software": {"numpy": "2"},
    "source_digest": "d",
}
TRUTH = TruthAttributes(**PROVENANCE)
few = settings(max_examples=25, deadline=None)


def write(directory: Path, *arrays: ArraySource, attributes: GroupAttributes = TRUTH) -> dict[str, str]:
    directory.mkdir(parents=True, exist_ok=True)
    return write_group(directory, attributes, arrays)


def with_tests() -> dict[str, str]:
    """Environment of a process that imports this file."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}


def in_batches(values: np.ndarray, lengths: list[int]) -> Iterator[np.ndarray]:
    """The rows of an array in batches of these lengths, then the rest."""
    return iter(np.split(values, np.cumsum(lengths)))


def test_a_process_that_writes_leaves_no_semaphore_to_the_system(tmp_path):
    # What such a process leaves, Python's resource tracker tells at its end.
    program = f"""
import multiprocessing, os, numpy as np
from multiprocessing import resource_tracker
from pathlib import Path
import test_groups as here
multiprocessing.set_start_method("forkserver")
resource_tracker.ensure_running()
here.write(Path({str(tmp_path / "group")!r}), here.counts_array((2, 4, 5), np.dtype("u2"), [np.ones((2, 4, 5), "u2")]))
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", program], env=with_tests(), capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return np.random.default_rng(1).poisson(3.0, (N, H, W)).astype(np.uint16)


@pytest.fixture(scope="module")
def positions_px() -> np.ndarray:
    return np.random.default_rng(2).uniform(0, 100, (N, 2))


@pytest.fixture(scope="module")
def probe() -> np.ndarray:
    rng = np.random.default_rng(3)
    return (rng.normal(size=(1, 2, H, W)) + 1j * rng.normal(size=(1, 2, H, W))).astype(np.complex64)


@pytest.fixture(scope="module")
def sound(
    tmp_path_factory: pytest.TempPathFactory, counts: np.ndarray, positions_px: np.ndarray, probe: np.ndarray
) -> Path:
    """A healthy group of three arrays; never changed."""
    directory = tmp_path_factory.mktemp("sound") / "group"
    arrays = [
        counts_array((N, H, W), np.dtype(np.uint16), in_batches(counts, [100, 100])),
        positions_array(positions_px),
        probe_array(probe),
    ]
    write(directory, *arrays)
    return directory


@pytest.fixture
def group(sound: Path, tmp_path: Path) -> Path:
    """A copy of the healthy group, to be damaged."""
    return Path(shutil.copytree(sound, tmp_path / "group"))


def read_everything(directory: Path) -> dict[str, np.ndarray]:
    opened = open_group(directory, TruthAttributes)
    return {name: opened.read(name) for name in opened.names}


def read_rows(directory: Path, rows: list[int]) -> np.ndarray:
    return open_group(directory, TruthAttributes).read("counts", np.array(rows, dtype=np.int64))


# Write, then read.

counts_shapes = st.tuples(st.integers(1, 600), st.integers(1, 4), st.integers(1, 4))


@given(
    shape=counts_shapes,
    dtype=st.sampled_from([np.uint16, np.uint32]),
    lengths=st.lists(st.integers(0, 300), max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
@few
def test_counts_array_reads_back_whatever_the_batches(
    shape: tuple[int, int, int], dtype: type, lengths: list[int], seed: int
) -> None:
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=np.int64, endpoint=True)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), counts_array(shape, np.dtype(dtype), in_batches(values, lengths)))
        found = read_everything(Path(folder))["counts"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


@given(lengths=st.lists(st.integers(0, 300), max_size=6))
@few
def test_counts_array_has_a_digest_that_does_not_depend_on_the_batches(counts: np.ndarray, lengths: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        at_once, in_parts = (
            write(Path(folder, name), counts_array(counts.shape, counts.dtype, blocks))
            for name, blocks in (("once", [counts]), ("parts", in_batches(counts, lengths)))
        )
    assert in_parts == at_once


@given(
    values=hnp.arrays(
        dtype=st.sampled_from(["?", "i1", "u2", "u4", "i8", "u8", "f4", "f8", "c8", "c16"]).map(np.dtype),
        shape=hnp.array_shapes(max_dims=4, max_side=4),
    )
)
@few
def test_whole_array_reads_back_with_every_bit(values: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), whole_array("a", values, dims=[f"axis_{number}" for number in range(values.ndim)]))
        found = read_everything(Path(folder))["a"]
    assert (found.dtype, found.shape) == (values.dtype, values.shape)
    assert found.tobytes() == values.tobytes()  # NaN and the sign of zero too


@pytest.mark.parametrize("dtype", [">f8", ">u2", ">c8"])
def test_whole_array_reads_back_when_big_endian(tmp_path: Path, dtype: str) -> None:
    values = np.arange(6).reshape(3, 2).astype(dtype)
    write(tmp_path, whole_array("a", values, dims=("y", "x")))
    np.testing.assert_array_equal(read_everything(tmp_path)["a"], values)


@pytest.mark.parametrize(
    "values", [np.zeros((4, 6))[:, ::2], np.arange(12.0).reshape(3, 4).T], ids=["strided", "turned"]
)
def test_whole_array_reads_back_when_not_contiguous(tmp_path: Path, values: np.ndarray) -> None:
    write(tmp_path, whole_array("a", values, dims=("y", "x")))
    np.testing.assert_array_equal(read_everything(tmp_path)["a"], values)


def test_whole_array_reads_back_when_empty(tmp_path: Path) -> None:
    write(tmp_path, whole_array("kept", np.array([], dtype=np.int64), dims=("exposure",)))
    assert read_everything(tmp_path)["kept"].shape == (0,)


@given(
    rows=st.lists(st.integers(0, N - 1), max_size=40, unique=True).map(sorted),
)
@few
def test_group_read_equals_numpy_indexing_of_some_rows(sound: Path, counts: np.ndarray, rows: list[int]) -> None:
    np.testing.assert_array_equal(read_rows(sound, rows), counts[np.array(rows, dtype=np.int64)])


@pytest.mark.parametrize(
    "rows", [[], [0], [N - 1], [255, 256], list(range(N)), list(range(0, N, 7))], ids=lambda rows: f"{len(rows)}_rows"
)
def test_group_read_equals_numpy_indexing_at_chunk_borders(sound: Path, counts: np.ndarray, rows: list[int]) -> None:
    found = read_rows(sound, rows)
    assert found.shape == (len(rows), H, W)
    np.testing.assert_array_equal(found, counts[np.array(rows, dtype=np.int64)])


def test_group_read_reads_only_the_chunks_it_needs(group: Path, counts: np.ndarray) -> None:
    (group / "counts/c.1.0.0").unlink()
    np.testing.assert_array_equal(read_rows(group, [3, 200]), counts[[3, 200]])


ATTRIBUTES = [
    TRUTH,
    ScanAttributes(
        **PROVENANCE,
        source={"kind": "synthetic", "object_shape_px": [64, 64], "scan": {"low_px": 0.1}},
        n_exposures=3,
        diffraction_shape_px=(16, 12),
        mean_total_intensity=1 / 3,
        brightest_pixel_intensity=5e-324,
    ),
    ExposureAttributes(
        **PROVENANCE,
        source={"kind": "ingested"},
        dose_photons=1e22,
        mean_counts_photons=0.1 + 0.2,
        brightest_count_photons=2**53 + 1,
        n_exposures=3,
        split="train",
        split_boundary_px=232.01387,
        seeds=Seeds(simulation=1),
        legacy_metadata={"é": "ü", "nested": {"10": 1, "2": [None, True, 1.5]}, "empty": {}},
    ),
    ViewAttributes(
        **PROVENANCE,
        overlap_view="sparse",
        split="test",
        n_exposures=8,
        n_kept=1,
        selection=SelectionMetadata(
            overlap_view="sparse",
            spacing_threshold=102.4,
            n_accepted=1,
            n_rejected=7,
            acceptance_rate=0.125,
            selection_strategy="greedy",
            geometry_acceptance_bound=0.1,
            effective_min_acceptance=0.08,
        ),
        image_overlap=0.5,
        group_overlap=0.0,
        overlap_diameter_px=38.4,
        overlap_n_neighbours=6,
        bounding_box_area_px2=0.0,
        span_y_px=0.0,
        span_x_px=0.0,
    ),
    ReconstructionAttributes(**PROVENANCE, cell="dose_1000/sparse/train", object_origin_px=(-4, 7), n_epochs=5),
]


@pytest.mark.parametrize("attributes", ATTRIBUTES, ids=lambda attributes: attributes.kind)
def test_open_group_gives_back_what_was_written(tmp_path: Path, attributes: GroupAttributes) -> None:
    write(tmp_path, attributes=attributes)
    assert open_group(tmp_path, type(attributes)).attributes == attributes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(metadata=st.dictionaries(st.text(max_size=5), json_values, max_size=4), dose=st.floats(0, 1e300))
@few
def test_open_group_gives_back_any_json_metadata(metadata: dict[str, Any], dose: float) -> None:
    attributes = ExposureAttributes(
        **PROVENANCE,
        source={"kind": "ingested"},
        dose_photons=dose,
        mean_counts_photons=dose,
        brightest_count_photons=1,
        n_exposures=1,
        legacy_metadata=metadata,
    )
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), attributes=attributes)
        assert open_group(Path(folder), ExposureAttributes).attributes == attributes


def test_open_group_gives_the_digests_that_writing_gave(tmp_path: Path, counts: np.ndarray) -> None:
    written = write(tmp_path, counts_array(counts.shape, counts.dtype, [counts]))
    assert open_group(tmp_path, TruthAttributes).array_sha256 == written


def test_write_attributes_takes_what_was_counted_while_arrays_passed_by(tmp_path: Path, counts: np.ndarray) -> None:
    photons = 0

    def watched() -> Iterator[np.ndarray]:
        nonlocal photons
        for block in np.array_split(counts, 7):
            photons += int(block.sum())
            yield block

    array_sha256 = write_arrays(tmp_path, [counts_array(counts.shape, counts.dtype, watched())])
    write_attributes(tmp_path, TruthAttributes(**PROVENANCE | {"source_digest": str(photons)}), array_sha256)
    opened = open_group(tmp_path, TruthAttributes)
    assert opened.attributes.source_digest == str(counts.sum())
    np.testing.assert_array_equal(opened.read("counts"), counts)


def test_open_group_refuses_arrays_that_got_no_attributes(tmp_path: Path, counts: np.ndarray) -> None:
    write_arrays(tmp_path, [counts_array(counts.shape, counts.dtype, [counts])])
    with pytest.raises(IntegrityError, match="no readable Zarr v3 group there"):
        open_group(tmp_path, TruthAttributes)


def test_group_names_its_arrays_when_asked_for_another(sound: Path) -> None:
    with pytest.raises(IntegrityError, match="loss: the group holds counts, positions_px, probe_guess"):
        open_group(sound, TruthAttributes).read("loss")


# What another reader sees.


def test_write_group_is_the_same_to_plain_zarr(sound: Path, counts: np.ndarray) -> None:
    np.testing.assert_array_equal(zarr.open(str(sound), mode="r")["counts"][:], counts)


def test_write_group_shows_units_to_plain_zarr(sound: Path) -> None:
    opened = zarr.open(str(sound), mode="r")
    units = {name: array.attrs["units"] for name, array in opened.arrays()}
    assert units == {"counts": "photons", "positions_px": "px", "probe_guess": "sqrt(intensity)"}


def test_write_group_shows_axes_to_plain_zarr(sound: Path) -> None:
    names = zarr.open(str(sound), mode="r")["counts"].metadata.dimension_names
    assert names == ("exposure", "detector_y", "detector_x")


def test_write_group_stores_chunks_of_256_exposures(sound: Path) -> None:
    assert zarr.open(str(sound), mode="r")["counts"].chunks == (256, H, W)


def test_write_group_stores_one_chunk_when_there_are_fewer_exposures(tmp_path: Path) -> None:
    write(tmp_path, counts_array((7, H, W), np.dtype(np.uint16), [np.ones((7, H, W), dtype=int)]))
    assert zarr.open(str(tmp_path), mode="r")["counts"].chunks == (7, H, W)


def test_write_group_stores_zarr_format_3_with_crc32c(sound: Path) -> None:
    document = json.loads((sound / "counts/zarr.json").read_text())
    assert document["zarr_format"] == 3
    assert [codec["name"] for codec in document["codecs"]] == ["bytes", "blosc", "crc32c"]


def test_write_group_stores_chunks_that_hold_only_zeros(tmp_path: Path) -> None:
    write(tmp_path, counts_array((N, H, W), np.dtype(np.uint16), [np.zeros((N, H, W), dtype=int)]))
    assert all((tmp_path / f"counts/c.{block}.0.0").stat().st_size > 0 for block in (0, 1))


def test_write_group_shows_attributes_flat_to_plain_zarr(sound: Path) -> None:
    attributes = zarr.open(str(sound), mode="r").attrs
    assert (attributes["kind"], attributes["software"]) == ("truth", {"numpy": "2"})


# What cannot be written.


@pytest.mark.parametrize(("dtype", "count"), [(np.uint16, 65536), (np.uint16, -1), (np.uint32, 2**32), (np.uint32, -1)])
def test_write_group_refuses_a_count_that_does_not_fit(tmp_path: Path, dtype: type, count: int) -> None:
    values = np.zeros((3, H, W), dtype=np.int64)
    values[2, 1, 1] = count
    with pytest.raises(IntegrityError, match=f"{count}.*{np.dtype(dtype)} holds 0 to {np.iinfo(dtype).max}"):
        write(tmp_path, counts_array((3, H, W), np.dtype(dtype), [values]))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_write_group_takes_the_largest_count_that_fits(tmp_path: Path, dtype: type) -> None:
    values = np.full((3, H, W), np.iinfo(dtype).max, dtype=np.int64)
    write(tmp_path, counts_array((3, H, W), np.dtype(dtype), [values]))
    np.testing.assert_array_equal(read_everything(tmp_path)["counts"], values)


@pytest.mark.parametrize("n_rows", [0, 9, 11, 400])
def test_write_group_refuses_rows_that_do_not_add_up(tmp_path: Path, n_rows: int) -> None:
    blocks = [np.ones((n_rows, H, W), dtype=int)] if n_rows else []
    with pytest.raises(IntegrityError, match=f"got {n_rows} rows, declared 10"):
        write(tmp_path, counts_array((10, H, W), np.dtype(np.uint16), blocks))


@pytest.mark.parametrize("shape_px", [(H, W + 1), (H - 1, W), (1, W)], ids=["wider", "lower", "one_row"])
def test_write_group_refuses_patterns_of_another_shape(tmp_path: Path, shape_px: tuple[int, int]) -> None:
    with pytest.raises(IntegrityError):
        write(tmp_path, counts_array((3, H, W), np.dtype(np.uint16), [np.ones((3, *shape_px), dtype=int)]))


@pytest.mark.parametrize(
    ("one", "other"),
    [(((3, 4), ("y", "x")), ((5,), ("y",))), (((3,), ("z",)), ((4, 4), ("y", "y")))],
    ids=["two", "one"],
)
def test_write_group_refuses_dimensions_that_no_dataset_could_hold(tmp_path: Path, one: tuple, other: tuple) -> None:
    arrays = [whole_array(name, np.zeros(shape), dims=dims) for name, (shape, dims) in (("a", one), ("b", other))]
    with pytest.raises(IntegrityError, match="write b: dimension 'y'"):
        write(tmp_path, *arrays)


# Brightest expected count b with b + 12 sqrt(b) + 40 = 65535: sqrt(b) = sqrt(36 + 65495) - 6, b = 62495.1.
@pytest.mark.parametrize(
    ("brightest", "dtype"),
    [(0, np.uint16), (1.5, np.uint16), (62495, np.uint16), (62496, np.uint32), (65535, np.uint32), (4e9, np.uint32)],
)
def test_count_dtype_leaves_room_for_noise(brightest: float, dtype: type) -> None:
    assert count_dtype(brightest) == dtype


@given(mean=st.floats(0, 62495), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_count_dtype_holds_poisson_counts_of_that_mean(mean: float, seed: int) -> None:
    brightest = np.random.default_rng(seed).poisson(mean, 10_000).max()
    assert brightest <= np.iinfo(count_dtype(mean)).max


# Damage.


@pytest.mark.parametrize("chunk", ["counts/c.0.0.0", "counts/c.1.0.0", "positions_px/c.0.0", "probe_guess/c.0.0.0.0"])
@pytest.mark.parametrize("seed", range(6))
def test_group_read_detects_a_flipped_bit(group: Path, chunk: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray((group / chunk).read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    (group / chunk).write_bytes(content)
    with pytest.raises(IntegrityError, match=f"{chunk.split('/')[0]}: chunk {chunk.split('/', 1)[1]}"):
        read_everything(group)


@pytest.mark.parametrize("offset", [0, 1, 4, 8, -5, -4, -1])
def test_group_read_detects_a_flipped_bit_in_header_and_checksum(group: Path, offset: int) -> None:
    chunk = group / "counts/c.0.0.0"
    content = bytearray(chunk.read_bytes())
    content[offset] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(IntegrityError):
        read_everything(group)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 20, -1, -4])
def test_group_read_detects_a_truncated_chunk(group: Path, length: int) -> None:
    chunk = group / "counts/c.1.0.0"
    chunk.write_bytes(chunk.read_bytes()[:length])
    with pytest.raises(IntegrityError, match=r"c\.1\.0\.0"):
        read_everything(group)


def test_group_read_detects_an_emptied_chunk(group: Path) -> None:
    (group / "counts/c.1.0.0").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"chunk c\.1\.0\.0 is missing or empty"):
        read_everything(group)


@pytest.mark.parametrize("chunk", ["counts/c.0.0.0", "counts/c.1.0.0", "positions_px/c.0.0", "probe_guess/c.0.0.0.0"])
def test_group_read_detects_a_deleted_chunk(group: Path, chunk: str) -> None:
    (group / chunk).unlink()
    with pytest.raises(IntegrityError, match=f"chunk {chunk.split('/', 1)[1]} is missing or empty"):
        read_everything(group)


def test_group_read_detects_swapped_chunks(tmp_path: Path) -> None:
    values = np.random.default_rng(4).integers(0, 9, (512, H, W))
    write(tmp_path, counts_array((512, H, W), np.dtype(np.uint16), [values]))
    one, two = (tmp_path / f"counts/c.{number}.0.0" for number in (0, 1))
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"c\.0\.0\.0 does not match its SHA-256"):
        read_everything(tmp_path)


def test_group_read_detects_a_chunk_of_another_scan(group: Path, tmp_path: Path, counts: np.ndarray) -> None:
    write(tmp_path / "other", counts_array(counts.shape, counts.dtype, [counts + 1]))
    shutil.copyfile(tmp_path / "other/counts/c.0.0.0", group / "counts/c.0.0.0")
    with pytest.raises(IntegrityError, match="does not match its SHA-256"):
        read_everything(group)


def test_group_read_detects_a_whole_array_of_another_scan(group: Path, tmp_path: Path, counts: np.ndarray) -> None:
    write(tmp_path / "other", counts_array(counts.shape, counts.dtype, [counts + 1]))
    shutil.rmtree(group / "counts")
    shutil.copytree(tmp_path / "other/counts", group / "counts")
    with pytest.raises(IntegrityError, match=r"counts: zarr\.json does not match its SHA-256"):
        read_everything(group)


def test_group_read_detects_a_deleted_array(group: Path) -> None:
    shutil.rmtree(group / "counts")
    with pytest.raises(IntegrityError, match="counts"):
        read_everything(group)


def test_group_read_names_the_way_out(group: Path) -> None:
    (group / "counts/c.1.0.0").unlink()
    with pytest.raises(IntegrityError, match="fly64dask verify RUN --repair"):
        read_everything(group)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda attributes: attributes.update(source_digest="other"),
        lambda attributes: attributes.update(schema_version=2),
        lambda attributes: attributes.update(extra=1),
        lambda attributes: attributes.pop("created_at"),
        lambda attributes: attributes["software"].update(numpy="1"),
        lambda attributes: attributes["array_sha256"].update(counts="0" * 64),
        lambda attributes: attributes.update(attributes_sha256="0" * 64),
        lambda attributes: attributes.pop("attributes_sha256"),
        lambda attributes: attributes.clear(),
    ],
    ids=["value", "version", "added", "removed", "nested", "array_digest", "own_digest", "no_digest", "all"],
)
def test_open_group_detects_an_edit(group: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(group / "zarr.json", lambda document: change(document["attributes"]))
    with pytest.raises(IntegrityError, match=r"attributes do not match their SHA-256|no readable Zarr v3 group"):
        open_group(group, TruthAttributes)


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array.update(shape=[N, H, W - 1]),
        lambda array: array.update(shape=[N - 1, H, W]),
        lambda array: array.update(data_type="uint32"),
        lambda array: array.update(data_type="int16"),
        lambda array: array["codecs"][0]["configuration"].update(endian="big"),
        lambda array: array["codecs"].pop(),
        lambda array: array["chunk_grid"]["configuration"].update(chunk_shape=[128, H, W]),
        lambda array: array["chunk_grid"]["configuration"].update(chunk_shape=[512, H, W]),
        lambda array: array["chunk_grid"]["configuration"].update(chunk_shape=[0, H, W]),
        lambda array: array["attributes"]["block_sha256"].reverse(),
        lambda array: array["attributes"]["block_sha256"].pop(),
        lambda array: array["attributes"].update(block_sha256=5),
        lambda array: array["attributes"].pop("block_sha256"),
        lambda array: array["attributes"].update(units="electrons"),
        lambda array: array["attributes"].update(long_name="electron counts"),
        lambda array: array.update(dimension_names=["exposure", "detector_x", "detector_y"]),
        lambda array: array.pop("dimension_names"),
    ],
    ids=[
        "narrower",
        "shorter",
        "wider_dtype",
        "signed_dtype",
        "byte_order",
        "no_checksum",
        "smaller_chunks",
        "larger_chunks",
        "chunks_of_none",
        "blocks_swapped",
        "block_removed",
        "blocks_a_number",
        "no_blocks",
        "units",
        "long_name",
        "dimensions_swapped",
        "no_dimensions",
    ],
)
@pytest.mark.parametrize("rows", [None, [N - 1]], ids=["all_rows", "last_row"])
# From 3.4 on zarr warns of a chunk shape of 0, and reads it as 1.
@pytest.mark.filterwarnings("ignore:.*stored chunk shape:UserWarning")
def test_group_read_detects_an_edit_of_its_metadata(
    group: Path, change: Callable[[dict[str, Any]], object], rows: list[int] | None
) -> None:
    edit(group / "counts/zarr.json", change)
    with pytest.raises(IntegrityError):
        read_everything(group) if rows is None else read_rows(group, rows)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "5", "null", "\x00\xff"], ids=repr)
@pytest.mark.parametrize("name", ["zarr.json", "counts/zarr.json"])
def test_reading_detects_metadata_that_is_not_zarr(group: Path, name: str, text: str) -> None:
    (group / name).write_text(text, encoding="latin-1")
    with pytest.raises(IntegrityError):
        read_everything(group)


@given(
    name=st.sampled_from(["zarr.json", "counts/zarr.json"]),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
@settings(max_examples=100, deadline=None)
def test_open_group_refuses_any_flipped_bit_of_metadata(sound: Path, name: str, place: float, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        group = Path(shutil.copytree(sound, Path(folder, "group")))
        content = bytearray((group / name).read_bytes())
        content[int(place * len(content))] ^= 1 << bit
        (group / name).write_bytes(content)
        with pytest.raises(IntegrityError):
            open_group(group, TruthAttributes)


def test_open_group_refuses_a_group_of_another_kind(group: Path) -> None:
    with pytest.raises(IntegrityError, match="kind"):
        open_group(group, ScanAttributes)


def test_open_group_names_a_path_that_holds_no_group(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="nowhere: no readable Zarr v3 group there"):
        open_group(tmp_path / "nowhere", TruthAttributes)


def test_open_group_refuses_an_array(group: Path) -> None:
    with pytest.raises(IntegrityError, match="no readable Zarr v3 group there"):
        open_group(group / "counts", TruthAttributes)
