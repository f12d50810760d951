"""Read CXI files, and the NeXus forms of them: NXcxi_ptycho and NXptycho.

Paths and units are those of the CXI file format (cxidb) and of the NeXus definitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import Geometry, InputError
from fly64dask.datasets.formats.containers import NamedArrays, number, points, text
from fly64dask.datasets.formats.joining import FAR_FIELD, Parts
from fly64dask.datasets.formats.patterns import OrientedPatterns
from fly64dask.datasets.formats.units import kev, metres

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENTRY = "entry_1"
INSTRUMENT = f"{ENTRY}/instrument_1"
SOURCE, BEAM = f"{INSTRUMENT}/source_1", f"{INSTRUMENT}/beam_1"
DETECTORS = (f"{INSTRUMENT}/detector_1", f"{INSTRUMENT}/detector")
SAMPLE = f"{ENTRY}/sample_1"
IMAGE = f"{ENTRY}/image_1"  # of a reconstruction
HAS_SIGNAL = 0x1000  # the one bit of a CXI mask that a valid pixel may have
RASTERS = (f"{ENTRY}/data", f"{ENTRY}/data_1")
TRANSLATIONS = (
    f"{ENTRY}/data_1/translation",
    f"{SAMPLE}/geometry_1/translation",
    f"{SAMPLE}/geometry/translation",
    *(f"{detector}/translation" for detector in DETECTORS),
)
ENERGIES = ("energy", "incident_beam_energy", "incident_energy")
WAVELENGTHS = ("wavelength", "incident_wavelength", "incident_beam_wavelength")


def recognise_cxi(file: NamedArrays) -> bool:
    """Tell a CXI file by its first entry."""
    return ENTRY in file


def read_cxi(file: NamedArrays) -> Parts:
    """Read patterns, positions, mask, geometry and, where there is one, the probe of a CXI file."""
    detector = next((group for group in DETECTORS if group in file), DETECTORS[0])
    definition = text(file, f"{ENTRY}/definition")
    places = (f"{ENTRY}/data_1/data", f"{detector}/data", f"{ENTRY}/data/data")
    name = _first(file, places)
    patterns = None if name is None else file.patterns(name)
    swapped = name is not None and _axes_are_x_y(file, name)
    mask = _mask(file, detector)
    if patterns is not None and swapped:
        patterns = OrientedPatterns(patterns, transpose=True)
        mask = None if mask is None else mask.T
    illumination = f"{SOURCE}/illumination"
    return Parts(
        file_format=definition if definition in ("NXcxi_ptycho", "NXptycho") else "CXI",
        path=file.path,
        patterns=patterns,
        positions=_positions(file, None if patterns is None else patterns.shape[0], detector),
        quantity="intensity",
        mask=mask,
        probe=file.take(illumination) if illumination in file else None,
        geometry=_geometry(file, detector, definition, swapped=swapped),
        assumed=(FAR_FIELD, *(("the first of several entries",) if "entry_2" in file else ())),
    )


def _first(file: NamedArrays, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in file), None)


def _axes_are_x_y(file: NamedArrays, name: str) -> bool:
    """Whether the file says that its frames are (x, y), not (y, x) as the format has them."""
    for place in (name, f"{ENTRY}/data_1"):
        axes = file.attribute(place, "axes")
        if isinstance(axes, str):
            return axes.replace(",", ":").replace(" ", "").endswith("x:y")
    return False


def _positions(file: NamedArrays, n: int | None, detector: str) -> NDArray[np.float64] | None:
    """Read positions of the beam, (n, 2) in m, order (y, x).

    `translation` is the sample's, in a frame with y up: row = +y and column = +x, as cdtools, PtyPy and Ptychodus have
    it; the detector's basis vectors say otherwise where they are not the usual ones. `n` is the number of exposures,
    None in a file without patterns, such as an exported reconstruction.
    """
    name = _first(file, TRANSLATIONS)
    if name is not None:
        translation = points(file, name, n) * metres(file.attribute(name, "units"), file.path)
        return _along(translation, _basis(file, detector))
    for group in (f"{SAMPLE}/transformations", *RASTERS):
        x, y = f"{group}/x", f"{group}/y"
        if x in file and y in file:
            columns = [
                np.ravel(file.take(axis)).astype(np.float64) * metres(file.attribute(axis, "units"), file.path)
                for axis in (y, x)
            ]
            if all(len(column) == (n or len(columns[0])) for column in columns):
                return np.stack(columns, axis=1)
    return None


def _basis(file: NamedArrays, detector: str) -> NDArray[np.float64] | None:
    """Read the steps from one detector pixel to the next, (2, 3): along a column, then along a row."""
    name = f"{detector}/basis_vectors"
    if name not in file:
        return None
    stored = np.squeeze(file.take(name))
    if stored.shape not in ((3, 2), (2, 3)) or stored.dtype.kind not in "uif":
        return None
    basis = (stored.T if stored.shape == (3, 2) else stored).astype(np.float64)
    return basis if np.linalg.norm(basis, axis=1).all() else None


def _along(translation: NDArray[np.float64], basis: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Give the beam's (row, column) in m for translations of the sample, (n, 2 or 3) in order x, y, z."""
    if basis is None or translation.shape[1] != 3:
        return translation[:, [1, 0]]
    columns = []
    for step in basis:
        axis = int(np.abs(step).argmax())
        if np.count_nonzero(step) == 1:
            columns.append(-np.sign(step[axis]) * translation[:, axis])
        else:
            columns.append(-translation @ (step / np.linalg.norm(step)))
    return np.stack(columns, axis=1)


