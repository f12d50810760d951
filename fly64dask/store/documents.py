"""Write and read the records, tables and studies of a run as JSON files that carry a digest of themselves."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from fly64dask.base import Frozen, IntegrityError
from fly64dask.store.atomic import publish_bytes

DIGEST_KEY = "sha256"
# The last entry of a document, and its end.
ENDING = re.compile(rb'  "' + DIGEST_KEY.encode() + rb'": "([0-9a-f]{64})"\n}\n')
ENDING_BYTES = len(f'  "{DIGEST_KEY}": ""\n}}\n') + 64
# Version 0.1 made the digest in another way.
OTHER_BYTES = "does not match its SHA-256: it is damaged, or version 0.1 of fly64dask wrote it"
Document = TypeVar("Document", bound=Frozen)
Item = TypeVar("Item", bound=Frozen)
PIECE_BYTES = 2**20  # that are read at once of a long document


def write_document(path: Path, document: Frozen, *, long_lists: Mapping[str, Iterable[Frozen]] | None = None) -> None:
    """Write a document in one step, absent values left out, with a digest of its text as the last entry.

    Parameters
    ----------
    path : Path
        The file; replaced if it is there.
    document : Frozen
        What to write.
    long_lists : mapping of str to iterable of Frozen, optional
        Further entries of the document by name, written item by item, so that they need not be in memory.
    """
    parts = _parts(document, long_lists or {})
    publish_bytes(path, lambda file: file.writelines(part.encode() for part in parts))


def document_text(document: Frozen) -> str:
    """Write the text of a document as `write_document` writes it."""
    return "".join(_parts(document, {}))


def _parts(document: Frozen, long_lists: Mapping[str, Iterable[Frozen]]) -> Iterator[str]:
    """Give the text of a document piece by piece; the digest is of all that stands before it."""
    sha256 = hashlib.sha256()
    for part in _entries(document, long_lists):
        sha256.update(part.encode())
        yield part
    yield _ending(sha256.hexdigest())


def _entries(document: Frozen, long_lists: Mapping[str, Iterable[Frozen]]) -> Iterator[str]:
    """Give the opening brace and the entries: indented, but an item of a long list on one line."""
    yield "{\n"
    for name, value in document.model_dump(mode="json", exclude_none=True).items():
        indented = json.dumps(value, indent=2, allow_nan=False).replace("\n", "\n  ")
        yield f"  {json.dumps(name)}: {indented},\n"
    for name, items in long_lists.items():
        yield f"  {json.dumps(name)}: ["
        separator = "\n    "
        for item in items:
            yield separator + json.dumps(item.model_dump(mode="json", exclude_none=True), allow_nan=False)
            separator = ",\n    "
        yield "\n  ],\n"


def _ending(sha256: str) -> str:
    return f'  "{DIGEST_KEY}": "{sha256}"\n}}\n'


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
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _damaged(path, f"cannot be read ({error})", remedy) from error
    ending = ENDING.fullmatch(content[-ENDING_BYTES:])
    if ending is None:
        raise _damaged(path, f"is not a {model.__name__} with its SHA-256", remedy)
    before = content[:-ENDING_BYTES]
    if ending[1].decode() != hashlib.sha256(before).hexdigest():
        raise _damaged(path, OTHER_BYTES, remedy)
    try:
        # Parsed and checked in one go: of ten thousand records that is the time that counts.
        return model.model_validate_json(before.rstrip().removesuffix(b",") + b"}")
    except ValidationError as error:
        raise _of_other_schema(path, error, remedy) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LongDocument:
    """A document with long lists, of which one item at a time is in memory; every byte of it was as it was written.

    `lists` are the names of its long lists, `remedy` is what to do if it is damaged.
    """

    path: Path
    lists: tuple[str, ...]
    remedy: str

    @classmethod
    def opened(cls, path: Path, *, lists: Iterable[str], remedy: str) -> LongDocument:
        """Check a document by its digest.

        Raises
        ------
        FileNotFoundError
            If there is none.
        IntegrityError
            If a byte differs.
        """
        try:
            with path.open("rb") as stream:
                size = stream.seek(0, 2)
                stream.seek(max(0, size - ENDING_BYTES))
                ending = ENDING.fullmatch(stream.read())
                if ending is None:
                    raise _damaged(path, "is not a document with its SHA-256", remedy)
                stream.seek(0)
                sha256, left = hashlib.sha256(), size - ENDING_BYTES
                while left and (piece := stream.read(min(left, PIECE_BYTES))):
                    sha256.update(piece)
                    left -= len(piece)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _damaged(path, f"cannot be read ({error})", remedy) from error
        if ending[1].decode() != sha256.hexdigest():
            raise _damaged(path, OTHER_BYTES, remedy)
        return cls(path=path, lists=tuple(lists), remedy=remedy)

    def head(self, model: type[Document]) -> Document:
        """Read all but the long lists; raises IntegrityError if it is of another schema."""
        text = b"".join(line for name, line in self._lines() if name is None)
        return self._parsed(model, text.removesuffix(b"}\n").rstrip().removesuffix(b",") + b"}")

    def items(self, name: str, model: type[Item]) -> Iterator[Item]:
        """Read the items of one of the long lists; raises IntegrityError at one of another schema."""
        for of_list, line in self._lines():
            if of_list == name:
                yield self._parsed(model, line.rstrip().removesuffix(b","))

    def _lines(self) -> Iterator[tuple[str | None, bytes]]:
        """Give each line, with the name of the long list if it is an item of one; the digest is left out."""
        starts = {f"  {json.dumps(name)}: [\n".encode(): name for name in self.lists}
        inside = None
        with self.path.open("rb") as stream:
            for line in stream:
                if inside is not None:
                    if line.startswith(b"    "):
                        yield inside, line
                    else:
                        inside = None
                elif line in starts:
                    inside = starts[line]
                elif not line.startswith(f'  "{DIGEST_KEY}"'.encode()):
                    yield None, line

    def _parsed(self, model: type[Document], text: bytes) -> Document:
        try:
            return model.model_validate_json(text)
        except ValidationError as error:
            raise _of_other_schema(self.path, error, self.remedy) from error


def document_schema(model: type[Frozen]) -> dict[str, Any]:
    """Give the JSON schema of a written document, its digest included."""
    schema = model.model_json_schema(mode="serialization")
    schema["properties"][DIGEST_KEY] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    return schema | {"required": [*schema.get("required", []), DIGEST_KEY]}


def _damaged(path: Path, what: str, remedy: str) -> IntegrityError:
    return IntegrityError(f"{path} {what}", remedy=remedy)


def _of_other_schema(path: Path, error: ValidationError, remedy: str) -> IntegrityError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return _damaged(path, f"does not have the schema of this version: {first}", remedy)
