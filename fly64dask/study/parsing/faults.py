"""Names the faults of a TOML file in the words of its keys, from what pydantic has found."""

from __future__ import annotations

import difflib
import re
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fly64dask.base import Frozen

# Keys that study files had, and what they are called now.
RENAMED = {"overlap_fraction": "array_overlap"}
# What a value must be, by the kind of pydantic's error, filled from the error's own numbers. Other errors keep
# pydantic's words, and those of our own checks are ours.
NEEDED = {
    "bool_type": "needed true or false",
    "dict_type": "needed a table",
    "finite_number": "needed a finite number",
    "float_type": "needed a number",
    "greater_than": "needed more than {gt:.12g}",
    "greater_than_equal": "needed at least {ge:.12g}",
    "int_from_float": "needed a whole number",
    "int_type": "needed a whole number",
    "less_than": "needed less than {lt:.12g}",
    "less_than_equal": "needed at most {le:.12g}",
    "literal_error": "needed {expected}",
    "model_attributes_type": "needed a table",
    "model_type": "needed a table",
    "string_too_long": "needed at most {max_length} characters",
    "string_too_short": "needed at least {min_length} characters",
    "string_type": "needed text in quotes",
    "too_long": "needed a list of at most {max_length}, found {actual_length}",
    "too_short": "needed a list of at least {min_length}, found {actual_length}",
    "tuple_type": "needed a list in brackets",
}
# Patterns of names, and how a person would say them.
PATTERNS = {
    r"^[a-z][a-z0-9_-]{0,63}$": "needed a name of a-z, 0-9, - and _ that begins with a letter, at most 64 characters",
    r"^[a-z][a-z0-9_]{0,31}$": "needed a name of a-z, 0-9 and _ that begins with a letter, at most 32 characters",
}


def describe_faults(
    error: ValidationError,
    written: object,
    document: object,
    record: type[Frozen],
    *,
    what: str,
    keys: str,
) -> list[str]:
    """Describe each wrong key of a file: where it is, what was found, what is needed, what to do, and what it means.

    Parameters
    ----------
    error : pydantic.ValidationError
        All that is wrong.
    written, document : object
        The file's content, and the same with what it says once for several tables.
    record : type
        What the file shall hold.
    what, keys : str
        What such a file is called, and where a person reads which keys there are.
    """
    all_faults = error.errors(include_url=False)
    # A list whose only item is wrong is reported as too short as well.
    outer = [fault["loc"][:depth] for fault in all_faults for depth in range(len(fault["loc"]))]
    faults = [
        fault
        for fault in all_faults
        if not (fault["type"] == "too_short" and fault["loc"] in outer)
        and not _is_taken_over(fault["loc"], written, document)
    ]
    meanings = [_meaning(fault, record) for fault in faults]
    return [
        _describe(fault, document, record, what, keys) + (meaning if meaning not in meanings[:number] else "")
        for number, (fault, meaning) in enumerate(zip(faults, meanings, strict=True))
    ]


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


def _describe(fault: ErrorDetails, document: object, record: type[Frozen], what: str, keys: str) -> str:
    key, owner = _key_of(fault["loc"], document), _owner(fault["loc"], document)
    value = _shorten(fault["input"])
    if fault["type"] == "extra_forbidden":
        unknown = str(fault["loc"][-1])
        if unknown in RENAMED:
            return f"{key} = {value}: this key is now called {RENAMED[unknown]!r}; rename it (see {keys})"
        close = _closest_key(fault["loc"], record)
        hint = f"; did you mean {close!r}?" if close else ""
        return f"{key} = {value}{owner}: unknown key{hint}; remove it or see {keys}"
    if fault["type"] == "missing":
        return f"{key}{owner}: missing; add it (see {keys})"
    context = fault.get("ctx", {})
    if fault["type"] == "union_tag_not_found":
        return f"{key}.{_unquoted(context)}{owner}: missing; add it (see {keys})"
    if fault["type"] == "union_tag_invalid":
        tags = _either(context["expected_tags"])
        return f"{key}.{_unquoted(context)} = {_shorten(context['tag'])}{owner}: needed {tags}; correct it (see {keys})"
    prefix = f"{key} = {value}{owner}" if key else what
    return f"{prefix}: {_needed(fault, document)}; correct it (see {keys})"


