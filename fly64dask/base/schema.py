"""The base class of every record, canonical JSON and its digest."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

# The heading of a section of a numpydoc docstring: a line of words above a line of dashes.
SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)


class Frozen(BaseModel):
    """A record: immutable, and an unknown key is an error.

    The validator of a class is built when its first record is made or read, because a command uses few of some 80
    classes. The JSON schema describes each key with the words of the Parameters section of the docstring.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the meaning of each key to the JSON schema of the record."""
        written = handler(core_schema)
        record = handler.resolve_ref_schema(written)
        if "description" in record:
            record["description"] = _sections(cls)[""]
        for key, meaning in meanings_of(cls).items():
            if key in record.get("properties", {}):
                record["properties"][key].setdefault("description", meaning)
        return written


def meanings_of(record: type[BaseModel]) -> dict[str, str]:
    """Read what the keys of a record mean from the Parameters of its numpydoc docstring and of its bases'.

    Parameters
    ----------
    record : type of a record
        The class.

    Returns
    -------
    dict of str
        The meaning of each key that the docstrings name, on one line.
    """
    meanings: dict[str, str] = {}
    for base in reversed(record.__mro__):
        names: list[str] = []
        for line in _sections(base).get("Parameters", "").splitlines():
            if not line.startswith(" "):
                names = line.partition(" : ")[0].split(", ")
                meanings |= dict.fromkeys(names, "")
            else:
                meanings |= {name: f"{meanings[name]} {line.strip()}".lstrip() for name in names}
    return meanings


def _sections(described: type) -> dict[str, str]:
    """Divide the docstring of a class by its headings; the text before the first heading has the key ""."""
    first, *others = SECTION.split(inspect.cleandoc(described.__dict__.get("__doc__") or ""))
    titles, texts = others[::2], others[1::2]
    return {"": first.strip()} | {title: text.strip("\n") for title, text in zip(titles, texts, strict=True)}


def build_records() -> None:
    """Build the validators of all record classes that are loaded by now, so that forked children need not."""
    classes: list[type[Frozen]] = [Frozen]
    for record in classes:
        classes += record.__subclasses__()
        record.model_rebuild()


def digest(document: Any) -> str:
    """Compute the SHA-256 of a JSON document with sorted keys: equal content, equal digest.

    Parameters
    ----------
    document : JSON-like
        Numbers, strings, lists and dicts.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hashlib.sha256(compact_json(document).encode()).hexdigest()


def compact_json(document: Any) -> str:
    """Write a document as JSON with sorted keys and no spaces, the form of which digests are computed."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
