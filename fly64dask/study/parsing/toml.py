"""Reads a checked record from TOML text, or names every fault in it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from fly64dask.base import Frozen, InputError
from fly64dask.study.model import Study
from fly64dask.study.parsing.faults import describe_faults
from fly64dask.study.recipes import with_half_sets, with_shared_settings

Record = TypeVar("Record", bound=Frozen)
STUDY_KEYS = "`fly64dask schema`"


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
        raise InputError(f"read {what} {origin}: not valid TOML: {error}", remedy=_remedy(str(error))) from error
    try:
        return record.model_validate_json(as_json, strict=True)
    except ValidationError as error:
        lines = describe_faults(error, written, document, record, what=what, keys=keys)
        raise InputError(f"read {what} {origin}:\n" + "\n".join(f"  {line}" for line in lines), remedy="") from error


def _remedy(problem: str) -> str:
    """Say what to do about a line that is no TOML, by what tomllib says of it."""
    if "Invalid value" in problem:
        return "correct that line; a word needs quotes"
    twice = re.match(r"Cannot declare \((?P<names>'.+?),?\) twice", problem)
    if twice:
        name = ".".join(re.findall(r"'(.+?)'", twice["names"]))
        return f"give [{name}] once, or write [[{name}]] for each of several"
    return "correct that line"


def checked_study(study: Study) -> Study:
    """Check a study as if it came from a file: pydantic's `model_copy`, with which Python changes one, checks nothing.

    Parameters
    ----------
    study : Study
        Any, with values of any type.

    Returns
    -------
    Study
        The same, with the types that its fields have.

    Raises
    ------
    InputError
        Naming every wrong field with its value and a remedy.
    """
    if not isinstance(study, Study):
        raise InputError(f"check {study!r}: needed a Study", remedy="give fly64dask.Study.from_toml(PATH)")
    what = f"study {study.name!r}"
    try:
        as_json = study.model_dump_json(warnings=False)
        return Study.model_validate_json(as_json, strict=True)
    except PydanticSerializationError as error:
        raise InputError(f"check {what}: {error}", remedy="give it Python's own numbers and texts") from error
    except ValidationError as error:
        document = json.loads(as_json)
        lines = describe_faults(error, document, document, Study, what="study", keys=STUDY_KEYS)
        raise InputError(f"check {what}:\n" + "\n".join(f"  {line}" for line in lines), remedy="") from error


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
    return parse_toml(text, Study, what="study", origin=origin, keys=STUDY_KEYS, complete=_completed)
