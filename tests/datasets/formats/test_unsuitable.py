"""Files that no scan can be read from, or that reach for others: refused by what they are, with what to do."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import foreign_scans as foreign
import h5py
import numpy as np
import pytest
import scipy.io
from foreign_scans import Scan

from fly64dask.base import InputError
from fly64dask.datasets.formats import ReadOptions, read_scan_file
from fly64dask.datasets.ingest.masks import read_mask
from fly64dask.datasets.ingest.probe_files import read_probe

RNG = np.random.default_rng(1)
SCAN = Scan(
    counts=RNG.poisson(5.0, (6, 8, 10)).astype(np.uint16),
    positions_m=RNG.uniform(0, 1e-6, (6, 2)),
    probe=np.ones((8, 10), np.complex64),
)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as refused:
        read_scan_file(path, ReadOptions(**options))
    assert path.name in str(refused.value)
    return str(refused.value)


def from_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def fourier(path: Path) -> None:
    arrays = foreign.ptylab_arrays(SCAN) | {"zled": np.array([0.06]), "magnification": np.array([4.0])}
    foreign.write_hdf5(path, {name: array for name, array in arrays.items() if name != "zo"})


def torch_file(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(1))


def multislice(path: Path) -> None:
    foreign.write_product(path, SCAN, object=np.ones((3, 20, 30), complex), object_layer_spacing_m=[1e-6, 1e-6])


UNSUITABLE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "lfs_pointer": (
        from_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        ["a Git LFS pointer", "run git lfs pull"],
    ),
    "pickle": (from_bytes(pickle.dumps({"diffraction": [1]})), ["a Python pickle", "numpy.savez"]),
    "torch": (torch_file, ["a PyTorch file", "pickles run code"]),
    "gzip": (from_bytes(b"\x1f\x8b\x08\x00"), ["compressed with gzip", "gunzip"]),
    "tiff": (from_bytes(b"II*\x00\x08\x00"), ["a TIFF image"]),
    "dm4": (from_bytes(b"\x00\x00\x00\x04\x00\x00"), ["Digital Micrograph", "py4DSTEM or HyperSpy"]),
    "unknown_bytes": (from_bytes(b"\x99\x98\x97\x96"), ["no known kind of file", "docs/how-to/ingest.md"]),
    "fourier_ptychography": (fourier, ["Fourier ptychography", "'zled'"]),
    "stxm": (
        lambda path: foreign.write_hdf5(path, {"entry1/definition": "NXstxm", "entry1/counter0/data": np.ones((3, 3))}),
        ["an STXM scan"],
    ),
    "product_alone": (
        lambda path: foreign.write_product(path, SCAN),
        ["Ptychodus product", "no patterns", "--positions"],
    ),
    "multislice_product": (multislice, ["a multislice Ptychodus product, of 3 layers"]),
    "ptyr_alone": (lambda path: foreign.write_ptyr(path, SCAN), ["PtyPy result", "no patterns", "SCAN.ptyd"]),
    "shelves_result_alone": (
        lambda path: foreign.write_shelves(path, SCAN, version="5"),
        ["PtychoShelves result", "no patterns"],
    ),
    "ptyrad_result": (
        lambda path: foreign.write_hdf5(path, {"optimizable_tensors/obja": np.ones((1, 4, 4))}),
        ["a PtyRAD reconstruction"],
    ),
    "object_and_probe": (
        lambda path: scipy.io.savemat(path, {"probe": np.ones((4, 4)), "frames": SCAN.counts}),
        [
            "an object or probe, and no patterns with a name that is known",
            "['frames', 'probe']",
            "--patterns NAME",
            "--probe",
        ],
    ),
    "patterns_alone": (lambda path: foreign.write_dp(path, SCAN), ["/dp patterns", "no positions", "--positions FILE"]),
    "hdf5_of_no_layout": (
        lambda path: foreign.write_hdf5(path, {"measurement/frames": SCAN.counts}),
        ["an HDF5 file of no known layout", "['measurement']", "--patterns NAME"],
    ),
    "empty_hdf5": (lambda path: foreign.write_hdf5(path, {}), ["nothing in it"]),
    "cut_hdf5": (lambda path: _cut(foreign.write_dp(path, SCAN)), ["cannot be read", "copy or save it again"]),
    "text": (from_bytes(b"1.0, 2.0\n3.0, 4.0\n"), ["names of its columns"]),
}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


@pytest.mark.parametrize(("write", "named"), UNSUITABLE.values(), ids=UNSUITABLE)
def test_a_file_is_refused_by_what_it_is_whatever_its_name(
    tmp_path: Path, write: Callable[[Path], object], named: list[str]
) -> None:
    write(tmp_path / "scan.npz.cxi.mat")
    message = refusal(tmp_path / "scan.npz.cxi.mat")
    assert [part for part in named if part not in message] == []


# Links, and values that lie elsewhere.


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A pair whose patterns are a link to a file in the directory above."""
    (tmp_path / "here").mkdir()
    foreign.write_dp(tmp_path / "elsewhere.h5", SCAN)
    path = foreign.write_para(tmp_path / "here" / "scan.h5", SCAN)
    with h5py.File(path, "r+") as file:
        file["dp"] = h5py.ExternalLink("../elsewhere.h5", "dp")
    return path


