"""How long what finds no room waits, and for what it does not wait."""

from __future__ import annotations

import time

import pytest

from fly64dask.base import Failure, FailureKind
from fly64dask.cells import RoomWait

NO_ROOM = Failure(kind=FailureKind.STORAGE_FAILED, message="write record.json: No space left on device", room_bytes=1)
NO_RIGHT = Failure(kind=FailureKind.STORAGE_FAILED, message="write record.json: Permission denied")


@pytest.fixture
def naps(monkeypatch):
    """The seconds of each nap, of which none is taken."""
    taken = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


def wait_of(folder, **changes):
    return RoomWait(**{"folder": folder, "patience_s": 60.0, "what": "a test", "say": lambda reason: None} | changes)


@pytest.mark.parametrize("result", [None, "a record", NO_RIGHT])
def test_room_wait_helps_against_nothing_else(tmp_path, naps, result):
    assert not wait_of(tmp_path).helps(result)
    assert naps == []


@pytest.mark.parametrize("changes", [{"patience_s": 0.0}, {"stopped": lambda: True}])
def test_room_wait_does_not_begin_without_patience_or_when_stopped(tmp_path, naps, changes):
    assert not wait_of(tmp_path, **changes).helps(NO_ROOM)
    assert naps == []


def test_room_wait_takes_longer_each_time_that_room_was_not_all(tmp_path, naps):
    room, sums = wait_of(tmp_path), []
    for _ in range(8):
        naps.clear()
        assert room.helps(NO_ROOM)
        sums.append(sum(naps))
    assert sums == [1, 2, 4, 8, 16, 32, 60, 60]
