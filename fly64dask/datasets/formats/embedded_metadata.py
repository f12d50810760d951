"""Read the JSON object that a scan file carries in an array of its own, however it was stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.npz import Member, take

if TYPE_CHECKING:
    from pydantic import JsonValue

MAX_METADATA_DEPTH = 64  # pydantic and JSON readers give up at 200 and more


def parse_metadata(arrays: Mapping[str, Member], path: Path) -> dict[str, JsonValue]:
    """Read the array `_metadata` of a scan file.

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
