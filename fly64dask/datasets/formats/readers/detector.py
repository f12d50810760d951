"""Read files of detectors, which hold patterns and no positions: Eiger's master files, and what beamlines make of them.

Paths are those of DECTRIS' NeXus files and of Ptychodus' readers for APS 26-ID and 9-ID.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import Geometry
from fly64dask.datasets.formats.containers import NamedArrays, number
from fly64dask.datasets.formats.joining import FAR_FIELD, Parts
from fly64dask.datasets.formats.units import kev, metres

if TYPE_CHECKING:
    from numpy.typing import NDArray

STACKS = ("entry/data/data", "exchange/data")
BLOCKS = "entry/data"  # data_000001, data_000002, ...
DETECTOR = "entry/instrument/detector"
PIXEL_MASK = f"{DETECTOR}/detectorSpecific/pixel_mask"
ENERGY = f"{DETECTOR}/detectorSpecific/photon_energy"


def recognise_detector(file: NamedArrays) -> bool:
    """Tell a detector's file by its patterns."""
    return _stack(file) is not None


def read_detector(file: NamedArrays) -> Parts:
    """Read patterns, the mask and the geometry that the detector has been told."""
    name = _stack(file)
    assert name is not None
    pitch = [_length(file, f"{DETECTOR}/{axis}_pixel_size", 1e6) for axis in "yx"]
    energy = number(file, ENERGY)
    return Parts(
        file_format="detector file",
        path=file.path,
        patterns=file.patterns(name),
        quantity="intensity",
        mask=_mask(file),
        geometry=Geometry(
            energy_kev=energy * kev(file.attribute(ENERGY, "units"), file.path, default="eV") if energy else None,
            distance_m=_length(file, f"{DETECTOR}/detector_distance", 1.0),
            pitch_um=(pitch[0], pitch[1]) if pitch[0] and pitch[1] else None,
        ),
        assumed=(FAR_FIELD,),
        remedy="a detector's file has no positions: give their file with --positions FILE",
    )


def _stack(file: NamedArrays) -> str | None:
    for name in STACKS:
        if name in file:
            return name
    return BLOCKS if any(member.startswith("data_0") for member in file.members(BLOCKS)) else None


def _length(file: NamedArrays, name: str, factor: float) -> float | None:
    value = number(file, name)
    return value * metres(file.attribute(name, "units"), file.path) * factor if value and value > 0 else None


def _mask(file: NamedArrays) -> NDArray[np.bool_] | None:
    """Read the pixels that are valid, (H, W): those whose bits are 0."""
    if PIXEL_MASK not in file:
        return None
    stored = np.squeeze(file.take(PIXEL_MASK))
    return np.asarray(stored == 0) if stored.ndim == 2 else None
