"""Publishing: a file or directory is whole or absent, whoever dies, whoever else writes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings, strategies as st

from fly64dask.base import InputError, StorageError
from fly64dask.store import (
    publish_bytes,
    publish_link,
    publish_text,
    published_directory,
    remove_leftover_files,
    remove_leftovers,
    retire_directory,
)

N_FILES = 20
WHOLE = {str(number): "content" for number in range(N_FILES)}
# Each program names its steps on stdout and, at the step given last, waits to be killed.
REACH = """
import sys, time
from pathlib import Path
from fly64dask.store.atomic import publish_bytes, published_directory

def reach(step):
    print(step, flush=True)
    if step == sys.argv[-1]:
        time.sleep(600)
"""
PUBLISH_DIRECTORY = f"""
{REACH}
with published_directory(Path(sys.argv[1]), scratch=Path(sys.argv[2])) as work:
    for number in range({N_FILES}):
        reach(f"file {{number}}")
        (work / str(number)).write_text("content")
    reach("filled")
reach("published")
"""
# Each of these dies by its own SIGKILL just before the n-th line that it would run of publish.py.
DIE_AT_LINE = """
import os, signal, sys
from pathlib import Path
from fly64dask.store import atomic

left = int(sys.argv[2])

def trace(frame, event, argument):
    global left
    if frame.f_code.co_filename != atomic.__file__:
        return None
    if event == "line":
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    return trace

folder = Path(sys.argv[1])
sys.settrace(trace)
"""
DIE_PUBLISHING_DIRECTORY = f"""
{DIE_AT_LINE}
with atomic.published_directory(folder / "target", scratch=folder / "scratch") as work:
    (work / "a").write_text("content")
    (work / "b").write_text("content")
"""
DIE_REPLACING_FILE = f"""
{DIE_AT_LINE}
atomic.publish_text(folder / "file", "new")
"""
REPLACE_FILE = f"""
{REACH}
def write(stream):
    stream.write(b"half of ")
    stream.flush()
    reach("half")
    stream.write(b"the new content")

publish_bytes(Path(sys.argv[1]), write)
reach("published")
"""


def tree(root: Path) -> dict[str, str]:
    """Every file below a directory, by its relative path, with its text."""
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def kill_at(step: str, program: str, *arguments: object) -> int:
    """Start a program, send it SIGKILL once it has named a step, and return its exit status."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip() == step:
                os.kill(child.pid, signal.SIGKILL)
                break
    return child.returncode


def die_at_each_line(program: str, folder: Path, check: Callable[[Path], object]) -> list[object]:
    """Run a program in a new folder for each line it can die at, and collect what was left of each run."""
    found: list[object] = []
    status = -signal.SIGKILL
    while status == -signal.SIGKILL:
        line = len(found)
        place = folder / str(line)
        place.mkdir()
        (place / "file").write_text("old")
        status = subprocess.run([sys.executable, "-c", program, place, str(line)], check=False, timeout=300).returncode
        found.append(check(place))
    assert status == 0
    return found


def fill(work: Path, text: str = "content") -> None:
    (work / "inner").mkdir()
    (work / "a").write_text(text)
    (work / "inner" / "b").write_text(text)


def test_published_directory_has_what_was_written(tmp_path: Path) -> None:
    with published_directory(tmp_path / "deep" / "target", scratch=tmp_path / "scratch") as work:
        fill(work)
    assert tree(tmp_path / "deep" / "target") == {"a": "content", "inner/b": "content"}


