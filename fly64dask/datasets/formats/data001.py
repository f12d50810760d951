"""DATA-001 NPZ files of the original study <-> `RawScan` and object-probe pairs."""

from __future__ import annotations

import json
import reprlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.npz import Member, listed, load_arrays, take
from fly64dask.datasets.formats.scan_file import (
    Layout,
    Quantity,
    RawScan,
    ReadOptions,
    as_complex64,
    assemble,
    centre_zero_frequency,
    known_keys,
    refuse_darkness,
    to_counts,
)
from fly64dask.simulation import Pair
from fly64dask.store import publish_bytes
from fly64dask.study import MAX_OBJECT_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

PATTERN_KEYS = ("diffraction", "diff3d")
MAX_METADATA_DEPTH = 64  # pydantic and JSON readers give up at 200 and more


def read_data001(path: Path, arrays: Mapping[str, Member], options: ReadOptions) -> RawScan:
    """Read a DATA-001 scan in any of its variants.

    Parameters
    ----------
    path : Path
        The file.
    arrays : mapping
        Its content, from `load_arrays`.
    options : ReadOptions
        What settles an ambiguous file.

    Returns
    -------
    RawScan

    Raises
    ------
    InputError
        If the file is damaged or ambiguous; the message names the flag that settles it.
    """
    key = known_keys(arrays, *PATTERN_KEYS)
    if key is None:
        raise InputError(
            f"read {path}: no array named {' or '.join(PATTERN_KEYS)}, found {listed(arrays)}",
            remedy="rename the array that holds the patterns",
        )
    x, y = (checked_coordinates(take(arrays, name, path), name, path) for name in ("xcoords", "ycoords"))
    if len(x) != len(y):
        raise InputError(f"read {path}: {len(x)} xcoords but {len(y)} ycoords", remedy="give both for each exposure")
    patterns = take(arrays, key, path)
    if patterns.ndim != 3 or not (np.isrealobj(patterns) and patterns.dtype.kind in "uif"):
        raise InputError(
            f"read {path}: {key!r} has shape {patterns.shape} and dtype {patterns.dtype}, needed three axes of reals",
            remedy="store (n, H, W) amplitudes or counts",
        )
    metadata = parse_metadata(arrays, path)
    layout = options.layout or ("nhw" if metadata.get("layout") == "nhw" else None)
    if find_layout(patterns.shape, len(x), layout, path) == "hwn":
        patterns = np.moveaxis(patterns, -1, 0)
    refuse_darkness(patterns, path)
    quantity = find_quantity(patterns, key, metadata, options.quantity, path)
    scale = options.photons_per_intensity
    if scale is None and "photons_per_intensity" in metadata:
        scale = stored_scale(metadata["photons_per_intensity"], path)
    counts, scale = to_counts(patterns, quantity, scale, path)
    zero_frequency = options.zero_frequency or ("centre" if metadata.get("zero_frequency") == "centre" else None)
    has_object = "objectGuess" in arrays and metadata.get("object_is_flat") is not True
    return assemble(
        path=path,
        file_format="DATA-001",
        counts=centre_zero_frequency(counts, zero_frequency, "centre", path),
        positions_px=np.stack([y, x], axis=1),
        probe=take(arrays, "probeGuess", path),
        object_guess=take(arrays, "objectGuess", path) if has_object else None,
        metadata=metadata,
        photons_per_intensity=scale,
    )


def checked_coordinates(stored: NDArray[Any], name: str, path: Path) -> NDArray[Any]:
    """Check that coordinates are real numbers, and give them one axis."""
    if stored.dtype.kind not in "uif":
        raise InputError(
            f"read {path}: {name!r} has dtype {stored.dtype}, needed real numbers",
            remedy="give one coordinate in px for each exposure",
        )
    return stored.reshape(-1)


def find_layout(shape: tuple[int, ...], n_positions: int, given: Layout | None, path: Path) -> Layout:
    """Tell (n, H, W) from (H, W, n) by the number of positions.

    Parameters
    ----------
    shape : (int, int, int)
        Shape of the patterns as stored.
    n_positions : int
        Number of scan positions.
    given : "nhw", "hwn" or None
        What a person said.
    path : Path
        For messages.

    Returns
    -------
    "nhw" or "hwn"

    Raises
    ------
    InputError
        If neither axis, or both, could number the exposures.
    """
    fits: dict[Layout, bool] = {"nhw": shape[0] == n_positions, "hwn": shape[-1] == n_positions}
    if given is not None:
        if not fits[given]:
            raise InputError(
                f"read {path}: --layout {given} with patterns of {shape} and {n_positions} positions does not fit",
                remedy="give the other layout, or one position for each pattern",
            )
        return given
    if fits["nhw"] and fits["hwn"]:
        raise InputError(
            f"read {path}: patterns of shape {shape} with {n_positions} positions may be (n, H, W) or (H, W, n)",
            remedy="give --layout nhw or --layout hwn",
        )
    if not any(fits.values()):
        raise InputError(
            f"read {path}: patterns of shape {shape} but {n_positions} positions", remedy="give one for each pattern"
        )
    return "nhw" if fits["nhw"] else "hwn"


