"""Read 4D-STEM data of electron microscopes: py4DSTEM's HDF5, EMPAD's and Merlin's frames.

What such files do not say (raster, step, rotation, voltage, semi-angle) is given by a person.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import Geometry
from fly64dask.datasets.formats.containers import NamedArrays, empad_patterns, mib_patterns, number, text
from fly64dask.datasets.formats.joining import FAR_FIELD, Parts, raster_positions
from fly64dask.datasets.formats.units import METRES

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where releases of py4DSTEM, and Prismatic, put their data: a group of data cubes, and the array in each.
CUBES = (
    ("4DSTEM_experiment/data/datacubes", "data"),
    ("4DSTEM/data/datacubes", "data"),
    ("4DSTEM_simulation/data/datacubes", "datacube"),
)
GIVE_RASTER = (
    "say how the beam was moved: --raster SLOW,FAST --raster-step-nm STEP, with --energy-kev and --semi-angle-mrad or "
    "--pixel-size-nm; or give --positions FILE"
)


def recognise_py4dstem(file: NamedArrays) -> bool:
    """Tell a py4DSTEM file by its data cube."""
    return _cube(file) is not None


def read_py4dstem(file: NamedArrays) -> Parts:
    """Read the patterns of a data cube (slow, fast, rows, columns), and the raster if the file has its step."""
    name = _cube(file)
    assert name is not None
    calibration = f"{name.split('/')[0]}/metadatabundle/calibration"
    return Parts(
        file_format="py4DSTEM",
        path=file.path,
        patterns=file.patterns(name),
        positions=_raster(file, name, calibration),
        quantity="intensity",
        geometry=_geometry(file, calibration),
        assumed=(FAR_FIELD, *_turned(file, calibration)),
        remedy=GIVE_RASTER,
    )


def read_empad(path: Path) -> Parts:
    """Read the patterns of an EMPAD file, in the detector's own units."""
    return _frames(path, "EMPAD raw")


def read_mib(path: Path) -> Parts:
    """Read the patterns of a Merlin file, counts."""
    return _frames(path, "Merlin mib")


def _frames(path: Path, file_format: str) -> Parts:
    return Parts(
        file_format=file_format,
        path=path,
        patterns=empad_patterns(path) if file_format == "EMPAD raw" else mib_patterns(path),
        quantity="intensity",
        geometry=Geometry(particle="electron"),
        assumed=(FAR_FIELD, "electrons"),
        remedy=GIVE_RASTER,
    )


def _cube(file: NamedArrays) -> str | None:
    """Name the array of the only, or first, data cube."""
    for top in file.names():
        if f"{top}/datacube/data" in file:
            return f"{top}/datacube/data"
    for group, array in CUBES:
        for member in sorted(file.members(group)):
            if f"{group}/{member}/{array}" in file:
                return f"{group}/{member}/{array}"
    return None


def _turned(file: NamedArrays, calibration: str) -> list[str]:
    """Say which of the file's turns between scan and patterns is used, and which is not."""
    rotation = number(file, f"{calibration}/QR_rotation_degrees")
    flip = f"{calibration}/QR_flip"
    return [
        *([f"scan turned by {rotation:g} degrees"] if rotation else []),
        *(["QR_flip of the file not applied"] if flip in file and bool(np.ravel(file.take(flip)).any()) else []),
    ]


def _raster(file: NamedArrays, name: str, calibration: str) -> NDArray[np.float64] | None:
    """Make the positions if the file has the raster's shape and its step in a unit of length."""
    shape = file.shape(name)
    step = number(file, f"{calibration}/R_pixel_size")
    unit = text(file, f"{calibration}/R_pixel_units").lower()
    if len(shape) != 4 or not step or step <= 0 or unit not in METRES:
        return None
    rotation = number(file, f"{calibration}/QR_rotation_degrees") or 0.0
    return raster_positions((int(shape[0]), int(shape[1])), step * METRES[unit] * 1e9, rotation)


def _geometry(file: NamedArrays, calibration: str) -> Geometry:
    """Read the size of a pattern's pixel, as a spatial frequency or as an angle beside the semi-angle."""
    size = number(file, f"{calibration}/Q_pixel_size") or 0.0
    unit = text(file, f"{calibration}/Q_pixel_units")
    semi_angle = number(file, f"{calibration}/probe_convergence_semiangle_mrad") or 0.0
    radius = number(file, f"{calibration}/probe_convergence_semiangle_pixels") or 0.0
    if unit == "mrad" and size > 0 and semi_angle > 0:
        radius = semi_angle / size
    per_nm = size * 10 if size > 0 and unit == "A^-1" else None
    return Geometry(
        particle="electron",
        reciprocal_pixel_per_nm=(per_nm, per_nm) if per_nm else None,
        semi_angle_mrad=semi_angle if semi_angle > 0 else None,
        bright_disk_radius_px=radius if radius > 0 else None,
    )
