"""The objects of one run at an object store: read, written in one step, created only if there is none yet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fly64dask.base import InputError, StorageError
from fly64dask.store.disk_errors import storing

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ObjectStore

SCHEMES = ("s3://", "gs://", "az://")
RETRY_S = 180.0  # as obstore has it


class ObjectFacts(NamedTuple):
    """The key of an object, its size, and when it was written by the clock of the store, in seconds since 1970."""

    key: str
    n_bytes: int
    changed_s: float


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """All objects below one URL, by their keys; each is put in one step, so a reader finds a whole one or none.

    Every method raises StorageError, with URL and key, if the store cannot be reached or refuses.
    """

    url: str
    store: ObjectStore

    def read(self, key: str) -> bytes | None:
        """Read an object; None if there is none."""
        found = self.read_tagged(key)
        return None if found is None else found[0]

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Read an object and the tag of this version of it, for `replace`; None if there is none."""
        with self._reaching("read", key):
            try:
                answer = self.store.get(key)
            except FileNotFoundError:
                return None
            return bytes(answer.bytes()), str(answer.meta["e_tag"])

    def download(self, key: str, path: Path) -> bool:
        """Read an object into a new file, piece by piece; False if there is none. What the disk refuses is named."""
        with self._reaching("read", key):
            try:
                answer = self.store.get(key)
            except FileNotFoundError:
                return False
        with storing(path), path.open("wb") as stream:
            stream.writelines(self._pieces(key, answer))
        return True

    def _pieces(self, key: str, answer: GetResult) -> Iterator[bytes]:
        with self._reaching("read", key):
            for piece in answer.stream():
                yield bytes(piece)

    def write(self, key: str, content: bytes | Path) -> None:
        """Put an object, whatever is there: bytes, or what a file holds."""
        with self._reaching("write", key):
            self.store.put(key, content)

    def create(self, key: str, content: bytes) -> bool:
        """Put an object if there is none, in one step with finding out; False if there is one."""
        from obstore.exceptions import AlreadyExistsError

        with self._reaching("write", key):
            try:
                self.store.put(key, content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    def replace(self, key: str, content: bytes, *, tag: str) -> str | None:
        """Put an object if the one there has a tag, in one step with finding out; its new tag, None if it has not."""
        from obstore.exceptions import PreconditionError

        with self._reaching("write", key):
            try:
                put = self.store.put(key, content, mode={"e_tag": tag}, use_multipart=False)
            except (PreconditionError, FileNotFoundError):
                return None
            return str(put["e_tag"])

    def keys(self, prefix: str = "") -> list[str]:
        """List the keys of all objects below a prefix, which is whole parts of a key."""
        return list(self.tags(prefix))

    def tags(self, prefix: str = "") -> dict[str, str]:
        """List the keys of all objects below a prefix, each with the tag of its version."""
        with self._reaching("list", prefix):
            return {found["path"]: str(found["e_tag"]) for page in self.store.list(prefix or None) for found in page}

    def facts(self) -> Iterator[ObjectFacts]:
        """List all objects, each with its size and age."""
        with self._reaching("list", ""):
            for page in self.store.list():
                for found in page:
                    yield ObjectFacts(found["path"], found["size"], found["last_modified"].timestamp())

    def holds(self, key: str, content: bytes, *, tag: str | None) -> bool:
        """Whether an object has a content; asked by its tag, None for no object, where that is the content's MD5."""
        if tag is None:
            return False
        return tag == tag_of(content) or self.read(key) == content

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens if there is none."""
        with self._reaching("delete", key):
            try:
                self.store.delete(key)
            except FileNotFoundError:
                return

    @contextmanager
    def _reaching(self, doing: str, key: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            why = str(error).partition("\n")[0]
            raise StorageError(
                f"{doing} {self.url}/{key}: {why}",
                remedy="check the URL, the variables of the store (for S3 AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
                "AWS_REGION, AWS_ENDPOINT_URL) and the network, and do it again",
            ) from error


def is_url(words: object) -> bool:
    """Whether words name a place by a URL, also by one that lost a slash as a path, and no file."""
    return re.match(r"[a-z][a-z0-9+.-]+:/", str(words)) is not None


def tag_of(content: bytes) -> str:
    """Give the tag that S3 has for an object that was put in one piece: other stores, and encrypted ones, differ."""
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def open_place(url: str, *, retry_s: float = RETRY_S) -> ObjectPlace:
    """Open the objects below a URL, of which nothing is asked yet.

    Parameters
    ----------
    url : str
        `s3://BUCKET/FOLDER`, `gs://...` or `az://...`. Who asks, and where that is, say the environment variables of
        the store.
    retry_s : float
        A request that the store does not answer, or with an error of its own, is repeated for so long.

    Raises
    ------
    InputError
        If obstore is not installed, or it is no such URL.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        raise InputError(
            f"open {url}: {error}", remedy="install what reaches object stores: pip install 'fly64dask[objects]'"
        ) from error
    url = url.rstrip("/")
    if not url.startswith(SCHEMES):
        raise InputError(
            f"open {url}: this is not the URL of an object store",
            remedy=f"give one that begins with {', '.join(SCHEMES)}",
        )
    try:
        return ObjectPlace(
            url, from_url(url, retry_config={"max_retries": 100, "retry_timeout": timedelta(seconds=retry_s)})
        )
    except (BaseError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise InputError(f"open {url}: {why}", remedy="give a URL as s3://BUCKET/FOLDER") from error
