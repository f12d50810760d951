"""Read Ptychodus products and patterns, HDF5 and NPZ, which are what pty-chi's users have as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import Geometry, InputError, counted
from fly64dask.datasets.formats.containers import NamedArrays, as_number, coordinates
from fly64dask.datasets.formats.joining import FAR_FIELD, Parts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue

POSITIONS = ("probe_position_y_m", "probe_position_x_m")
SPACINGS = ("object_layer_spacing_m", "object_layer_distance_m")
GIVE_PATTERNS = (
    "a product has no patterns: give the file that the product was made from, as "
    "fly64dask ingest PATTERNS --positions PRODUCT"
)


def recognise_product(file: NamedArrays) -> bool:
    """Tell a product by its positions."""
    return all(name in file for name in POSITIONS)


def read_product(file: NamedArrays) -> Parts:
    """Read positions, probe, object and geometry of a product, and patterns that somebody has put beside them.

    Rows are +y and columns +x.

    Raises InputError if the object has several layers, or the scan is of the near field.
    """
    _refuse_layers(file)
    far_field = file.take("far_field") if "far_field" in file else file.attribute("", "far_field")  # since 1.7
    if far_field is not None and not np.asarray(far_field).any():
        raise InputError(
            f"read {file.path}: a Ptychodus product of the near field; this program reconstructs far-field patterns",
            remedy="reconstruct it with Ptychodus",
        )
    y, x = (coordinates(file, name) for name in POSITIONS)
    if len(y) != len(x):
        raise InputError(
            f"read {file.path}: {counted(len(y), 'position')} in y, {len(x)} in x", remedy="save the product again"
        )
    return Parts(
        file_format="Ptychodus product",
        path=file.path,
        patterns=file.patterns("dp") if "dp" in file else None,
        quantity="intensity",
        positions=np.stack([y, x], axis=1),
        position_numbers=_numbers(file, "probe_position_indexes"),
        probe=file.take("probe") if "probe" in file else None,
        opr_weights=_opr_weights(file),
        object_guess=file.take("object") if "object" in file else None,
        geometry=_geometry(file),
        metadata=_metadata(file),
        is_far_field=far_field is not None,
        assumed=(FAR_FIELD,),
        remedy=GIVE_PATTERNS,
    )


def recognise_pattern_arrays(file: NamedArrays) -> bool:
    """Tell the patterns that Ptychodus saves as NPZ."""
    return "patterns" in file and "indexes" in file


def read_pattern_arrays(file: NamedArrays) -> Parts:
    """Read patterns, their numbers, and which pixels are bad."""
    bad = file.take("bad_pixels") if "bad_pixels" in file else None
    return Parts(
        file_format="Ptychodus patterns",
        path=file.path,
        patterns=file.patterns("patterns"),
        frame_numbers=_numbers(file, "indexes"),
        quantity="intensity",
        mask=None if bad is None else ~bad.astype(bool),
    )


def _numbers(file: NamedArrays, name: str) -> NDArray[np.int64] | None:
    if name not in file:
        return None
    stored = np.ravel(file.take(name))
    if stored.dtype.kind not in "ui":
        raise InputError(
            f"read {file.path}: {name!r} has dtype {stored.dtype}, needed whole numbers", remedy="correct the file"
        )
    return stored.astype(np.int64)


def _value(file: NamedArrays, holder: str, key: str) -> float | None:
    """Read a number that HDF5 has as an attribute of an array and NPZ as an array of a joined name."""
    joined = f"{holder}_{key}" if holder else key
    stored: Any = file.take(joined) if joined in file else file.attribute(holder, key)
    return as_number(stored, f"read {file.path}: {joined!r}")


def _geometry(file: NamedArrays) -> Geometry:
    """Read energy, distance and the object's pixel size, or the probe's; 0 stands for not known."""
    # Of Ptychodus 1.7, and of older releases.
    energy_ev = _value(file, "", "photon_energy_eV") or _value(file, "", "probe_energy_eV")
    distance = _value(file, "", "detector_object_distance_m")
    sizes = [
        (_value(file, holder, "pixel_height_m"), _value(file, holder, "pixel_width_m"))
        for holder in ("object", "probe")
        if holder in file
    ]
    sides_nm = [(y * 1e9, x * 1e9) for y, x in sizes if y and x and y > 0 and x > 0]
    return Geometry(
        pixel_size_nm=sides_nm[0] if sides_nm else None,
        energy_kev=energy_ev * 1e-3 if energy_ev and energy_ev > 0 else None,
        distance_m=abs(distance) if distance else None,
    )


def _opr_weights(file: NamedArrays) -> NDArray[np.generic] | None:
    # Ptychodus writes a dataset and reads an attribute of the probe: either may be there.
    if "opr_weights" in file:
        return file.take("opr_weights")
    stored = file.attribute("probe", "opr_weights") if "probe" in file else None
    return None if stored is None else np.asarray(stored)


def _metadata(file: NamedArrays) -> dict[str, JsonValue]:
    metadata: dict[str, JsonValue] = {}
    for name in ("probe_photon_count", "exposure_time_s", "tomography_angle_deg"):
        value = _value(file, "", name)
        if value:
            metadata[name] = value
    return metadata


def _refuse_layers(file: NamedArrays) -> None:
    """Refuse an object of several layers; one layer has an infinite distance to the next, or none."""
    shape = file.shape("object") if "object" in file else ()
    layers = shape[0] if len(shape) == 3 else 1
    for name in SPACINGS:
        if name in file:
            spacing = np.ravel(file.take(name)).astype(np.float64)
            layers = max(layers, 1 + int((np.isfinite(spacing) & (spacing > 0)).sum()))
    if layers > 1:
        raise InputError(
            f"read {file.path}: a multislice Ptychodus product, of {layers} layers; this program reconstructs one",
            remedy="reconstruct it with Ptychodus or pty-chi, or save a product of one layer",
        )
