"""A run at an object store: it computes in a cache on this machine, and each cell is committed there as it ends."""

from __future__ import annotations

import math
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fly64dask.base import Failure, Fly64Error, StorageError, result_or_failure
from fly64dask.monitoring import CellEvent, CellOutcome, Notify, ignore_line
from fly64dask.runs.remote.attempts import STUDY_KEY
from fly64dask.runs.remote.cache import bring, cache_layout, held_cache, told
from fly64dask.runs.remote.committing import Committing
from fly64dask.runs.remote.incoming import Taking
from fly64dask.runs.remote.push import Copy
from fly64dask.runs.remote.refusals import refuse_foreign_place, refuse_other_study
from fly64dask.store import LEASE_S, RunLayout, held_place, open_place
from fly64dask.study import Cell

LOOK_S = 1.0  # between two looks whether the run is still this process's
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0  # between two tries at a store that does not answer (our choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a run at a store waits for what, in seconds (our choice).

    A single request is repeated for `request_s`; while the run goes on all are again and again, at its end for `end_s`.
    The lock of another machine that nobody renews for `lease_s` is taken.
    """

    request_s: float = 10.0
    end_s: float = 600.0
    lease_s: float = LEASE_S


@contextmanager
def run_at_store(
    url: str,
    name: str,
    *,
    say: Callable[[str], None] = ignore_line,
    patience: Patience | None = None,
    layout: RunLayout | None = None,
) -> Iterator[Mirror]:
    """Hold a run at an object store, and commit there what is committed in its cache while the block lasts.

    Parameters
    ----------
    url : str
        `s3://BUCKET/FOLDER` of this run alone, or `gs://...`, `az://...`.
    name : str
        Name of the study.
    say : callable
        Gets lines for a person.
    patience : Patience, optional
        How long it waits for what.
    layout : RunLayout, optional
        A directory that has all of the run, to compute in instead of the cache.

    Yields
    ------
    Mirror
        Its `layout` is the cache, with all records and exposures that are at the store; its `watching` wraps what is
        told of cells.

    Raises
    ------
    InputError
        If another process holds the run, here or elsewhere, or takes it from this one; or another study's run is there,
        or other objects and no run.
    StorageError
        If the store cannot be reached at the beginning; or at the end, for too long, with something left to commit.
        Nothing of it is lost: it stays in the cache, and the next run commits it.
    """
    patience = patience or Patience()
    place, cache = open_place(url, retry_s=patience.request_s), cache_layout(url)
    refuse_foreign_place(place, name, doing="run")
    with (
        held_cache(cache, url) as cache_name,
        held_place(place, lease_s=patience.lease_s, directory=cache_name) as lease,
    ):
        refuse_other_study(name, place, doing="run")
        there = place.tags()  # the lock is held: nobody else writes
        if layout is None and STUDY_KEY in there:
            told(bring(place, cache, Taking(files=False, into_cache=True), there), say)
        mirror = Mirror(Copy(place=place, layout=layout or cache, lease=lease, there=there), say)
        wait_s = 0.0
        has_closed = False
        try:
            try:
                yield mirror
                wait_s = patience.end_s
            finally:
                mirror.close(patience_s=wait_s)
            has_closed = True
        except KeyboardInterrupt:
            if mirror.has_interrupted:
                mirror.raise_what_is_left()
            raise
        finally:
            if not has_closed and not mirror.has_interrupted:
                mirror.say_what_is_left()
        mirror.raise_what_is_left()


class Mirror:
    """Commits to a store what a run commits in its cache, in a thread of its own, for which no cell waits.

    While the store does not answer, cells stay in the cache, and are committed when it does. Where another process has
    taken the run, or what is there contradicts the cache, the main thread is interrupted, as by Ctrl-C.
    """

    def __init__(self, copy: Copy, say: Callable[[str], None]) -> None:
        self.layout: RunLayout = copy.layout
        self.has_interrupted = False
        self._copy, self._say = copy, say
        self._ended_cells: queue.SimpleQueue[Cell | None] = queue.SimpleQueue()
        self._committing = Committing(copy)
        self._until = math.inf
        self._is_away = False
        self._main_thread = threading.main_thread().ident or 0
        self._may_interrupt = threading.Lock() if threading.get_ident() == self._main_thread else None
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()

    def watching(self, notify: Notify, say: Callable[[str], None] | None = None) -> Notify:
        """Give what is to be told of a run's cells instead of `notify`, which gets the same; `say` replaces the own."""
        self._say = say or self._say

        def take(event: CellEvent) -> None:
            notify(event)
            if isinstance(event, CellOutcome) and event.committed:
                self._ended_cells.put(event.cell)

        return take

    def forget(self, paths: Sequence[Path]) -> None:
        """Delete at the store what lies there of files of the run, to have them committed anew."""
        for path in paths:
            self._copy.delete(path)

    def close(self, *, patience_s: float) -> None:
        """Commit what is left, tables last, and end; a store that does not answer is waited for so long."""
        self._until = time.monotonic() + patience_s
        with self._may_interrupt or nullcontext():
            self._is_closing.set()
        self._ended_cells.put(None)
        self._thread.join()

    def raise_what_is_left(self) -> None:
        """Raise the reason why something could not be committed, if there is such."""
        for error in self._committing.left.values():
            raise error

    def say_what_is_left(self) -> None:
        """Say the same, where there is another error to be raised."""
        for error in self._committing.left.values():
            self._say(str(error))

    def _work(self) -> None:
        failure = result_or_failure(self._commit_all, what="mirror")
        if isinstance(failure, Failure):
            what = f"commit to {self._copy.place.url}: {failure.message}"
            self._committing.left["mirror"] = Fly64Error(what, remedy="")
            self._interrupt()

    def _commit_all(self) -> None:
        """Commit cells as they end, and the rest at the end."""
        is_over = False
        while not is_over:
            batch = self._next_ended()
            is_over = None in batch
            if not self._patiently(partial(self._committing.commit, [cell for cell in batch if cell is not None])):
                return
        self._patiently(self._committing.commit_rest)

    def _next_ended(self) -> list[Cell | None]:
        """Wait for cells that have ended, None for the end of the run; after a while without, give none."""
        batch = []
        with suppress(queue.Empty):
            batch.append(self._ended_cells.get(timeout=LOOK_S))
            while True:
                batch.append(self._ended_cells.get_nowait())
        return batch

    def _patiently(self, commit: Callable[[], None]) -> bool:
        """Try to commit until the store answers, or the run is over and it was waited for; tells whether to go on."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                if self._copy.lease.is_lost:
                    self._copy.lease.check()
                commit()
            except StorageError as error:
                left_s = self._until - time.monotonic()
                if left_s <= 0:
                    self._committing.left["store"] = self._not_all(error)
                    return True
                self._say_away(error)
                self._wait(min(pause_s, left_s))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Fly64Error as error:
                # The run is another's, or contradicts what is there: nothing is won by going on.
                self._committing.left["store"] = error
                self._interrupt()
                return False
            else:
                self._committing.left.pop("store", None)
                self._say_back()
                return True

    def _wait(self, pause_s: float) -> None:
        """Wait, but no longer than until the run is over."""
        if self._is_closing.is_set():
            time.sleep(pause_s)
        else:
            self._is_closing.wait(pause_s)

    def _interrupt(self) -> None:
        """Interrupt the run, unless it is over; one outside of the main thread goes on to its end."""
        if self._may_interrupt is not None:
            with self._may_interrupt:
                if not self._is_closing.is_set() and callable(signal.getsignal(signal.SIGINT)):
                    self.has_interrupted = True
                    signal.pthread_kill(self._main_thread, signal.SIGINT)  # also where it waits for something

    def _not_all(self, error: StorageError) -> StorageError:
        return StorageError(
            f"{error.message}; what is committed in {self.layout.root} is not all at {self._copy.place.url}",
            remedy="run the same command again when the store answers: it commits there what is left",
        )

    def _say_away(self, error: StorageError) -> None:
        if not self._is_away:
            self._is_away = True
            self._say(f"{error.message}; cells go on in {self.layout.root} and are committed when the store answers")

    def _say_back(self) -> None:
        if self._is_away:
            self._is_away = False
            self._say(f"{self._copy.place.url} answers again: what has ended meanwhile is committed there")
