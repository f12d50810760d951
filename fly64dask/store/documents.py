"""Write and read the records, tables and studies of a run as JSON files that carry a digest of themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import ValidationError

from fly64dask.base import Frozen, IntegrityError, compact_json, digest
from fly64dask.store.atomic import publish_bytes, publish_text

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
    publish_text(path, document_text(document))


def document_text(document: Frozen) -> str:
    """Text of a document as `write_document` writes it."""
    content: dict[str, Any] = document.model_dump(mode="json", exclude_none=True)
    return _text(content | {DIGEST_KEY: digest(content)})


def write_streamed(path: Path, document: Frozen, lists: Mapping[str, Callable[[], Iterable[Frozen]]]) -> None:
    """Write a document whose longest lists are not in memory; the same bytes as `write_document` writes.

    Parameters
    ----------
    path : Path
        The file; replaced if it is there.
    document : Frozen
        What to write, without the items of these lists.
    lists : mapping of str to callable
        For each such field what gives its items; called twice, as the digest is of sorted keys.
    """
    content: dict[str, Any] = document.model_dump(mode="json", exclude_none=True)

    def items(name: str) -> Iterator[Any]:
        return (item.model_dump(mode="json", exclude_none=True) for item in lists[name]())

    sha256 = hashlib.sha256()
    for part in _compact_parts(content, lists, items):
        sha256.update(part.encode())
    ending = {DIGEST_KEY: sha256.hexdigest()}
    publish_bytes(path, lambda file: _write_parts(file, _indented_parts(content | ending, lists, items)))


def _write_parts(file: BinaryIO, parts: Iterable[str]) -> None:
    for part in parts:
        file.write(part.encode())


def _compact_parts(
    content: Mapping[str, Any], lists: Collection[str], items: Callable[[str], Iterable[Any]]
) -> Iterator[str]:
    """The text that `study.digest` is of, piece by piece."""
    for number, name in enumerate(sorted(content)):
        yield ("," if number else "{") + json.dumps(name) + ":"
        if name in lists:
            yield "["
            for place, item in enumerate(items(name)):
                yield ("," if place else "") + compact_json(item)
            yield "]"
        else:
            yield compact_json(content[name])
    yield "}"


def _indented_parts(
    content: Mapping[str, Any], lists: Collection[str], items: Callable[[str], Iterable[Any]]
) -> Iterator[str]:
    """The text that `_text` gives, piece by piece."""
    for number, (name, value) in enumerate(content.items()):
        yield ",\n" if number else "{\n"
        if name in lists:
            is_empty = True
            for item in items(name):
                yield f"  {json.dumps(name)}: [\n    " if is_empty else ",\n    "
                yield json.dumps(item, indent=2, allow_nan=False).replace("\n", "\n    ")
                is_empty = False
            yield f"  {json.dumps(name)}: []" if is_empty else "\n  ]"
        else:
            yield json.dumps({name: value}, indent=2, allow_nan=False)[2:-2]
    yield "\n}\n"


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
