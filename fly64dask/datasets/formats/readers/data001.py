"""Read DATA-001 files, the format of the original study, in all its variants."""

from __future__ import annotations

import json
import reprlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError, counted
from fly64dask.datasets.formats.containers import Member, NpzFile, coordinates, listed, take
from fly64dask.datasets.formats.joining import Parts
from fly64dask.datasets.formats.options import Layout, Quantity, ReadOptions
from fly64dask.datasets.formats.patterns import ArrayPatterns, Patterns

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue

PATTERN_KEYS = ("diffraction", "diff3d")
MAX_METADATA_DEPTH = 64  # pydantic and JSON readers give up at 200 and more


def recognise_data001(file: NpzFile) -> bool:
    """Tell a DATA-001 file by its patterns."""
    return any(key in file for key in PATTERN_KEYS)


def read_data001(file: NpzFile, options: ReadOptions) -> Parts:
    """Read a DATA-001 scan in any of its variants.

    Raises InputError if the file is damaged or ambiguous; the message names the flag that settles it.
    """
    path, arrays = file.path, file.arrays
    key = next(name for name in PATTERN_KEYS if name in arrays)
    positions_px = _read_positions(file)
    metadata = _parse_metadata(arrays, path)
    layout = options.layout or ("nhw" if metadata.get("layout") == "nhw" else None)
    patterns: Patterns = file.patterns(key)
    shape = file.shape(key)
    if len(shape) != 3:
        raise InputError(
            f"read {path}: {key!r} has shape {shape}, needed three axes", remedy="store (n, H, W) amplitudes or counts"
        )
    if find_layout(shape, len(positions_px), layout, path) == "hwn":
        patterns = ArrayPatterns(array=np.moveaxis(file.take(key), -1, 0))
    has_object = "objectGuess" in arrays and metadata.get("object_is_empty") is not True
    return Parts(
        file_format="DATA-001",
        path=path,
        patterns=patterns,
        positions=positions_px,
        positions_unit="px",
        quantity=_stored_quantity(metadata.get("quantity")),
        zero_frequency="centre",
        zero_frequency_is_stated=metadata.get("zero_frequency") == "centre",
        photons_per_intensity=_stored_scale(metadata, path) if options.photons_per_intensity is None else None,
        probe=take(arrays, "probeGuess", path) if "probeGuess" in arrays else None,
        object_guess=take(arrays, "objectGuess", path) if has_object else None,
        metadata=metadata,
    )


def _read_positions(file: NpzFile) -> NDArray[np.float64]:
    """Read the scan positions, (n, 2), order (y, x), px."""
    for name in ("xcoords", "ycoords"):
        if name not in file:
            raise InputError(
                f"read {file.path}: no array {name!r}, found {listed(file.arrays)}",
                remedy="add it in px, or name the arrays that are there: --patterns NAME --positions-y NAME[:COLUMN] "
                "--positions-x NAME[:COLUMN] --positions-unit px|m|um|nm",
            )
    x, y = (coordinates(file, name, "px") for name in ("xcoords", "ycoords"))
    if len(x) != len(y):
        raise InputError(
            f"read {file.path}: {counted(len(x), 'xcoord')} but {counted(len(y), 'ycoord')}",
            remedy="give both for each exposure",
        )
    return np.stack([y, x], axis=1)


def find_layout(shape: tuple[int, ...], n_positions: int, stated: Layout | None, path: Path) -> Layout:
    """Tell patterns of (n, H, W) from (H, W, n) by the number of scan positions, unless a person gave the layout.

    Raises InputError if neither axis, or both, could number the exposures.
    """
    fits: dict[Layout, bool] = {"nhw": shape[0] == n_positions, "hwn": shape[-1] == n_positions}
    if stated is not None:
        if not fits[stated]:
            raise InputError(
                f"read {path}: --layout {stated} with patterns of {shape} and "
                f"{counted(n_positions, 'position')} does not fit",
                remedy="give the other layout, or one position for each pattern",
            )
        return stated
    if fits["nhw"] and fits["hwn"]:
        raise InputError(
            f"read {path}: patterns of shape {shape} with {counted(n_positions, 'position')} may be "
            "(n, H, W) or (H, W, n)",
            remedy="give --layout nhw or --layout hwn",
        )
    if not any(fits.values()):
        raise InputError(
            f"read {path}: patterns of shape {shape} but {counted(n_positions, 'position')}",
            remedy="give one for each pattern",
        )
    return "nhw" if fits["nhw"] else "hwn"


def _stored_quantity(value: object) -> Quantity | None:
    """Read what a file says of itself that a pixel holds."""
    return "amplitude" if value == "amplitude" else "intensity" if value == "intensity" else None


def _stored_scale(metadata: Mapping[str, JsonValue], path: Path) -> float | None:
    """Read the photons per unit of intensity that a file states of itself, if it does."""
    if "photons_per_intensity" not in metadata:
        return None
    value = metadata["photons_per_intensity"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise InputError(
            f"read {path}: photons_per_intensity of its metadata is {reprlib.repr(value)}, "
            "needed a finite number above 0",
            remedy="give --photons-per-intensity",
        )
    return float(value)


def _parse_metadata(arrays: Mapping[str, Member], path: Path) -> dict[str, JsonValue]:
    """Read the array `_metadata` of a scan file; empty only if the file has none.

    Raises InputError if it is pickled without leave, or not a JSON object.
    """
    if "_metadata" not in arrays:
        return {}
    stored = take(arrays, "_metadata", path)
    value = stored.reshape(-1)[0] if stored.size == 1 else stored
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    try:
        if isinstance(value, str):
            value = json.loads(value)
        if not isinstance(value, dict):
            raise InputError(
                f"read {path}: _metadata holds {type(value).__name__}, needed a JSON object",
                remedy="store a JSON object",
            )
        # A pickled dict may hold NumPy numbers, any text NaN; JSON knows neither, and what is stored is JSON.
        plain: dict[str, JsonValue] = json.loads(json.dumps(value, default=_plain), parse_constant=lambda _: None)
        json.dumps(plain, ensure_ascii=False).encode()
    # Besides damaged JSON: integers of more than 4300 digits, lone surrogates, pickled keys that are no text.
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"read {path}: _metadata is not JSON: {error}", remedy="store a JSON object") from error
    if _depth(plain) > MAX_METADATA_DEPTH:
        raise InputError(
            f"read {path}: _metadata is nested more than {MAX_METADATA_DEPTH} deep",
            remedy="store a flatter JSON object",
        )
    return plain


def _depth(document: object) -> int:
    """Number of lists and objects around the innermost value, counted level by level."""
    depth = 0
    level: list[object] = [document]
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [inner for part in level for inner in (part.values() if isinstance(part, dict) else part)]
    return depth


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
