"""Reads a checked record from TOML text, or names every fault in it."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fly64dask.base import Frozen, InputError
from fly64dask.study.model import Study
from fly64dask.study.recipes import with_half_sets, with_shared_settings

Record = TypeVar("Record", bound=Frozen)

# Keys that study files had, and what they are called now.
RENAMED = {"overlap_fraction": "array_overlap"}


def parse_toml(
    text: str,
    record: type[Record],
    *,
    what: str,
    origin: str,
    keys: str,
    complete: Callable[[dict[str, object]], dict[str, object]] = dict,
) -> Record:
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
    complete : callable
        Adds to the file's content what it says once for several tables of a list.

    Raises
    ------
    InputError
        Naming every wrong key with its value and a remedy.
    """
    try:
        written = tomllib.loads(text)
        document = complete(written)
        # Through JSON: strict there still makes tuples of lists, but no number of true or of "5".
        as_json = json.dumps(document, default=str)
    # Integers of more than 4300 digits are a plain ValueError, in decimal above and in hexadecimal below.
    except (ValueError, RecursionError) as error:
        raise InputError(f"read {what} {origin}: not valid TOML: {error}", remedy="correct that line") from error
    try:
        return record.model_validate_json(as_json, strict=True)
    except ValidationError as error:
        all_faults = error.errors(include_url=False)
        # A list whose only item is wrong is reported as too short as well.
        outer = [fault["loc"][:depth] for fault in all_faults for depth in range(len(fault["loc"]))]
        faults = "\n".join(
            f"  {_describe_fault(fault, document, record, what, keys)}"
            for fault in all_faults
            if not (fault["type"] == "too_short" and fault["loc"] in outer)
            and not _is_taken_over(fault["loc"], written, document)
        )
        raise InputError(f"read {what} {origin}:\n{faults}", remedy="") from error


def _key_of(place: tuple[int | str, ...], document: object) -> str:
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


def _is_taken_over(place: tuple[int | str, ...], written: object, document: object) -> bool:
    """Whether a fault is of a value that a table of a list has from another place of the file, where it is named."""
    for part in place:
        if isinstance(part, int) and isinstance(document, list) and isinstance(written, list) and part < len(document):
            written, document = written[part], document[part]
        elif isinstance(document, dict) and isinstance(written, dict) and part in document:
            if part not in written:
                return True
            written, document = written[part], document[part]
    return False


def _owner(place: tuple[int | str, ...], document: object) -> str:
    """The name of the table of a list that a fault is in, if it has one and that is not what is wrong."""
    name = None
    for part in place:
        if isinstance(part, int) and isinstance(document, list):
            document = document[part] if part < len(document) else None
            name = document.get("name") if isinstance(document, dict) else name
        elif isinstance(document, dict):
            document = document.get(part, document)
    return f", of {_shorten(name)}" if isinstance(name, str) and place[-1] != "name" else ""


def _quoted(part: int | str) -> str:
    """A key as it is where TOML needs no quotes around it, else quoted: a newline in it starts no line of ours."""
    text = str(part)
    return text if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", text) else _shorten(text)


def _tags(document: dict[str, object]) -> tuple[object, object]:
    return document.get("kind"), document.get("rule")


def _describe_fault(fault: ErrorDetails, document: object, record: type[Frozen], what: str, keys: str) -> str:
    """One line for one wrong key: where, what was found, what is needed, what to do."""
    key, owner = _key_of(fault["loc"], document), _owner(fault["loc"], document)
    value = _shorten(fault["input"])
    if fault["type"] == "extra_forbidden":
        unknown = str(fault["loc"][-1])
        if unknown in RENAMED:
            return f"{key} = {value}: this key is now called {RENAMED[unknown]!r}; rename it (see {keys})"
        close = difflib.get_close_matches(unknown, sorted(_known_keys(record)), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{key} = {value}{owner}: unknown key{hint}; remove it or see {keys}"
    if fault["type"] == "missing":
        return f"{key}{owner}: missing; add it (see {keys})"
    message = fault["msg"].removeprefix("Value error, ")
    prefix = f"{key} = {value}{owner}" if key else what
    return f"{prefix}: {message[0].lower()}{message[1:]}; correct it (see {keys})"


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _known_keys(record: type[Frozen]) -> set[str]:
    schema = record.model_json_schema()
    return set(schema["properties"]).union(*(part.get("properties", {}) for part in schema["$defs"].values()))


def _completed(document: dict[str, object]) -> dict[str, object]:
    return with_shared_settings(with_half_sets(document))


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
    keys = "`fly64dask schema`"
    return parse_toml(text, Study, what="study", origin=origin, keys=keys, complete=_completed)