def test_published_directory_leaves_no_rubbish(tmp_path: Path) -> None:
    with published_directory(tmp_path / "target", scratch=tmp_path / "scratch") as work:
        fill(work)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_published_directory_is_absent_until_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with published_directory(target, scratch=tmp_path / "scratch") as work:
        fill(work)
        assert not target.exists()
    assert target.is_dir()


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
def test_published_directory_leaves_nothing_when_the_block_raises(tmp_path: Path, error: type[BaseException]) -> None:
    scratch = tmp_path / "scratch"

    def publish() -> None:
        with published_directory(tmp_path / "target", scratch=scratch) as work:
            fill(work)
            raise error

    with pytest.raises(error):
        publish()
    assert list(tmp_path.iterdir()) == [scratch]
    assert list(scratch.iterdir()) == []


def test_published_directory_keeps_the_first_writer(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with published_directory(target, scratch=tmp_path / "scratch") as late:
        fill(late, "late")
        with published_directory(target, scratch=tmp_path / "scratch") as early:
            fill(early, "early")
    assert tree(target) == {"a": "early", "inner/b": "early"}


def test_published_directory_drops_the_second_writer(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for text in ("early", "late"):
        with published_directory(target, scratch=tmp_path / "scratch") as work:
            fill(work, text)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_published_directory_replaces_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with published_directory(tmp_path / "target", scratch=tmp_path / "scratch") as work:
        fill(work)
    assert tree(tmp_path / "target") == {"a": "content", "inner/b": "content"}


def test_published_directory_raises_when_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    refused = pytest.raises(StorageError, match="target: Not a directory; make it writable, or give another place")
    with refused, published_directory(tmp_path / "target", scratch=tmp_path / "s") as work:
        fill(work)
    assert (tmp_path / "target").read_text() == "mine"
    assert list((tmp_path / "s").iterdir()) == []


def test_published_directory_is_of_one_writer_when_many_race(tmp_path: Path) -> None:
    target, together = tmp_path / "target", threading.Barrier(8)

    def write(text: str) -> None:
        with published_directory(target, scratch=tmp_path / "scratch") as work:
            fill(work, text)
            together.wait(timeout=300)

    writers = [threading.Thread(target=write, args=(str(number),)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert set(tree(target)) == {"a", "inner/b"}
    assert len(set(tree(target).values())) == 1
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("step", ["file 0", "file 7", "filled"])
def test_published_directory_leaves_target_absent_when_killed_in_the_block(tmp_path: Path, step: str) -> None:
    target, scratch = tmp_path / "target", tmp_path / "scratch"
    assert kill_at(step, PUBLISH_DIRECTORY, target, scratch, step) == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == [scratch]


def test_published_directory_is_absent_or_whole_when_killed_at_any_line(tmp_path: Path) -> None:
    whole = {"a": "content", "b": "content"}

    def target_of(folder: Path) -> object:
        return tree(folder / "target") if (folder / "target").exists() else None

    found = die_at_each_line(DIE_PUBLISHING_DIRECTORY, tmp_path, target_of)
    n_absent = found.count(None)
    assert n_absent > 10
    assert found == [None] * n_absent + [whole] * (len(found) - n_absent)


def test_published_directory_is_whole_when_killed_after_the_block(tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert kill_at("published", PUBLISH_DIRECTORY, target, tmp_path / "scratch", "published") == -signal.SIGKILL
    assert tree(target) == WHOLE


def test_published_directory_works_again_after_a_kill(tmp_path: Path) -> None:
    target, scratch = tmp_path / "target", tmp_path / "scratch"
    kill_at("file 7", PUBLISH_DIRECTORY, target, scratch, "file 7")
    with published_directory(target, scratch=scratch) as work:
        fill(work)
    assert tree(target) == {"a": "content", "inner/b": "content"}


def test_remove_leftovers_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    kill_at("file 7", PUBLISH_DIRECTORY, tmp_path / "target", tmp_path, "file 7")
    assert len(list(tmp_path.iterdir())) == 1
    remove_leftovers(tmp_path / "target", scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_remove_leftovers_leaves_what_a_living_process_is_filling(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PUBLISH_DIRECTORY, str(tmp_path / "target"), str(tmp_path), "file 7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while child.stdout.readline().strip() != "file 7":
            assert child.poll() is None
        before = tree(tmp_path)
        remove_leftovers(tmp_path / "target", scratch=tmp_path)
        after = tree(tmp_path)
        child.kill()
    assert after == before
    assert len(before) == 7


def test_remove_leftovers_leaves_what_this_process_is_filling(tmp_path: Path) -> None:
    with published_directory(tmp_path / "target", scratch=tmp_path) as work:
        fill(work)
        remove_leftovers(tmp_path / "target", scratch=tmp_path)
    assert tree(tmp_path / "target") == {"a": "content", "inner/b": "content"}


def test_remove_leftovers_leaves_everything_else(tmp_path: Path) -> None:
    kill_at("file 7", PUBLISH_DIRECTORY, tmp_path / "target", tmp_path, "file 7")
    (left,) = tmp_path.iterdir()
    prefix, digits = left.name[:-32], left.name[-32:]
    host = socket.gethostname()
    others = [
        left.name.replace("target", "other"),
        left.name.replace("target", "a.target"),
        left.name.replace(host, f"not-{host}"),
        left.name.replace("-", "_"),
        left.name[1:],
        f"{prefix}{digits[1:]}",
        f"{left.name}0",
        "target",
    ]
    for name in others:
        (tmp_path / name).mkdir()
    linked = tmp_path / f"{prefix}{'0' * 32}"
    linked.symlink_to(tmp_path / "target")
    file = tmp_path / f"{prefix}{'1' * 32}"
    file.write_text("")
    remove_leftovers(tmp_path / "target", scratch=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*others, linked.name, file.name}


def test_published_directory_leaves_nothing_when_no_descriptor_is_left(tmp_path: Path) -> None:
    program = """
import os, resource, sys
from pathlib import Path
from fly64dask.base.errors import StorageError
from fly64dask.store.atomic import published_directory

resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    with published_directory(Path(sys.argv[1], "target"), scratch=Path(sys.argv[1])):
        pass
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert "ulimit -n" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_remove_leftovers_needs_no_scratch_directory(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "target", scratch=tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_published_directory_is_whole_while_others_look_for_leftovers(tmp_path: Path) -> None:
    target, done = tmp_path / "target", threading.Event()

    def remove() -> None:
        while not done.is_set():
            remove_leftovers(target, scratch=tmp_path)

    removers = [threading.Thread(target=remove) for _ in range(3)]
    for remover in removers:
        remover.start()
    try:
        for _ in range(60):
            with published_directory(target, scratch=tmp_path) as work:
                fill(work)
            assert tree(target) == {"a": "content", "inner/b": "content"}
            shutil.rmtree(target)
    finally:
        done.set()
        for remover in removers:
            remover.join()
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_or_a_device_is_no_place_for_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="it is no plain file"):
        publish_bytes(pipe, lambda stream: stream.write(b"content"))
    assert pipe.is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


@given(st.binary(max_size=2000))
@settings(max_examples=30)
def test_publish_bytes_reads_back(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        publish_bytes(Path(folder, "file"), lambda stream: stream.write(content))
        assert Path(folder, "file").read_bytes() == content


@given(st.text(max_size=200))
@settings(max_examples=30)
def test_publish_text_reads_back_as_utf8(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        publish_text(Path(folder, "file"), text)
        assert Path(folder, "file").read_bytes() == text.encode("utf-8")


def test_publish_text_makes_the_directory(tmp_path: Path) -> None:
    publish_text(tmp_path / "deep" / "er" / "file", "text")
    assert (tmp_path / "deep" / "er" / "file").read_text() == "text"


def test_publish_bytes_leaves_only_the_file(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        publish_bytes(tmp_path / "file", lambda stream, content=content: stream.write(content))
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_publish_bytes_keeps_the_old_content_when_writing_raises(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "file").write_text("old")

    def write(stream: BinaryIO) -> None:
        stream.write(b"half of ")
        raise error

    with pytest.raises(error):
        publish_bytes(tmp_path / "file", write)
    assert tree(tmp_path) == {"file": "old"}


def test_publish_bytes_leaves_nothing_when_the_first_writing_raises(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        publish_text(tmp_path / "file", "\ud800")
    assert list(tmp_path.iterdir()) == []


def test_publish_bytes_keeps_the_old_content_when_killed_while_writing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    assert kill_at("half", REPLACE_FILE, tmp_path / "file", "half") == -signal.SIGKILL
    assert (tmp_path / "file").read_text() == "old"


def test_publish_text_leaves_old_or_new_content_when_killed_at_any_line(tmp_path: Path) -> None:
    found = die_at_each_line(DIE_REPLACING_FILE, tmp_path, lambda folder: (folder / "file").read_text())
    n_old = found.count("old")
    assert n_old > 5
    assert found == ["old"] * n_old + ["new"] * (len(found) - n_old)


def test_publish_link_makes_one_file_of_two(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "dated").write_text("new")
    publish_link(tmp_path / "file", tmp_path / "dated")
    assert os.path.samefile(tmp_path / "file", tmp_path / "dated")
    assert tree(tmp_path) == {"file": "new", "dated": "new"}


def test_publish_bytes_leaves_what_a_file_was_linked_with(tmp_path: Path) -> None:
    publish_text(tmp_path / "dated", "first")
    publish_link(tmp_path / "file", tmp_path / "dated")
    publish_text(tmp_path / "file", "second")
    assert tree(tmp_path) == {"file": "second", "dated": "first"}


def test_publish_link_copies_where_files_cannot_be_linked(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        assert os.stat(folder).st_dev != tmp_path.stat().st_dev
        Path(folder, "dated").write_text("new")
        publish_link(tmp_path / "file", Path(folder, "dated"))
    assert tree(tmp_path) == {"file": "new"}


def test_publish_bytes_has_the_new_content_when_killed_after(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    assert kill_at("published", REPLACE_FILE, tmp_path / "file", "published") == -signal.SIGKILL
    assert tree(tmp_path) == {"file": "half of the new content"}


def test_publish_text_shows_a_reader_whole_contents_only(tmp_path: Path) -> None:
    target, contents = tmp_path / "file", [str(digit) * 200_000 for digit in range(10)]
    publish_text(target, contents[0])
    seen, done = set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(target.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for content in contents * 5:
        publish_text(target, content)
    done.set()
    reader.join()
    assert seen <= set(contents)
    assert len(seen) > 1


def test_retire_directory_moves_the_whole_directory(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    fill(tmp_path / "old")
    retire_directory(tmp_path / "old", to=tmp_path / "history" / "attempt_001")
    assert tree(tmp_path) == {"history/attempt_001/a": "content", "history/attempt_001/inner/b": "content"}


def test_retire_directory_raises_when_the_place_is_taken(tmp_path: Path) -> None:
    for name in ("old", "taken"):
        (tmp_path / name).mkdir()
        fill(tmp_path / name, name)
    with pytest.raises(OSError, match="not empty"):
        retire_directory(tmp_path / "old", to=tmp_path / "taken")
    assert (tmp_path / "taken" / "a").read_text() == "taken"


def test_remove_leftover_files_removes_what_a_killed_writer_left_and_nothing_else(tmp_path: Path) -> None:
    left = tmp_path / "deep" / (".state-" + "0f" * 16)
    kept = [tmp_path / ".lock", tmp_path / "deep" / "state", tmp_path / "deep" / (".state-" + "0f" * 15)]
    left.parent.mkdir()
    for path in (left, *kept):
        path.write_text("x")
    remove_leftover_files(tmp_path)
    assert left.exists()
    remove_leftover_files(tmp_path, below=True)
    assert not left.exists()
    assert all(path.exists() for path in kept)
