"""Writes a reconstruction of a run as a file that another program reads, in one of several formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from fly64dask.base import Geometry, InputError
from fly64dask.store import (
    ExposureAttributes,
    ReconstructionAttributes,
    ViewAttributes,
    open_group,
    replaced_file,
    storing,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue

FileFormat = Literal["product", "cxi", "ptypy", "tiff"]
SUFFIXES: dict[str, FileFormat] = {
    **{".h5": "product", ".hdf5": "product", ".cxi": "cxi", ".ptyr": "ptypy"},
    **{".tif": "tiff", ".tiff": "tiff"},
}
# Arrays of a reconstruction whose recipe refines positions, or has OPR modes.
REFINED, WEIGHTS = "positions_recon_px", "opr_weights_recon"
NM = 1e-9
HC_EV_NM = 1239.8419843320026  # hc of CODATA 2018, exact


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionToWrite:
    """A cell's object and probe with all that places them in space; lengths are in metres, as in other programs.

    `object_recon` (n_slices, Y, X) complex64, whose pixel [0, 0] is at `origin_px` (y, x) of the scan frame; `probe`
    (n_opr, n_modes, H, W) complex64; `positions_px` (n, 2) float64, order (y, x), of the kept exposures, refined if
    they were; `scan_index` (n,) int64, which exposures of the whole scan these are; `loss` (n_epochs,) float64;
    `opr_weights` (n, n_opr) float32, how strong each OPR mode is in each exposure. `pixel_size_m` (y, x) is None if
    nobody knows it, and so are `energy_ev` and `distance_m`. `facts` say where all of it is from.
    """

    name: str
    object_recon: NDArray[np.complex64]
    origin_px: tuple[int, int]
    probe: NDArray[np.complex64]
    positions_px: NDArray[np.float64]
    scan_index: NDArray[np.int64]
    loss: NDArray[np.float64]
    opr_weights: NDArray[np.float32] | None = None
    pixel_size_m: tuple[float, float] | None
    energy_ev: float | None = None
    distance_m: float | None = None
    mean_photons: float | None = None
    facts: dict[str, JsonValue]

    @property
    def positions_m(self) -> NDArray[np.float64]:
        """Positions of the kept exposures in the scan frame, (n, 2) float64, order (y, x), metres."""
        assert self.pixel_size_m is not None, "checked for formats in metres"
        return np.asarray(self.positions_px * np.asarray(self.pixel_size_m), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellGroups:
    """The groups in which a cell's reconstruction, its exposures and the indices of those that it keeps are stored."""

    reconstruction: Path
    exposures: Path
    view: Path


def export_reconstruction(
    groups: CellGroups,
    path: Path,
    *,
    file_format: FileFormat | None = None,
    pixel_size_nm: tuple[float, float] | None = None,
) -> FileFormat:
    """Write a cell's object and probe as a file of another program.

    Parameters
    ----------
    groups : CellGroups
        The groups of the cell.
    path : Path
        The file to write; one that exists is replaced.
    file_format : "product", "cxi", "ptypy" or "tiff", optional
        A Ptychodus product in HDF5, CXI, a result in PtyPy's layout, or amplitude and phase as TIFF; if omitted, the
        file's suffix decides.
    pixel_size_nm : (float, float), optional
        Sides (y, x) of a pixel of the object, if the run does not know them.

    Returns
    -------
    str
        The format that was written.

    Raises
    ------
    InputError
        If the format of the file is not known, or the format is in metres and no pixel size is known.
    IntegrityError
        If a group is missing or damaged.
    """
    chosen = file_format or SUFFIXES.get(path.suffix.lower())
    if chosen is None:
        raise InputError(
            f"export {path}: its name ends in {path.suffix or 'no suffix'!r}, needed {', '.join(SUFFIXES)}",
            remedy=f"give it one of these, or --format {', '.join(get_args(FileFormat))}",
        )
    refuse_missing(path, (groups.exposures, groups.view))
    reconstruction = read_reconstruction(groups, pixel_size_nm)
    if reconstruction.pixel_size_m is None and chosen != "tiff":
        raise InputError(
            f"export {path}: the format {chosen} has lengths in metres, and no pixel size of {reconstruction.name} is "
            "known",
            remedy="give --pixel-size-nm",
        )
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as unfinished:
            _writer(chosen)(unfinished, reconstruction)
    return chosen


def refuse_missing(path: Path, groups: Iterable[Path]) -> None:
    """Refuse to write a file from exposures of a run that are not there."""
    for group in groups:
        if not group.exists():
            raise InputError(
                f"export {path}: there is no {group}",
                remedy="run the study: it makes exposures that were cleaned or not made yet, and runs no finished cell "
                "again",
            )


def read_reconstruction(groups: CellGroups, pixel_size_nm: tuple[float, float] | None = None) -> ReconstructionToWrite:
    """Read what is written of a cell; `pixel_size_nm` (y, x) overrides the size that the run knows."""
    reconstruction = open_group(groups.reconstruction, ReconstructionAttributes)
    exposures = open_group(groups.exposures, ExposureAttributes)
    kept_indices = open_group(groups.view, ViewAttributes).read("kept_indices")
    about, light = reconstruction.attributes, exposures.attributes
    is_refined = REFINED in reconstruction.names
    known_nm = pixel_size_nm or light.pixel_size_nm
    return ReconstructionToWrite(
        name=about.cell,
        object_recon=reconstruction.read("object_recon"),
        origin_px=about.object_origin_px,
        probe=reconstruction.read("probe_recon"),
        positions_px=reconstruction.read(REFINED) if is_refined else exposures.read("positions_px", kept_indices),
        scan_index=exposures.read("scan_index", kept_indices),
        loss=reconstruction.read("loss"),
        opr_weights=reconstruction.read(WEIGHTS) if WEIGHTS in reconstruction.names else None,
        pixel_size_m=None if known_nm is None else (known_nm[0] * NM, known_nm[1] * NM),
        energy_ev=_energy_ev(light.geometry),
        distance_m=light.geometry.distance_m if light.geometry else None,
        mean_photons=light.mean_counts_photons,
        facts={
            "program": "fly64dask",
            "version": about.software.get("fly64dask"),
            "cell": about.cell,
            "object_sha256": reconstruction.array_sha256["object_recon"],
            "dose_photons": light.dose_photons,
            "n_epochs": about.n_epochs,
            "positions": "refined" if is_refined else "as given",
            "object_origin_px": list(about.object_origin_px),
        },
    )


def _energy_ev(geometry: Geometry | None) -> float | None:
    """Return the energy of the particle in eV, for a photon from its wavelength if needed; None if it is not known."""
    if geometry is None or geometry.energy_kev is not None:
        return None if geometry is None or geometry.energy_kev is None else geometry.energy_kev * 1000
    is_known_photon = geometry.particle == "photon" and geometry.wavelength_nm is not None
    return HC_EV_NM / geometry.wavelength_nm if is_known_photon and geometry.wavelength_nm else None


def _writer(file_format: FileFormat) -> Callable[[Path, ReconstructionToWrite], None]:
    if file_format == "tiff":
        from fly64dask.datasets.export.tiff import write_tiff

        return write_tiff
    from fly64dask.datasets.export.hdf5 import write_cxi, write_product, write_ptypy

    return {"product": write_product, "cxi": write_cxi, "ptypy": write_ptypy}[file_format]
