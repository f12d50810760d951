"""Records, tables and studies of a run <-> JSON files that carry a digest of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from fly64dask.errors import IntegrityError
from fly64dask.publish import publish_text
from fly64dask.study import Frozen, digest

DIGEST_KEY = "sha256"
Document = TypeVar("Document", bound=Frozen)


def write_document(path: Path, document: Frozen) -> None:
    """Write a document in one step, indented, absent values left out, with a digest of the rest.

    Parameters
    ----------
    path : Path
        The file; replaced if it is there.
    document : Frozen
        What to write.
    """
    content: dict[str, Any] = document.model_dump(mode="json", exclude_none=True)
    publish_text(path, _text(content | {DIGEST_KEY: digest(content)}))


def read_document(path: Path, model: type[Document], *, remedy: str) -> Document:
    """Read a document, every byte of it as it was written.

    Parameters
    ----------
    path : Path
        The file.
    model : type of Frozen
        What it holds.
    remedy : str
        What to do if it is damaged.

    Returns
    -------
    Document

    Raises
    ------
    FileNotFoundError
        If there is none.
    IntegrityError
        If a byte differs, or it is of another schema.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, f"cannot be read ({error})", remedy) from error
    try:
        content = json.loads(text)
        stated = content.pop(DIGEST_KEY)
    except (ValueError, RecursionError, KeyError, AttributeError, TypeError) as error:
        raise _damaged(path, f"is not a {model.__name__} ({type(error).__name__}: {error})", remedy) from error
    # The digest is of values; spelt in another way they would have the same one.
    if stated != digest(content) or text != _text(content | {DIGEST_KEY: stated}):
        raise _damaged(path, "does not match its SHA-256", remedy)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _damaged(path, f"is not of this version's schema: {first}", remedy) from error


def document_schema(model: type[Frozen]) -> dict[str, Any]:
    """JSON schema of a written document, its digest included."""
    schema = model.model_json_schema(mode="serialization")
    schema["properties"][DIGEST_KEY] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    return schema | {"required": [*schema.get("required", []), DIGEST_KEY]}


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _damaged(path: Path, what: str, remedy: str) -> IntegrityError:
    return IntegrityError(f"{path} {what}", remedy=remedy)
