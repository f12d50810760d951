"""The base class of every record, canonical JSON and its digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A record: immutable, and an unknown key is an error.

    What checks a record is built when one is first made or read: of some 80 classes a command uses few.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def build_records() -> None:
    """Build what checks each class of records that is loaded by now, so that forked children need not."""
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
    """Write a document as JSON with sorted keys and no spaces, the form that digests are computed of."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