def find_quantity(
    patterns: NDArray[Any], key: str, metadata: dict[str, Any], given: Quantity | None, path: Path
) -> Quantity:
    """Tell amplitude from intensity.

    Parameters
    ----------
    patterns : array
        As stored.
    key : str
        Array name, for messages.
    metadata : dict
        The file's own; a `quantity` there counts.
    given : "amplitude", "intensity" or None
        What a person said.
    path : Path
        For messages.

    Returns
    -------
    "amplitude" or "intensity"
        Integers are intensities; reals with fractions are amplitudes, as DATA-001 defines.

    Raises
    ------
    InputError
        If reals are all whole numbers: counts and roots of square counts look alike.
    """
    if given is not None:
        return given
    if metadata.get("quantity") in ("amplitude", "intensity"):
        return "amplitude" if metadata["quantity"] == "amplitude" else "intensity"
    if np.issubdtype(patterns.dtype, np.integer):
        return "intensity"
    if bool((np.nan_to_num(patterns) % 1 != 0).any()):
        return "amplitude"
    raise InputError(
        f"read {path}: {key!r} is {patterns.dtype} with whole numbers only: counts, or amplitudes?",
        remedy="give --quantity intensity or --quantity amplitude",
    )


def stored_scale(value: object, path: Path) -> float:
    """Read the photons per unit of intensity that a file states of itself."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise InputError(
            f"read {path}: photons_per_intensity of its metadata is {reprlib.repr(value)}, "
            "needed a finite number above 0",
            remedy="give --photons-per-intensity",
        )
    return float(value)


def parse_metadata(arrays: Mapping[str, Member], path: Path) -> dict[str, Any]:
    """Read `_metadata` however it was stored.

    Parameters
    ----------
    arrays : mapping
        Content of the NPZ.
    path : Path
        For messages.

    Returns
    -------
    dict
        Empty only if the file has none.

    Raises
    ------
    InputError
        If it is pickled without leave, or not a JSON object.
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
        plain: dict[str, Any] = json.loads(json.dumps(value, default=_plain), parse_constant=lambda _: None)
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
    level: list[Any] = [document]
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [inner for part in level for inner in (part.values() if isinstance(part, dict) else part)]
    return depth


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


def read_pair(path: Path, *, allow_pickle: bool = False) -> Pair:
    """Read the object and probe to simulate from.

    Parameters
    ----------
    path : Path
        NPZ with `objectGuess` (Y, X) and `probeGuess` (H, W), complex.
    allow_pickle : bool
        Whether object arrays may be unpickled.

    Returns
    -------
    Pair

    Raises
    ------
    InputError
        If one is missing, not complex and finite, or the probe is larger than the object.
    """
    arrays = load_arrays(path, allow_pickle=allow_pickle)
    stored = {key: np.squeeze(take(arrays, key, path)) for key in ("objectGuess", "probeGuess")}
    parts = {key: as_complex64(part) for key, part in stored.items() if part.ndim == 2 and np.iscomplexobj(part)}
    for key, part in stored.items():
        if key not in parts or not np.isfinite(parts[key]).all() or not parts[key].any():
            raise InputError(
                f"read {path}: {key} of shape {part.shape} and dtype {part.dtype}, needed two axes of finite complex "
                "numbers that are not all 0 in single precision",
                remedy="store one complex image under that key",
            )
    if any(p > o for p, o in zip(parts["probeGuess"].shape, parts["objectGuess"].shape, strict=True)):
        raise InputError(
            f"read {path}: probe {parts['probeGuess'].shape} is larger than object {parts['objectGuess'].shape} px",
            remedy="give an object that the probe can scan",
        )
    return Pair(object_truth=parts["objectGuess"], probe=parts["probeGuess"])


def write_data001(path: Path, scan: RawScan) -> None:
    """Write a scan as DATA-001 that `np.load(allow_pickle=False)` reads.

    Parameters
    ----------
    path : Path
        The `.npz` to make, in one step.
    scan : RawScan
        What to write; without an object a flat one takes its place.

    Notes
    -----
    `diffraction` is sqrt(counts / photons_per_intensity) in float32, which gives back counts up to
    2^20 exactly, in float64 for brighter ones; `_metadata` is a 0-d unicode array.
    """
    exact = np.float32 if scan.counts.max() <= 2**20 else np.float64
    amplitude = np.sqrt(scan.counts / scan.photons_per_intensity).astype(exact)
    y, x = scan.positions_px.T
    object_guess = scan.object_guess if scan.object_guess is not None else _flat_object(scan, path)
    metadata = scan.metadata | {
        "layout": "nhw",
        "quantity": "amplitude",
        "zero_frequency": "centre",
        "photons_per_intensity": scan.photons_per_intensity,
        "source": scan.source,
        "object_is_flat": scan.object_guess is None,
    }
    probe = scan.probe_guess
    publish_bytes(
        path,
        lambda stream: np.savez_compressed(
            stream,
            allow_pickle=False,
            diffraction=amplitude,
            xcoords=x,
            ycoords=y,
            probeGuess=probe[0, 0] if probe.shape[:2] == (1, 1) else probe,
            objectGuess=object_guess,
            scan_index=np.arange(len(amplitude)),
            _metadata=np.array(json.dumps(metadata)),
        ),
    )


def _flat_object(scan: RawScan, path: Path) -> NDArray[np.complex64]:
    height, width = np.ceil(np.ptp(scan.positions_px, axis=0)).astype(int) + scan.counts.shape[1:]
    if height * width > MAX_OBJECT_PIXELS:
        raise InputError(
            f"export {path}: the scan spans {height} x {width} px, a flat object of it has more than "
            f"{MAX_OBJECT_PIXELS} px",
            remedy="drop the positions that lie far from the others",
        )
    return np.ones((height, width), dtype=np.complex64)