def _needed(fault: ErrorDetails, document: object) -> str:
    """What a value must be."""
    context = fault.get("ctx", {})
    if fault["type"] == "tuple_type" and isinstance(fault["input"], dict):
        return f"needed a list of tables, each under [[{_key_of(fault['loc'], document)}]]"
    if fault["type"] == "literal_error" and fault["loc"][-1] == "word":  # the other alternative is no word
        other = "a table [split]" if fault["loc"][0] == "split" else "a number without quotes"
        return f"needed {context['expected']}, or {other}"
    if context.get("pattern") in PATTERNS:
        return PATTERNS[context["pattern"]]
    if fault["type"] in NEEDED:
        return NEEDED[fault["type"]].format(**context)
    message = fault["msg"].removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}"


def _unquoted(context: dict[str, object]) -> str:
    """The key that says which kind of table it is: pydantic has it in quotes."""
    return str(context["discriminator"]).strip("'")


def _either(tags: str) -> str:
    """The tags that pydantic lists, with `or` before the last."""
    return " or ".join(tags.rsplit(", ", 1))


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _meaning(fault: ErrorDetails, record: type[Frozen]) -> str:
    """A line that says what a wrong key means, or the key that a misspelt one is close to; empty for a whole table."""
    place = fault["loc"]
    if fault["type"] == "extra_forbidden":
        close = _closest_key(place, record)
        if close is None:
            return ""
        place = (*place[:-1], close)
    elif isinstance(fault["input"], dict) and fault["type"] != "missing":
        return ""
    # What follows the last key is the number of an item, or a word for an alternative.
    for depth in range(len(place), 0, -1):
        found = _keys_beside(place[:depth], record).get(str(place[depth - 1]))
        if found is not None:
            return f"\n    {place[depth - 1]}: {found['description']}" if "description" in found else ""
    return ""


def _closest_key(place: tuple[int | str, ...], record: type[Frozen]) -> str | None:
    """The key of the same table that is spelt most like an unknown one."""
    return next(iter(difflib.get_close_matches(str(place[-1]), sorted(_keys_beside(place, record)), n=1)), None)


def _keys_beside(place: tuple[int | str, ...], record: type[Frozen]) -> dict[str, Any]:
    """The keys that the table of a fault may have, with the JSON schema of each."""
    schema = record.model_json_schema()
    tables = _alternatives(schema, schema)
    for part in place[:-1]:
        inner = [entry for table in tables for entry in _entries(table, part)]
        # A part that no table has is a word of ours for one of the alternatives.
        tables = [table for entry in inner for table in _alternatives(entry, schema)] or tables
    return {key: entry for table in tables for key, entry in table.get("properties", {}).items()}


def _alternatives(entry: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What a value may be, one JSON schema for each."""
    if "$ref" in entry:
        return _alternatives(schema["$defs"][entry["$ref"].rpartition("/")[2]], schema)
    several = [*entry.get("anyOf", ()), *entry.get("oneOf", ()), *entry.get("allOf", ())]
    return [one for part in several for one in _alternatives(part, schema)] or [entry]


def _entries(table: dict[str, Any], part: int | str) -> list[dict[str, Any]]:
    """The schema of a key or of an item; that of the table itself where the part is the tag that chose it."""
    keys = table.get("properties", {})
    if part in keys:
        return [keys[part]]
    if isinstance(part, int):
        return [table["items"]] if "items" in table else []
    return [table] if any(key.get("const") == part for key in keys.values()) else []
