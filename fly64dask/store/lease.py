"""Lock at an object store: one process holds it at a time, by a lease that it renews as long as it lives."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from fly64dask.base import InputError, StorageError, host_name, printable, utc_now
from fly64dask.store.objects import ObjectFacts, ObjectPlace

LOCK_KEY = "push.lock"
# A lock that nobody has renewed for so long is free (our choice: several renewals may fail or be late).
LEASE_S = 30.0
# Who has not renewed a lock for so long is not listed as its holder (our choice: clocks differ by less).
GONE_S = 300.0
LOOK_S = 2.0  # between two looks at a lock of another (our choice)


class Lease:
    """A held lock; `check` says whether it still is."""

    def __init__(self, place: ObjectPlace, holder: _Holder, *, tag: str, lease_s: float) -> None:
        self._place, self._holder, self._tag, self._lease_s = place, holder, tag, lease_s
        self._renewed_at = time.monotonic()
        self.is_lost = False  # another has it

    def renew(self, *, released: bool = False) -> None:
        """Say at the store that the lock is held on, or no longer."""
        asked_at = time.monotonic()
        tag = self._place.replace(LOCK_KEY, self._holder.words(released=released), tag=self._tag)
        if tag is None:  # the answer to an earlier try may have been lost
            found = self._place.read_tagged(LOCK_KEY)
            if found is None or json.loads(found[0]).get("token") != self._holder.token:
                self.is_lost = True
                return
            tag = found[1]
        self._tag, self._renewed_at = tag, asked_at

    def check(self) -> None:
        """Raise InputError if another has the lock by now, StorageError if another may have it."""
        if self.is_lost:
            raise InputError(
                f"write to {self._place.url}: another process has taken the lock, which was not renewed in time",
                remedy="wait for that process, then run the same command again; what was written stays",
            )
        if time.monotonic() - self._renewed_at > self._lease_s:
            raise StorageError(
                f"write to {self._place.url}: the lock could not be renewed for {self._lease_s:.0f} s",
                remedy="run the same command again when the store answers; what was written stays",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holder:
    """Who holds a lock: `token` names one time of holding it, `directory` the directory of who does."""

    directory: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    since: str = field(default_factory=utc_now)

    def words(self, *, released: bool = False) -> bytes:
        """Give what the object of the lock holds: other bytes each time, so that the tag of a renewed one differs."""
        facts = {"host": host_name(), "pid": os.getpid(), **asdict(self), "released": released}
        facts["renewal"] = uuid.uuid4().hex
        return json.dumps(facts).encode()

    def is_after(self, words: Mapping[str, Any]) -> bool:
        """Whether an earlier holder is known to be gone: it said so, or it held this directory, which we hold now."""
        same = self.directory and (words.get("directory"), words.get("host")) == (self.directory, host_name())
        return bool(same or words.get("released"))


@contextmanager
def held_place(
    place: ObjectPlace, *, lease_s: float = LEASE_S, patience_s: float | None = None, directory: str = ""
) -> Iterator[Lease]:
    """Hold the lock of a run at an object store for as long as the block lasts.

    Parameters
    ----------
    place : ObjectPlace
        The run.
    lease_s : float
        The holder renews it three times as often, and gives up if it could not for so long.
    patience_s : float, optional
        A lock of another that stays unchanged for so long is taken; `lease_s` by default.
    directory : str
        Name, like no other, of a directory of this host that this process holds: who held the lock with it has ended,
        and is not waited for.

    Raises
    ------
    InputError
        If a living process holds it, with its host, process id and since when.

    Notes
    -----
    Clocks of different machines are never compared: who wants the lock looks again and again.
    """
    holder = _Holder(directory=directory)
    tag = _acquire(place, holder, lease_s if patience_s is None else patience_s)
    lease = Lease(place, holder, tag=tag, lease_s=lease_s)
    ended = threading.Event()

    def keep_renewing() -> None:
        while not ended.wait(lease_s / 3):
            try:
                lease.renew()
            except StorageError:
                continue  # `check` tells when that has been so for too long

    renewing = threading.Thread(target=keep_renewing, name="lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        ended.set()
        renewing.join()
        with suppress(StorageError):  # then the lock is free when nobody has renewed it for long enough
            lease.renew(released=True)


def holder_at(place: ObjectPlace, lock: ObjectFacts) -> str | None:
    """Say, for people, who holds a lock; None if nobody does, or a process of this machine that is gone.

    Nor does one that has not renewed it for minutes, by the clocks of the store and of this machine.
    """
    import psutil

    content = place.read(lock.key)
    if content is None or time.time() - lock.changed_s > GONE_S:
        return None
    holder = json.loads(content)
    if holder["released"] or (holder["host"] == host_name() and not psutil.pid_exists(holder["pid"])):
        return None
    return _words(holder)


def _acquire(place: ObjectPlace, holder: _Holder, patience_s: float) -> str:
    """Take the lock; gives the tag of its object."""
    mine = holder.words()
    if not place.create(LOCK_KEY, mine):
        found = place.read_tagged(LOCK_KEY)
        if found is not None and found[0] != mine:
            # None if another was faster, or if the answer to an earlier try was lost: the object tells.
            place.replace(LOCK_KEY, mine, tag=_free_tag(place, found, holder, patience_s))
    found = place.read_tagged(LOCK_KEY)
    if found is None or found[0] != mine:
        raise _refused(place, found)
    return found[1]


def _free_tag(place: ObjectPlace, found: tuple[bytes, str], holder: _Holder, patience_s: float) -> str:
    """Wait until nobody has renewed a lock for so long; gives its tag. Raises InputError as soon as somebody does."""
    until = time.monotonic() + patience_s
    while not holder.is_after(json.loads(found[0])) and time.monotonic() < until:
        time.sleep(min(LOOK_S, patience_s / 10))
        again = place.read_tagged(LOCK_KEY)
        if again is None or (again[1] != found[1] and not holder.is_after(json.loads(again[0]))):
            raise _refused(place, again)
        found = again
    return found[1]


def _refused(place: ObjectPlace, found: tuple[bytes, str] | None) -> InputError:
    holder = json.loads(found[0]) if found else {}
    return InputError(f"write to {place.url}: another process is doing so ({_words(holder)})", remedy="wait for it")


def _words(holder: Mapping[str, Any]) -> str:
    return printable(f"host {holder.get('host')}, process {holder.get('pid')}, since {holder.get('since')}")
