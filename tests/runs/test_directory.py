"""A run directory whose disk is full for a while."""

from __future__ import annotations

import shutil

import pytest

from fly64dask.base import NoRoomError
from fly64dask.runs.directory import written_in_room
from fly64dask.store import RunLayout


@pytest.fixture
def full(tmp_path, monkeypatch):
    """A disk that is full as long as this holds something."""
    usage, filler = shutil.disk_usage(tmp_path), ["much"]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000) if filler else usage)
    return filler


def test_written_in_room_writes_again_once_there_is_room(tmp_path, full):
    said, written = [], []

    def say(line):
        said.append(line)
        full.clear()

    def write():
        if full:
            raise NoRoomError("write manifest: No space left on device", remedy="make space")
        written.append("manifest")

    written_in_room(RunLayout(tmp_path), 60.0, say, write)
    assert written == ["manifest"]
    assert said == [
        "disk: write manifest: No space left on device; make space; waiting until there is space",
        "disk: the wait for space is over",
    ]


def test_written_in_room_gives_up_when_there_was_none_for_long_enough(tmp_path, full):
    tries = []

    def write():
        tries.append("manifest")
        raise NoRoomError("write manifest: No space left on device", remedy="make space")

    with pytest.raises(NoRoomError, match="No space left"):
        written_in_room(RunLayout(tmp_path), 0.1, lambda line: None, write)
    assert tries == ["manifest"] * 2
