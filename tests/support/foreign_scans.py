"""One scan written in the layouts of other programs, by what is published of their formats and by no code of ours."""

from __future__ import annotations

import bz2
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import scipy.io

PLANCK_TIMES_LIGHT_J_M = 1.98644586e-25
ENERGY_KEV, DISTANCE_M, PITCH_M = 8.8, 2.0, 172e-6
BITSHUFFLE = hdf5plugin.Bitshuffle()


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Counts (n, H, W) uint16 with the zero frequency at the centre, positions (n, 2) m (y, x), probe (H, W)."""

    counts: np.ndarray
    positions_m: np.ndarray
    probe: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)


def part_of_star(file: Path, n: int = 12) -> Scan:
    """Exposures 100 to 100 + n of the measured star, cut to 96 x 128 px so that rows and columns are not confused."""
    with np.load(io.BytesIO(bz2.decompress(file.read_bytes()))) as arrays:
        counts = np.fft.fftshift(arrays["data"][0, 100 : 100 + n], axes=(1, 2))[:, 16:112]
        positions_px = arrays["scan"][0, 100 : 100 + n].astype(np.float64)
        probe = np.squeeze(arrays["probe"])[16:112]
    return Scan(counts=counts.astype(np.uint16), positions_m=positions_px * 20e-9, probe=probe.astype(np.complex64))


def _x_y_z(scan: Scan) -> np.ndarray:
    y, x = scan.positions_m.T
    return np.stack([x, y, np.zeros(len(scan))], axis=1)


def write_cxi(path: Path, scan: Scan, **changes: Any) -> Path:
    """The CXI file format of cxidb: soft links, gzip, energy in J, translation (n, 3) in m, mask with bits."""
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 160
        detector = file.create_group("entry_1/instrument_1/detector_1")
        detector.create_dataset("data", data=scan.counts, compression="gzip", chunks=(1, *scan.counts.shape[1:]))
        detector["distance"], detector["x_pixel_size"], detector["y_pixel_size"] = DISTANCE_M, PITCH_M, PITCH_M
        file["entry_1/instrument_1/source_1/energy"] = ENERGY_KEV * 1e3 * 1.602176634e-19
        file["entry_1/sample_1/geometry_1/translation"] = _x_y_z(scan)
        file["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
        file["entry_1/data_1/translation"] = h5py.SoftLink("/entry_1/sample_1/geometry_1/translation")
        for name, value in changes.items():
            place = name.replace("__", "/")
            if place in file:
                del file[place]
            if value is not None:
                file[place] = value
    return path


def write_nxptycho(path: Path, scan: Scan) -> Path:
    """The NeXus definition NXptycho: a raster, energies with units, the machine's energy beside the photon's."""
    ny, nx = 3, len(scan) // 3
    with h5py.File(path, "w") as file:
        file["entry_1/definition"] = "NXptycho"
        file["entry_1/instrument_1/source_1/energy"] = 3.0
        file["entry_1/instrument_1/source_1/energy"].attrs["units"] = "GeV"
        file["entry_1/instrument_1/beam_1/incident_energy"] = ENERGY_KEV
        file["entry_1/instrument_1/beam_1/incident_energy"].attrs["units"] = "keV"
        file["entry_1/instrument_1/detector/distance"] = DISTANCE_M
        file["entry_1/instrument_1/detector/x_pixel_size"] = PITCH_M
        file["entry_1/data/data"] = scan.counts.reshape(ny, nx, *scan.counts.shape[1:])
        file["entry_1/data/y"] = scan.positions_m[:, 0].reshape(ny, nx)
        file["entry_1/data/x"] = scan.positions_m[:, 1].reshape(ny, nx)
    return path


def write_dp(path: Path, scan: Scan, **storage: Any) -> Path:
    """Patterns as pty-chi's examples and fold_slice keep them."""
    with h5py.File(path, "w") as file:
        file.create_dataset("dp", data=scan.counts, chunks=(1, *scan.counts.shape[1:]), **storage)
    return path