def test_a_link_out_of_the_directory_is_refused(linked: Path) -> None:
    message = refusal(linked)
    assert "../elsewhere.h5" in message
    assert "--allow-links" in message


def test_a_link_out_of_the_directory_is_followed_with_leave(linked: Path) -> None:
    scan = read_scan_file(linked, ReadOptions(allow_links=True))
    np.testing.assert_array_equal(scan.patterns.read(0, 6), SCAN.counts)


def test_a_link_behind_a_symbolic_link_out_of_the_directory_is_refused(linked: Path) -> None:
    (linked.parent / "inside.h5").symlink_to("../elsewhere.h5")
    with h5py.File(linked, "r+") as file:
        del file["dp"]
        file["dp"] = h5py.ExternalLink("inside.h5", "dp")
    assert "outside the directory" in refusal(linked)


def test_a_link_of_another_machine_is_looked_for_beside_the_file(linked: Path) -> None:
    foreign.write_dp(linked.parent / "patterns.h5", SCAN)
    with h5py.File(linked, "r+") as file:
        del file["dp"]
        file["dp"] = h5py.ExternalLink("/beamline/2026/patterns.h5", "dp")
    scan = read_scan_file(linked, ReadOptions())
    np.testing.assert_array_equal(scan.patterns.read(0, 6), SCAN.counts)


def test_a_missing_file_behind_a_link_is_named(linked: Path) -> None:
    with h5py.File(linked, "r+") as file:
        del file["dp"]
        file["dp"] = h5py.ExternalLink("patterns_000001.h5", "dp")
    assert "patterns_000001.h5" in refusal(linked)


def test_links_that_go_round_are_refused(tmp_path: Path) -> None:
    path = foreign.write_para(tmp_path / "scan.h5", SCAN)
    with h5py.File(path, "r+") as file:
        file["dp"] = h5py.SoftLink("/other")
        file["other"] = h5py.SoftLink("/dp")
    assert "links to" in refusal(path)


def virtual(folder: Path, source: str) -> Path:
    """Patterns put together from a file that is given by its path."""
    path = foreign.write_para(folder / "scan.h5", SCAN)
    with h5py.File(path, "r+") as file:
        layout = h5py.VirtualLayout(SCAN.counts.shape, SCAN.counts.dtype)
        layout[:] = h5py.VirtualSource(source, "dp", SCAN.counts.shape)
        file.create_virtual_dataset("dp", layout, fillvalue=0)
    return path


def test_a_virtual_dataset_is_read(tmp_path: Path) -> None:
    foreign.write_dp(tmp_path / "part.h5", SCAN)
    scan = read_scan_file(virtual(tmp_path, "part.h5"), ReadOptions())
    np.testing.assert_array_equal(scan.patterns.read(0, 6), SCAN.counts)


def test_a_virtual_dataset_without_its_source_is_refused_not_filled_with_zeros(tmp_path: Path) -> None:
    assert "part.h5" in refusal(virtual(tmp_path, "part.h5"))


def test_a_virtual_dataset_from_outside_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    foreign.write_dp(tmp_path / "part.h5", SCAN)
    assert "--allow-links" in refusal(virtual(tmp_path / "here", str(tmp_path / "part.h5")))


def test_values_in_a_raw_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(SCAN.counts.nbytes))
    path = foreign.write_para(tmp_path / "scan.h5", SCAN)
    with h5py.File(path, "r+") as file:
        size = SCAN.counts.nbytes
        file.create_dataset(
            "dp", SCAN.counts.shape, SCAN.counts.dtype, external=[(str(tmp_path / "secret.bin"), 0, size)]
        )
    assert "secret.bin" in refusal(path)


def test_a_filter_that_is_not_installed_is_named(tmp_path: Path) -> None:
    path = foreign.write_dp(tmp_path / "scan.h5", SCAN, compression=foreign.BITSHUFFLE)
    content = bytearray(path.read_bytes())
    # Eight bytes before its name a filter's number is stored (HDF5 file format, filter pipeline message of version 1).
    at = content.index(b"bitshuffle") - 8
    assert content[at : at + 2] == (32008).to_bytes(2, "little")
    content[at : at + 2] = (305).to_bytes(2, "little")
    path.write_bytes(content)
    message = refusal(path)
    assert "LZO (filter 305)" in message
    assert "install the HDF5 filter" in message


def test_a_mask_behind_a_link_out_of_the_directory_is_refused(linked: Path) -> None:
    with pytest.raises(InputError, match="outside the directory"):
        read_mask(f"{linked}:dp", (8, 10), "1")


def test_a_probe_behind_a_link_out_of_the_directory_is_refused(linked: Path) -> None:
    with pytest.raises(InputError, match="outside the directory"):
        read_probe(f"{linked}:dp")
