"""Read PtyPy's prepared data (.ptyd), and its results (.ptyr) as probe, object and positions.

Names and units are those of PtyPy's documentation and of its writer; no pickled value is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import Geometry, InputError
from fly64dask.datasets.formats.containers import NamedArrays, number, points, text
from fly64dask.datasets.formats.joining import FAR_FIELD, Parts
from fly64dask.datasets.formats.patterns import JoinedPatterns, Patterns

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS = ("meta/weight2d", "info/weight2d", "common/weight2d")
BLOCK_EXPOSURES = 64
GIVE_PATTERNS = (
    "a PtyPy result has no patterns: give the .ptyd too, as fly64dask ingest SCAN.ptyd --positions RESULT.ptyr"
)


def recognise_prepared(file: NamedArrays) -> bool:
    """Tell prepared data by their chunks."""
    return "chunks" in file and ("meta" in file or "info" in file)


def read_prepared(file: NamedArrays) -> Parts:
    """Read patterns, positions (y, x) in m, weights and geometry of prepared data: frames are cropped and oriented.

    Raises InputError if a chunk is missing, or the data are of the near field.
    """
    if any(text(file, f"{group}/propagation").startswith("near") for group in ("meta", "info")):
        raise InputError(
            f"read {file.path}: PtyPy data of the near field; this program reconstructs far-field patterns",
            remedy="reconstruct it with PtyPy",
        )
    chunks = [f"chunks/{key}" for key in sorted(file.members("chunks"), key=_as_number)]
    parts = [file.patterns(f"{chunk}/data") for chunk in chunks if f"{chunk}/data" in file]
    if not parts or len(parts) < len(chunks):
        raise InputError(
            f"read {file.path}: PtyPy data of {len(chunks)} chunks, of which {len(parts)} hold patterns",
            remedy="copy the .ptyd with its .part files, or prepare the data again",
        )
    patterns = JoinedPatterns(parts)
    return Parts(
        file_format="PtyPy ptyd",
        path=file.path,
        patterns=patterns,
        positions=_positions(file, chunks, patterns.shape[0]),
        quantity="intensity",
        mask=_mask(file, chunks),
        geometry=_geometry(file),
        is_far_field=_has_propagation(file),
        assumed=(FAR_FIELD,),
    )


def recognise_result(file: NamedArrays) -> bool:
    """Tell a result by its content."""
    return "content/probe" in file or "content/obj" in file


def read_result(file: NamedArrays) -> Parts:
    """Read probe, object and positions of a result, which has no patterns; positions are (y, x) in m."""
    probe, obj = (_only_member(file, f"content/{kind}") for kind in ("probe", "obj"))
    positions = _only_member(file, "content/positions")
    holder = probe or obj
    pixel = None if holder is None else _pair(file, f"{holder}/_psize", 1e9)
    energy = None if holder is None else number(file, f"{holder}/_energy")
    return Parts(
        file_format="PtyPy result",
        path=file.path,
        positions=None if positions is None else points(file, positions)[:, :2],
        probe=None if probe is None else file.take(f"{probe}/data"),
        object_guess=None if obj is None else file.take(f"{obj}/data"),
        geometry=Geometry(pixel_size_nm=pixel, energy_kev=energy),
        assumed=(FAR_FIELD,),
        remedy=GIVE_PATTERNS,
    )


def _as_number(key: str) -> int:
    return int(key) if key.isdecimal() else -1


def _has_propagation(file: NamedArrays) -> bool:
    return any(f"{group}/propagation" in file for group in ("meta", "info"))


def _is_nothing(file: NamedArrays, name: str) -> bool:
    """Whether PtyPy stored None, or an empty array, under a name."""
    return name not in file or file.attribute(name, "type") in ("None", "none") or 0 in file.shape(name)


def _positions(file: NamedArrays, chunks: list[str], n: int) -> NDArray[np.float64] | None:
    names = [f"{chunk}/positions" for chunk in chunks]
    if not any(_is_nothing(file, name) or file.shape(name) == (1,) for name in names):
        return np.concatenate([points(file, name, file.shape(f"{name[:-10]}/data")[0]) for name in names])[:, :2]
    everything = "info/positions_scan"
    return None if _is_nothing(file, everything) else points(file, everything, n)[:, :2]


def _mask(file: NamedArrays, chunks: list[str]) -> NDArray[np.bool_] | None:
    """Find the pixels that have a weight in every exposure, (H, W)."""
    weights: list[Patterns] = []
    for chunk in chunks:
        name = f"{chunk}/weights"
        if not _is_nothing(file, name) and len(file.shape(name)) >= 2:
            if len(file.shape(name)) == 2:
                return np.asarray(file.take(name) > 0)
            weights.append(file.patterns(name))
    if not weights:
        whole = next((name_of_weights for name_of_weights in WEIGHTS if not _is_nothing(file, name_of_weights)), None)
        stored = None if whole is None else np.squeeze(file.take(whole))
        return np.asarray(stored > 0) if stored is not None and stored.ndim == 2 else None
    valid = np.ones(weights[0].shape[1:], dtype=bool)
    for part in weights:
        for start in range(0, part.shape[0], BLOCK_EXPOSURES):
            valid &= (part.read(start, min(start + BLOCK_EXPOSURES, part.shape[0])) > 0).all(axis=0)
    return valid


def _geometry(file: NamedArrays) -> Geometry:
    energy = number(file, "meta/energy")
    distance = number(file, "meta/distance")
    return Geometry(
        energy_kev=energy if energy and energy > 0 else None,
        distance_m=abs(distance) if distance else None,
        pitch_um=_pair(file, "meta/psize", 1e6),
    )


def _pair(file: NamedArrays, name: str, factor: float) -> tuple[float, float] | None:
    """Read one or two lengths in m, order (y, x)."""
    if _is_nothing(file, name):
        return None
    stored: Any = np.ravel(file.take(name))
    if stored.dtype.kind not in "uif" or stored.size not in (1, 2) or not (stored > 0).all():
        return None
    return float(stored[0]) * factor, float(stored[-1]) * factor


def _only_member(file: NamedArrays, group: str) -> str | None:
    """Name the one member of a group that has one for each scan.

    Raises InputError if there are several scans.
    """
    members = file.members(group)
    if len(members) > 1:
        raise InputError(
            f"read {file.path}: {group} of this PtyPy result is of {len(members)} scans: {', '.join(members[:4])}",
            remedy="give a result of one scan",
        )
    return f"{group}/{members[0]}" if members else None
