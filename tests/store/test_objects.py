"""Objects of a run at a store: put in one step, created once, replaced only as they were seen; and the lock there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from object_store import environment, s3_server
from obstore.store import MemoryStore

from fly64dask.base import InputError, NoRoomError, StorageError
from fly64dask.store import ObjectPlace, held_place, open_place
from fly64dask.store.lease import Lease


@pytest.fixture(scope="module")
def s3() -> Iterator[None]:
    with s3_server() as variables, environment(variables):
        yield


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.process)])
def place(request: pytest.FixtureRequest) -> ObjectPlace:
    """An empty place: in this process, or at a real S3 server."""
    if request.param == "memory":
        return in_memory()
    request.getfixturevalue("s3")
    return open_place(f"s3://bucket/{abs(hash(request.node.name))}")


def in_memory() -> ObjectPlace:
    return ObjectPlace("memory://", MemoryStore())


def test_an_object_reads_back_and_is_listed_until_it_is_deleted(place):
    place.write("a/b.json", b"one")
    place.write("a/b.json", b"two")
    assert (place.read("a/b.json"), place.read("a"), place.keys("a")) == (b"two", None, ["a/b.json"])
    place.delete("a/b.json")
    place.delete("a/b.json")
    assert (place.read("a/b.json"), place.keys()) == (None, [])


def test_a_file_is_put_and_downloaded(place, tmp_path):
    (tmp_path / "up").write_bytes(bytes(range(256)) * 1000)
    place.write("file", tmp_path / "up")
    assert place.download("file", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == bytes(range(256)) * 1000
    assert not place.download("nothing", tmp_path / "none")


def test_a_full_disk_is_not_taken_for_a_failure_of_the_store(place):
    place.write("file", b"some")
    with pytest.raises(NoRoomError, match=r"write /dev/full: No space left on device; .* are free; make space"):
        place.download("file", Path("/dev/full"))


def test_an_object_is_created_once(place):
    assert place.create("record", b"first")
    assert not place.create("record", b"second")
    assert place.read("record") == b"first"


def test_of_many_who_create_an_object_at_once_one_succeeds(place):
    created = []
    threads = [threading.Thread(target=lambda n=n: created.append(place.create("k", b"%d" % n))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False] * 7 + [True]


def test_an_object_is_replaced_only_as_it_was_seen(place):
    place.write("lock", b"one")
    seen, tag = place.read_tagged("lock")
    newer = place.replace("lock", b"two", tag=tag)
    assert (seen, newer is None) == (b"one", False)
    assert place.replace("lock", b"three", tag=tag) is None
    assert place.replace("lock", b"four", tag=newer) is not None
    assert place.read("lock") == b"four"


def test_a_held_place_refuses_another_with_the_holders_name(place):
    words = r"another process is doing so \(host .*, process \d+, since"
    with held_place(place, lease_s=1.0), pytest.raises(InputError, match=words), held_place(place, patience_s=60.0):
        pass


def test_a_place_is_free_when_its_holder_has_ended(place):
    for _ in range(3):
        with held_place(place) as lease:
            lease.check()


def test_the_lock_of_a_dead_holder_is_taken_when_nobody_renews_it(place):
    dead = held_place(place, lease_s=1000.0)
    dead.__enter__()  # never left
    with held_place(place, patience_s=0.2) as lease:
        lease.check()


def test_a_holder_who_was_taken_for_dead_is_told(place):
    with held_place(place, lease_s=0.3) as slow:
        place.write("push.lock", b'{"token": "of another"}')
        until(lambda: slow.is_lost)
        with pytest.raises(InputError, match="another process has taken the lock"):
            slow.check()


class LeavingStore:
    """A store that answers nobody while it is away."""

    def __init__(self, store: MemoryStore) -> None:
        self._store, self.is_away = store, False

    def __getattr__(self, name: str):
        if self.is_away:
            raise ConnectionError("nobody answers")
        return getattr(self._store, name)


def test_a_holder_whom_the_store_does_not_answer_is_told_until_it_answers():
    store = LeavingStore(MemoryStore())
    with held_place(ObjectPlace("memory://", store), lease_s=0.3) as lease:
        store.is_away = True
        threading.Event().wait(0.6)
        with pytest.raises(StorageError, match="the lock could not be renewed"):
            lease.check()
        store.is_away = False
        until(lambda: is_held(lease))


def is_held(lease: Lease) -> bool:
    with suppress(StorageError):
        lease.check()
        return True
    return False


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_lock_that_was_held_with_the_same_directory_is_taken_at_once(place):
    dead = held_place(place, lease_s=1000.0, directory="mine")
    dead.__enter__()  # never left
    with held_place(place, patience_s=1000.0, directory="mine") as lease:
        lease.check()


def test_a_lock_that_is_renewed_is_refused_before_the_patience_is_over(place):
    with (
        held_place(place, lease_s=0.3),
        pytest.raises(InputError, match="another process is doing so"),
        held_place(place, patience_s=60.0),
    ):
        pass


def test_a_store_that_cannot_be_reached_is_named(s3):
    with environment({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}):
        place = open_place("s3://bucket/run", retry_s=0.5)
    with pytest.raises(StorageError, match=r"read s3://bucket/run/study\.json: .*; check the URL"):
        place.read("study.json")


@pytest.mark.parametrize("url", ["runs/demo", "file:///tmp/x", "http://host/x", "s3:/bucket", ""])
def test_what_is_no_url_of_an_object_store_is_refused(url):
    with pytest.raises(InputError, match="begins with s3://, gs://, az://"):
        open_place(url)
