"""Lock at an object store: one process holds it at a time, by a lease that it renews as long as it lives."""

from __future__ import annotations

import json
import math
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fly64dask.base import InputError, StorageError, host_name, printable, utc_now
from fly64dask.store.objects import ObjectPlace

LOCK_KEY = "push.lock"
# A lock that nobody has renewed for so long is free (our choice: several renewals may fail or be late).
LEASE_S = 30.0


class Lease:
    """A held lock; `check` says whether it still is."""

    def __init__(self, place: ObjectPlace, *, tag: str, token: str, lease_s: float) -> None:
        self._place, self._tag, self._token, self._lease_s = place, tag, token, lease_s
        self._renewed_at = time.monotonic()

    def renew(self, *, released: bool = False) -> None:
        """Say at the store that the lock is held on, or no longer."""
        asked_at = time.monotonic()
        tag = self._place.replace(LOCK_KEY, _words_of(self._token, released=released), tag=self._tag)
        if tag is None:  # the answer to an earlier try may have been lost
            found = self._place.read_tagged(LOCK_KEY)
            if found is None or json.loads(found[0]).get("token") != self._token:
                self._renewed_at = -math.inf
                return
            tag = found[1]
        self._tag, self._renewed_at = tag, asked_at

    def check(self) -> None:
        """Raise InputError if another may hold the lock by now."""
        if time.monotonic() - self._renewed_at > self._lease_s:
            raise InputError(
                f"write to {self._place.url}: the lock was not renewed for {self._lease_s:.0f} s, or another has it",
                remedy="do it again: what was written stays",
            )


@contextmanager
def held_place(place: ObjectPlace, *, lease_s: float = LEASE_S, patience_s: float | None = None) -> Iterator[Lease]:
    """Hold the lock of a run at an object store for as long as the block lasts.

    Parameters
    ----------
    place : ObjectPlace
        The run.
    lease_s : float
        The holder renews it three times as often, and gives up if it could not for so long.
    patience_s : float, optional
        A lock of another that stays unchanged for so long is taken; `lease_s` by default.

    Raises
    ------
    InputError
        If a living process holds it, with its host, process id and since when.

    Notes
    -----
    Clocks of different machines are never compared: who wants the lock looks twice.
    """
    token = uuid.uuid4().hex
    lease = Lease(
        place, tag=_acquire(place, token, lease_s if patience_s is None else patience_s), token=token, lease_s=lease_s
    )
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


def _acquire(place: ObjectPlace, token: str, patience_s: float) -> str:
    """Take the lock; gives the tag of its object."""
    mine = _words_of(token)
    if not place.create(LOCK_KEY, mine):
        found = place.read_tagged(LOCK_KEY)
        if found is not None and json.loads(found[0]).get("token") != token:
            seen, tag = found
            if not json.loads(seen).get("released"):
                time.sleep(patience_s)
            taken = place.replace(LOCK_KEY, mine, tag=tag)
            if taken is None:
                raise _refused(place)
            return taken
    found = place.read_tagged(LOCK_KEY)
    if found is None or found[0] != mine:
        raise _refused(place)
    return found[1]


def _refused(place: ObjectPlace) -> InputError:
    holder = json.loads(place.read(LOCK_KEY) or b"{}")
    words = printable(f"host {holder.get('host')}, process {holder.get('pid')}, since {holder.get('since')}")
    return InputError(f"write to {place.url}: another process is doing so ({words})", remedy="wait for it")


def _words_of(token: str, *, released: bool = False) -> bytes:
    holder = {"host": host_name(), "pid": os.getpid(), "since": utc_now(), "token": token, "released": released}
    return json.dumps(holder).encode()
