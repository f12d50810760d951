"""Reads probes and objects from files, and checks that they fit the patterns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError, IntegrityError
from fly64dask.datasets.formats.containers import UNREADABLE, listed, load_arrays, take
from fly64dask.datasets.formats.object_probe_pair import as_complex64
from fly64dask.datasets.formats.scan_file import ScanFile
from fly64dask.datasets.ingest.detector import Frame, fit_probe
from fly64dask.datasets.ingest.options import IngestOptions
from fly64dask.datasets.ingest.starting_probe import parse_probe
from fly64dask.store import RECONSTRUCTION_NAME, ExposureAttributes, ReconstructionAttributes, open_group

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROBE_NAMES = ("probe_guess", "probe_recon", "probe", "probeGuess")


def given_probe(
    scan: ScanFile, options: IngestOptions, frame: Frame, notes: list[str], origin: str
) -> NDArray[np.complex64] | None:
    """Take the probe of the file, or of another file that a person names; None if it is to be made.

    A probe with the orientation of the file's patterns, if these are not square, is transposed with them; a square one
    is not, because nothing tells its orientation.
    """
    if options.probe is not None:
        if parse_probe(options.probe) is not None:
            return None
        stored, origin = read_probe(options.probe), f"read probe {options.probe}"
        if stored.shape[-2:] == frame.shape_px:
            return checked_probe(stored, frame.shape_px, origin)
    elif scan.probe is None:
        return None
    else:
        stored = scan.probe
    is_across = stored.ndim >= 2 and stored.shape[-2:] == frame.whole_px[::-1] != frame.whole_px
    if frame.transpose and is_across:
        stored = np.swapaxes(stored, -1, -2)
        notes.append("the probe transposed with the patterns")
    return fit_probe(frame, checked_probe(stored, frame.whole_px, origin))


def read_probe(text: str) -> NDArray[np.generic]:
    """Read a probe from `FILE` or `FILE:PATH`: an ingested store, a reconstruction, `.npy`, `.npz` or HDF5.

    PATH names the array in an NPZ or HDF5 file; without it one of the usual names is taken. Raises InputError if the
    file cannot be read or has no probe.
    """
    path, name = Path(text), ""
    if not path.exists() and ":" in text:
        file, _, name = text.rpartition(":")
        path = Path(file)
    is_group = path.is_dir() or path.name.endswith(".zarr.zip")
    try:
        return _read_store(path) if is_group else _read_file(path, name)
    except UNREADABLE as error:
        raise InputError(
            f"read probe {path}: {type(error).__name__}: {error}",
            remedy="give an ingested store, an .npy, .npz or HDF5 file, or the words of another probe",
        ) from error


def checked_probe(probe: NDArray[np.generic], shape_px: tuple[int, int], origin: str) -> NDArray[np.complex64]:
    """Check a probe of (H, W), (modes, H, W), (opr, modes, H, W), or with more leading axes of length 1.

    Returns (n_opr, n_modes, H, W) complex64. Raises InputError if shape, dtype or values do not fit the patterns.
    """
    squeezed = np.asarray(probe)
    while squeezed.ndim > 4 and squeezed.shape[0] == 1:
        squeezed = squeezed[0]
    if squeezed.ndim not in (2, 3, 4) or squeezed.shape[-2:] != tuple(shape_px):
        raise InputError(
            f"{origin}: probe of shape {probe.shape} beside patterns of {tuple(shape_px)} px",
            remedy="give a probe of the patterns' size, (H, W) or (modes, H, W), or --probe to make one",
        )
    shape = (1,) * (4 - squeezed.ndim) + squeezed.shape
    four = as_complex64(squeezed.reshape(shape)) if np.iscomplexobj(squeezed) else None
    if four is None or not np.isfinite(four).all() or not four.any():
        raise InputError(
            f"{origin}: probe of dtype {probe.dtype} that in single precision is real, zero or not finite",
            remedy="give a complex probe, or --probe to make one",
        )
    return four


def checked_object(stored: NDArray[np.generic], origin: str) -> NDArray[np.complex64]:
    """Check an object guess of (Y, X), or with more axes of length 1."""
    squeezed = np.squeeze(stored)
    if squeezed.ndim != 2 or squeezed.dtype.kind not in "uifc":
        raise InputError(
            f"{origin}: objectGuess of shape {stored.shape} and dtype {stored.dtype}, needed two axes of numbers",
            remedy="store one image under that key, or none",
        )
    return as_complex64(squeezed)


def _read_store(path: Path) -> NDArray[np.generic]:
    """Read the probe of an ingested store or of a cell's reconstruction."""
    try:
        return open_group(path, ExposureAttributes).read("probe_guess")
    except IntegrityError as not_exposures:
        try:
            return open_group(path, ReconstructionAttributes).read("probe_recon")
        except IntegrityError:
            raise InputError(
                f"read probe {path}: {not_exposures.message}",
                remedy=f"give an ingested store, or {RECONSTRUCTION_NAME} of a cell",
            ) from not_exposures


def _read_file(path: Path, name: str) -> NDArray[np.generic]:
    with path.open("rb") as stream:
        head = stream.read(8)
    if head.startswith(np.lib.format.MAGIC_PREFIX):
        return np.asarray(np.load(path, allow_pickle=False))
    if head.startswith(b"PK"):
        arrays = load_arrays(path, allow_pickle=False)
        return take(arrays, name or _usual(list(arrays), path), path)
    if not head.startswith(b"\x89HDF"):
        raise ValueError("neither NumPy nor HDF5")
    from fly64dask.datasets.formats.containers import Hdf5File

    file = Hdf5File(path, allow_links=False)
    name = name or _usual(file.names(), path)
    if name not in file:
        raise InputError(f"read probe {path}: no array {name!r}", remedy="give FILE:PATH with one that it has")
    return file.take(name)


def _usual(names: list[str], path: Path) -> str:
    dataset = next((name for name in PROBE_NAMES if name in names), None)
    if dataset is None:
        raise InputError(f"read probe {path}: no usual name among {listed(names)}", remedy="give FILE:PATH")
    return dataset