def _mask(file: NamedArrays, detector: str) -> NDArray[np.bool_] | None:
    """Read the pixels that are valid, (H, W): those whose bits are 0, or that of a signal alone."""
    name = f"{detector}/mask"
    if name not in file:
        return None
    stored = np.squeeze(file.take(name))
    valid = (stored == 0) | (stored == HAS_SIGNAL)
    if valid.ndim == 3:
        valid = valid.all(axis=0)
    if valid.ndim != 2:
        raise InputError(f"read {file.path}: {name!r} is of {stored.shape}, needed (H, W)", remedy="correct the file")
    return np.asarray(valid)


def image_pixel_nm(file: NamedArrays) -> tuple[float, float] | None:
    """Read the sides (y, x) of a pixel of a reconstructed image, nm; None if the file has none in real space."""
    if f"{IMAGE}/data" not in file or text(file, f"{IMAGE}/data_space") not in ("", "real"):
        return None
    sides = [_positive(number(file, f"{IMAGE}/{axis}_pixel_size"), 1e9) for axis in ("y", "x")]
    shape = file.shape(f"{IMAGE}/data")
    if None in sides and f"{IMAGE}/image_size" in file and len(shape) >= 2:
        size = np.ravel(file.take(f"{IMAGE}/image_size"))  # x, y
        if size.dtype.kind in "uif" and size.size >= 2 and min(shape[-2:]) > 0:
            sides = [_positive(float(size[1]), 1e9 / shape[-2]), _positive(float(size[0]), 1e9 / shape[-1])]
    y, x = sides
    return None if y is None or x is None else (y, x)


def _geometry(file: NamedArrays, detector: str, definition: str, *, swapped: bool) -> Geometry:
    pitch = _pitch_um(file, detector)
    return Geometry(
        # Of a reconstruction; where there is a detector, the pixel follows from it.
        pixel_size_nm=image_pixel_nm(file) if pitch is None else None,
        wavelength_nm=_wavelength_nm(file),
        energy_kev=_energy_kev(file, definition),
        distance_m=_distance_m(file, detector),
        pitch_um=pitch[::-1] if swapped and pitch else pitch,
    )


def _wavelength_nm(file: NamedArrays) -> float | None:
    for group in (SOURCE, BEAM):
        name = _first(file, tuple(f"{group}/{key}" for key in WAVELENGTHS))
        if name is not None:
            return _positive(number(file, name), metres(file.attribute(name, "units"), file.path) * 1e9)
    return None


def _energy_kev(file: NamedArrays, definition: str) -> float | None:
    """Read the energy of a photon; what the definitions call the source's is that of the machine."""
    groups = (BEAM,) if definition == "NXptycho" else (BEAM, SOURCE)
    for group in groups:
        name = _first(file, tuple(f"{group}/{key}" for key in ENERGIES))
        unit = None if name is None else file.attribute(name, "units")
        if name is not None and str(unit).lower() not in ("mev", "gev"):
            return _positive(number(file, name), kev(unit, file.path, default="J"))
    return None


def _distance_m(file: NamedArrays, detector: str) -> float | None:
    name = f"{detector}/distance"
    if name in file:
        distance = np.ravel(file.take(name)).astype(np.float64)
        return _positive(abs(float(distance.mean())), metres(file.attribute(name, "units"), file.path))
    corner, basis = f"{detector}/corner_position", _basis(file, detector)
    if corner not in file or basis is None:
        return None
    normal = np.cross(*basis)
    place = np.ravel(file.take(corner)).astype(np.float64)
    return _positive(abs(float(place @ normal / np.linalg.norm(normal))), 1.0) if place.size == 3 else None


def _pitch_um(file: NamedArrays, detector: str) -> tuple[float, float] | None:
    sizes: list[float | None] = []
    for axis in ("y", "x"):
        name = f"{detector}/{axis}_pixel_size"
        factor = metres(file.attribute(name, "units"), file.path) * 1e6 if name in file else 1.0
        sizes.append(_positive(number(file, name), factor))
    y, x = sizes
    if y or x:
        return (y or x or 0.0, x or y or 0.0)
    basis = _basis(file, detector)
    if basis is None:
        return None
    along_y, along_x = np.linalg.norm(basis, axis=1) * 1e6
    return float(along_y), float(along_x)


def _positive(value: Any, factor: float) -> float | None:
    """Convert a number that only says something above 0."""
    return float(value) * factor if value is not None and value > 0 else None
