"""Reads a checked record from TOML text, or names every fault in it."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from typing import Any, TypeVar

from pydantic import ValidationError

from fly64dask.base import Frozen, InputError
from fly64dask.study.model import Study

Record = TypeVar("Record", bound=Frozen)


def parse_toml(text: str, record: type[Record], *, what: str, origin: str, keys: str) -> Record:
    """Read a record from TOML text.

    Parameters
    ----------
    text : str
        The file's content.
    record : type
        What it shall hold.
    what, origin : str
        What such a file is called, and this file's name, for messages.
    keys : str
        Where a person reads which keys there are, for messages.

    Raises
    ------
    InputError
        Naming every wrong key with its value and a remedy.
    """
    try:
        document = tomllib.loads(text)
        # Through JSON: strict there still makes tuples of lists, but no number of true or of "5".
        as_json = json.dumps(document, default=str)
    # Integers of more than 4300 digits are a plain ValueError, in decimal above and in hexadecimal below.
    except (ValueError, RecursionError) as error:
        raise InputError(f"read {what} {origin}: not valid TOML: {error}", remedy="correct that line") from error
    try:
        return record.model_validate_json(as_json, strict=True)
    except ValidationError as error:
        all_faults: list[dict[str, Any]] = [dict(fault) for fault in error.errors(include_url=False)]
        # A list whose only item is wrong is reported as too short as well.
        outer = [fault["loc"][:depth] for fault in all_faults for depth in range(len(fault["loc"]))]
        faults = "\n".join(
            f"  {_describe_fault(fault, document, record, what, keys)}"
            for fault in all_faults
            if not (fault["type"] == "too_short" and fault["loc"] in outer)
        )
        raise InputError(f"read {what} {origin}:\n{faults}", remedy="") from error


def _key_of(place: tuple[int | str, ...], document: Any) -> str:
    """Where a fault is, as the file has it: pydantic adds the alternative that it tried."""
    key = ""
    for depth, part in enumerate(place):
        if isinstance(part, int) and isinstance(document, list):
            # What is missing at the end of a list is a fault too.
            key, document = f"{key}[{part}]", document[part] if part < len(document) else None
        elif isinstance(document, dict) and part in document:
            key, document = f"{key}.{_quoted(part)}", document[part]
        elif isinstance(document, dict) and depth == len(place) - 1 and part not in _tags(document):
            key = f"{key}.{_quoted(part)}"
    return key.lstrip(".")


def _quoted(part: int | str) -> str:
    """A key as it is where TOML needs no quotes around it, else quoted: a newline in it starts no line of ours."""
    text = str(part)
    return text if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", text) else _shorten(text)


def _tags(document: dict[str, Any]) -> tuple[Any, Any]:
    return document.get("kind"), document.get("rule")


def _describe_fault(fault: dict[str, Any], document: dict[str, Any], record: type[Frozen], what: str, keys: str) -> str:
    """One line for one wrong key: where, what was found, what is needed, what to do."""
    key = _key_of(fault["loc"], document)
    found = _shorten(fault["input"])
    if fault["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(fault["loc"][-1]), sorted(_known_keys(record)), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{key} = {found}: unknown key{hint}; remove it or see {keys}"
    if fault["type"] == "missing":
        return f"{key}: missing; add it (see {keys})"
    message = fault["msg"].removeprefix("Value error, ")
    place = f"{key} = {found}" if key else what
    return f"{place}: {message[0].lower()}{message[1:]}; correct it (see {keys})"


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _known_keys(record: type[Frozen]) -> set[str]:
    schema = record.model_json_schema()
    return set(schema["properties"]).union(*(part.get("properties", {}) for part in schema["$defs"].values()))


def parse_study(text: str, *, origin: str) -> Study:
    """Read a study from TOML text.

    Parameters
    ----------
    text : str
        The file's content.
    origin : str
        The file's name, for messages.

    Returns
    -------
    Study
        The checked study.

    Raises
    ------
    InputError
        Naming every wrong key with its value and a remedy.
    """
    return parse_toml(text, Study, what="study", origin=origin, keys="`fly64dask schema`")