def write_product(path: Path, scan: Scan, *, order: np.ndarray | None = None, **changes: Any) -> Path:
    """A product of Ptychodus in HDF5; `order` are the patterns' numbers that it has positions of."""
    numbers = np.arange(len(scan)) if order is None else order
    with h5py.File(path, "w") as file:
        file["probe_position_x_m"] = scan.positions_m[numbers, 1]
        file["probe_position_y_m"] = scan.positions_m[numbers, 0]
        file["probe_position_indexes"] = numbers
        file["probe"] = scan.probe[None]
        file["probe"].attrs["pixel_height_m"] = file["probe"].attrs["pixel_width_m"] = 0.0
        file["object"] = np.ones((1, 20, 30), np.complex64)
        file["object"].attrs["pixel_height_m"], file["object"].attrs["pixel_width_m"] = 20e-9, 20e-9
        file["object_layer_spacing_m"] = np.array([])
        file.attrs["probe_energy_eV"], file.attrs["detector_object_distance_m"] = ENERGY_KEV * 1e3, DISTANCE_M
        file.attrs["probe_photon_count"], file.attrs["name"] = 0.0, "star"
        for name, value in changes.items():
            if name in file:
                del file[name]
            file[name] = value
    return path


def write_npz_pair(folder: Path, scan: Scan) -> tuple[Path, Path]:
    """Patterns and product of Ptychodus in NPZ, numbered from 40 and in different orders."""
    turned = np.arange(len(scan))[::-1]
    bad = np.zeros(scan.counts.shape[1:], dtype=bool)
    bad[3, 5] = True
    np.savez(folder / "patterns.npz", patterns=scan.counts, indexes=np.arange(len(scan)) + 40, bad_pixels=bad)
    np.savez(
        folder / "product.npz",
        probe_position_x_m=scan.positions_m[turned, 1],
        probe_position_y_m=scan.positions_m[turned, 0],
        probe_position_indexes=turned + 40,
        probe=scan.probe,
        object=np.ones((20, 30), np.complex64),
        object_pixel_height_m=20e-9,
        object_pixel_width_m=20e-9,
        probe_energy_eV=ENERGY_KEV * 1e3,
    )
    return folder / "patterns.npz", folder / "product.npz"


def write_ptyd(path: Path, scan: Scan, *, links: bool = False, ends: tuple[int, ...] = (5, 11)) -> Path:
    """Prepared data of PtyPy: chunks 9, 10, 11, which sort wrongly as text; in files of their own with `links`."""
    starts = (0, *ends)
    with h5py.File(path, "w") as file:
        for number, (start, stop) in enumerate(zip(starts, (*ends, len(scan)), strict=True)):
            key = str(number + 9)
            if links:
                part = path.with_name(f"{path.name}.part{number:03}")
                file[f"chunks/{key}"] = h5py.ExternalLink(part.name, f"chunks/{key}")
                holder = h5py.File(part, "w")
            else:
                holder = file
            chunk = holder.create_group(f"chunks/{key}")
            chunk["data"] = scan.counts[start:stop].astype(np.float32)
            chunk["positions"] = scan.positions_m[start:stop]
            chunk["indices"] = np.arange(start, stop)
            chunk["weights"] = np.array([])
            if links:
                holder.close()
        file["meta/psize"], file["meta/distance"], file["meta/energy"] = [PITCH_M, PITCH_M], DISTANCE_M, ENERGY_KEV
        weight = np.ones(scan.counts.shape[1:])
        weight[2, 7] = 0.0
        file["meta/weight2d"] = weight
        file["meta/label"] = np.zeros(1)
        file["meta/label"].attrs["type"] = "None"
    return path


def write_ptyr(path: Path, scan: Scan) -> Path:
    """A result of PtyPy."""
    with h5py.File(path, "w") as file:
        file["content/probe/S00G00/data"] = scan.probe[None]
        file["content/probe/S00G00/_psize"] = [20e-9, 20e-9]
        file["content/probe/S00G00/_energy"] = ENERGY_KEV
        file["content/obj/S00G00/data"] = np.ones((1, 20, 30), np.complex64)
        file["content/positions/S00"] = scan.positions_m
    return path


