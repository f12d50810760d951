"""The directory of this machine in which a run at an object store is computed, and read."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from fly64dask.monitoring import ignore_line
from fly64dask.records import read_run_study
from fly64dask.runs.remote.attempts import STUDY_KEY, Copied
from fly64dask.runs.remote.files import take_files
from fly64dask.runs.remote.incoming import Incoming, Taking
from fly64dask.runs.remote.pull import pull_from
from fly64dask.runs.verify import Damage, verify_run
from fly64dask.store import HeldError, ObjectPlace, RunLayout, held_file, is_held, open_place, publish_text, storing
from fly64dask.study import cells

CACHE_VARIABLE = "FLY64DASK_CACHE"
Result = TypeVar("Result")
# A person who looks at a run waits for so long for a store that does not answer (our choice).
LOOK_RETRY_S = 20.0
LOOK_S = 0.2  # between two tries to hold a cache that another process reads
# A process that only looks holds a cache for the time of a look; one that brings a whole run takes longer.
PATIENCE_S = 600.0


def cache_layout(url: str) -> RunLayout:
    """Give the paths of the cache of a run at an object store; nothing is made.

    It lies below `FLY64DASK_CACHE`, or else below the user's own directory of caches, and is named by the URL.
    """
    base = os.environ.get(CACHE_VARIABLE)
    of_user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fly64dask" / "runs"
    folder = Path(base) if base else of_user
    words = re.sub(r"[^A-Za-z0-9_.-]+", "-", url.rstrip("/"))[-80:]
    name = f"{words}-{hashlib.sha256(url.rstrip('/').encode()).hexdigest()[:8]}"
    return RunLayout(Path(os.path.realpath(folder)) / name)


def has_run(url: str) -> bool:
    """Whether there is a run at a URL; raises StorageError if the store cannot be reached."""
    return open_place(url, retry_s=LOOK_RETRY_S).read(STUDY_KEY) is not None


def cached_run(url: str, *, files: bool = False, say: Callable[[str], None] = ignore_line) -> RunLayout:
    """Bring what is new of a run at an object store into its cache, to be read there.

    Parameters
    ----------
    url : str
        The run, as it was given to `fly64dask run` or `push`.
    files : bool
        Also exposures, and the arrays and logs of cells.
    say : callable
        Gets lines for a person: what is damaged at the store is left out and named.

    Returns
    -------
    RunLayout
        The cache. Where a run of this machine computes in it, it has what the store has, and more.

    Raises
    ------
    InputError
        If there is no run at the URL.
    StorageError
        If the store cannot be reached, or the disk is full.
    """
    place, layout = open_place(url, retry_s=LOOK_RETRY_S), cache_layout(url)
    if not is_held(layout.remote_lock_file):
        told(bring(place, layout, Taking(chunks=files, files=False, into_cache=True)), say)
    if files:
        name_damages(take_files(place, layout, cells(read_run_study(layout))), say)
    return layout


def bring(place: ObjectPlace, layout: RunLayout, taking: Taking, there: Mapping[str, str] | None = None) -> Copied:
    """Pull a run into its cache, once no other process of this machine does."""
    return when_free(lambda: pull_from(place, layout, taking, there))


def told(copied: Copied | Incoming, say: Callable[[str], None]) -> None:
    """Say what a copy has left out."""
    for words in copied.left_out:
        say(f"left out {words}")
    name_damages(copied.damaged, say)


def name_damages(damages: Iterable[Damage], say: Callable[[str], None]) -> None:
    """Say what is damaged at the store."""
    for damage in damages:
        say(f"damaged at the store, and left out: {damage.path}: {damage.problem}")


@contextmanager
def fetched_run(url: str) -> Iterator[tuple[RunLayout, tuple[Damage, ...]]]:
    """Bring all of a run at an object store into a new directory, for as long as the block lasts, and check it.

    Yields
    ------
    tuple of RunLayout and tuple of Damage
        The directory, and what is damaged at the store, of which it has nothing.
    """
    place, cache = open_place(url), cache_layout(url).root
    with storing(cache):
        cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{cache.name}-", dir=cache.parent) as folder:
        layout = RunLayout(Path(folder) / "run")
        copied = pull_from(place, layout, Taking(files=False, into_cache=True))
        study = read_run_study(layout)
        damaged = (*copied.damaged, *take_files(place, layout, cells(study)))
        named = {damage.path for damage in damaged}
        others = [
            damage.model_copy(update={"problem": damage.problem.replace(str(layout.root), url)})
            for damage in verify_run(study, layout)
            if damage.path not in named
        ]
        yield layout, (*damaged, *others)


@contextmanager
def held_cache(layout: RunLayout, url: str) -> Iterator[str]:
    """Hold the cache of a run at an object store to compute in it; gives the cache's name, like that of no other.

    Raises HeldError if another process of this machine computes in it.
    """
    with storing(layout.root):
        layout.root.mkdir(parents=True, exist_ok=True)
    with held_file(layout.remote_lock_file, what=f"run {url}"):
        if not layout.remote_id_file.exists():
            publish_text(layout.remote_id_file, uuid.uuid4().hex)
        yield layout.remote_id_file.read_text()


def when_free(call: Callable[[], Result]) -> Result:
    """Call what needs a cache that another process of this machine may hold for a while."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except HeldError:
            if time.monotonic() > until:
                raise
            time.sleep(LOOK_S)