def write_para(path: Path, scan: Scan) -> Path:
    """Positions of fold_slice: one row of each."""
    with h5py.File(path, "w") as file:
        file["ppX"], file["ppY"] = scan.positions_m[None, :, 1], scan.positions_m[None, :, 0]
    return path


def write_matlab73(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Arrays in MATLAB's order of axes, which HDF5 holds the other way around; complex numbers as pairs."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            stored = np.asarray(array).T
            if np.iscomplexobj(stored):
                pairs = np.empty(stored.shape, [("real", stored.real.dtype), ("imag", stored.real.dtype)])
                pairs["real"], pairs["imag"] = stored.real, stored.imag
                stored = pairs
            file[name] = stored
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


def shelves_arrays(scan: Scan) -> dict[str, np.ndarray]:
    """A result of PtychoShelves as MATLAB shows it: positions (x, y) in px about the centre, two modes."""
    px = scan.positions_m[:, ::-1] / 20e-9
    return {
        "object": np.ones((20, 30), np.complex128),
        "probe": np.stack([scan.probe, 0.5 * scan.probe], axis=-1),
        "outputs/probe_positions": px,
        "p/dx_spec": np.array([[20e-9, 20e-9]]),
        "p/lambda": np.array([[1.4e-10]]),
    }


def write_shelves(path: Path, scan: Scan, *, version: str) -> Path:
    """A result of PtychoShelves, in MATLAB 5 or 7.3."""
    arrays = shelves_arrays(scan)
    if version == "7.3":
        return write_matlab73(path, arrays)
    nested: dict[str, Any] = {}
    for name, array in arrays.items():
        *groups, last = name.split("/")
        holder = nested.setdefault(groups[0], {}) if groups else nested
        holder[last] = array
    scipy.io.savemat(path, nested)
    return path


def ptylab_arrays(scan: Scan) -> dict[str, Any]:
    """PtyLab's data: everything in m, scalars as arrays of one; positions (row, column)."""
    return {
        "ptychogram": scan.counts.astype(np.float32),
        "encoder": scan.positions_m,
        "dxd": np.array([PITCH_M]),
        "zo": np.array([DISTANCE_M]),
        "wavelength": np.array([1.4e-10]),
    }


def write_hdf5(path: Path, arrays: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def as_matlab(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    """PtyLab's arrays as MATLAB shows them: patterns (rows, columns, n), scalars (1, 1)."""
    shown = {name: np.atleast_2d(array) for name, array in arrays.items()}
    return shown | {"ptychogram": np.moveaxis(arrays["ptychogram"], 0, -1)}


def write_empad(path: Path, frames: np.ndarray) -> Path:
    """EMPAD: 128 x 128 float32 and two rows more a frame."""
    rows = np.full((len(frames), 130, 128), 7.0, dtype="<f4")
    rows[:, :128] = frames
    path.write_bytes(rows.tobytes())
    return path


def write_mib(path: Path, frames: np.ndarray) -> Path:
    """Merlin: a header before each frame, big-endian pixels."""
    _, height, width = frames.shape
    with path.open("wb") as stream:
        for number, frame in enumerate(frames, start=1):
            header = f"MQ1,{number:06},00384,01,{width:04},{height:04},U16,   1x1,01,2026-01-01 00:00:00.000,"
            header += "0.001,0,0,0,MQ1A,2026-01-01T00:00:00.000000000Z,1000000ns,12,"
            stream.write(header.encode().ljust(384) + frame.astype(">u2").tobytes())
    return path


def write_py4dstem(path: Path, scan: Scan, *, release: str) -> Path:
    """A data cube of 3 x n / 3 positions, where py4DSTEM of two ages puts it; the newer one with calibrations."""
    cube = scan.counts.reshape(3, len(scan) // 3, *scan.counts.shape[1:])
    if release == "0.13":
        return write_hdf5(path, {"4DSTEM_experiment/data/datacubes/polyAu_4DSTEM/data": cube})
    calibration = "datacube_root/metadatabundle/calibration"
    return write_hdf5(
        path,
        {
            "datacube_root/datacube/data": cube,
            f"{calibration}/R_pixel_size": 4.0,
            f"{calibration}/R_pixel_units": "A",
            f"{calibration}/Q_pixel_size": 0.02,
            f"{calibration}/Q_pixel_units": "A^-1",
        },
    )


Writer = Callable[[Path, Scan], tuple[Path, dict[str, Any]]]


def _pair(first: Path, second: Path) -> tuple[Path, dict[str, Any]]:
    return first, {"positions": second}


# Each writes files and gives the one to ingest, with the options that it takes.
LAYOUTS: dict[str, Writer] = {
    "cxi": lambda folder, scan: (write_cxi(folder / "scan.cxi", scan), {}),
    "cxi_of_pynx": lambda folder, scan: (
        write_cxi(folder / "scan.cxi", scan, entry_1__data_1__translation=_x_y_z(scan).T),
        {},
    ),
    "nxptycho": lambda folder, scan: (write_nxptycho(folder / "scan.nxs", scan), {}),
    "ptychodus": lambda folder, scan: _pair(write_dp(folder / "dp.h5", scan), write_product(folder / "p.h5", scan)),
    "ptychodus_other_order": lambda folder, scan: _pair(
        write_product(folder / "p.h5", scan, order=np.random.default_rng(1).permutation(len(scan))),
        write_dp(folder / "dp.h5", scan, compression="lzf"),
    ),
    "ptychodus_npz": lambda folder, scan: _pair(*write_npz_pair(folder, scan)),
    "ptyd": lambda folder, scan: (write_ptyd(folder / "scan.ptyd", scan), {}),
    "ptyd_of_links": lambda folder, scan: (write_ptyd(folder / "scan.ptyd", scan, links=True), {}),
    "ptyd_and_ptyr": lambda folder, scan: _pair(
        write_ptyd(folder / "scan.ptyd", scan), write_ptyr(folder / "result.ptyr", scan)
    ),
    "fold_slice": lambda folder, scan: _pair(
        write_dp(folder / "data_roi0_dp.hdf5", scan), write_para(folder / "data_roi0_para.hdf5", scan)
    ),
    "ptylab": lambda folder, scan: (write_hdf5(folder / "scan.hdf5", ptylab_arrays(scan)), {}),
    "ptylab_matlab73": lambda folder, scan: (write_matlab73(folder / "scan.mat", as_matlab(ptylab_arrays(scan))), {}),
    "ptylab_matlab5": lambda folder, scan: (_saved(folder / "scan.mat", as_matlab(ptylab_arrays(scan))), {}),
    "ptylab_matlab5_compressed": lambda folder, scan: (
        _saved(folder / "scan.mat", as_matlab(ptylab_arrays(scan)), do_compression=True),
        {},
    ),
    "named_hdf5": lambda folder, scan: (
        write_hdf5(
            folder / "any.h5",
            {"a/frames": scan.counts, "motors/yx": scan.positions_m.T},
        ),
        {
            "patterns": "a/frames",
            "positions_y": "/motors/yx:0",
            "positions_x": "/motors/yx:1",
            "positions_unit": "m",
            "quantity": "intensity",
        },
    ),
    "named_npz": lambda folder, scan: (
        _savez(folder / "any.npz", frames=scan.counts, x=scan.positions_m[:, 1], y=scan.positions_m[:, 0]),
        {"patterns": "frames", "positions_y": "y", "positions_x": "x", "positions_unit": "m"},
    ),
    "npy_and_text": lambda folder, scan: _pair(_saved_npy(folder / "frames.npy", scan.counts), _text(folder, scan)),
}


def _saved(path: Path, arrays: dict[str, np.ndarray], **settings: Any) -> Path:
    scipy.io.savemat(path, arrays, **settings)
    return path


def _savez(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def _saved_npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def _text(folder: Path, scan: Scan) -> Path:
    lines = ["x_m,y_m", *(f"{x!r},{y!r}" for y, x in scan.positions_m.tolist())]
    (folder / "positions.csv").write_text("\n".join(lines))
    return folder / "positions.csv"
