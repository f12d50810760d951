"""The small file of a running cell: there while it runs, gone when it has ended, and never worth a cell."""

from __future__ import annotations

import json
import math
import os
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from faulty_engine import ENGINE, FOLDER
from one_cell import run_one
from tiny import tiny_study

from fly64dask.base import Failure
from fly64dask.cells import Caller
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.monitoring import LiveCell, forget_live, live_file, read_live
from fly64dask.monitoring.live import SILENT_S
from fly64dask.records import read_record
from fly64dask.store import RunLayout
from fly64dask.study import Cell

CELL = Cell(dose=1e5, view="few", split="train")
STUDY = tiny_study()


@pytest.fixture
def layout(tmp_path):
    return RunLayout(tmp_path / "run")


def kept(layout, **changes):
    about = {"attempt": 2, "run": "abc123", "n_epochs": 9, "worker": "4"}
    return live_file(layout, CELL, **(about | changes))


def read(layout):
    return read_live(layout, [CELL]).get(CELL)


def age(layout, then):
    """Make a live file as old as if its worker had died then."""
    path = layout.live_file(CELL)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"updated_at": then.isoformat()}))
    os.utime(path, (then.timestamp(), then.timestamp()))


def test_live_file_is_there_before_the_first_epoch(layout):
    with kept(layout):
        found = read(layout)
    assert (found.cell, found.epoch, found.n_epochs, found.attempt, found.worker) == (CELL, 0, 9, 2, "4")


def test_live_file_tells_the_last_epoch_and_its_loss(layout):
    with kept(layout) as file:
        file.report(1, 0.5)
        file.report(2, 0.25)
        file.beat()
        found = read(layout)
    assert (found.epoch, found.loss, found.points) == (2, 0.25, ((1, 0.5), (2, 0.25)))


def test_live_file_is_written_once_a_second_however_fast_epochs_are(layout, monkeypatch):
    clock_s = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock_s[0])
    with kept(layout) as file:
        seen = {}
        for epoch in range(1, 301):
            clock_s[0] += 1 / 128
            file.report(epoch, 1.0)
            seen[epoch] = read(layout).epoch
        file.beat()
        assert read(layout).epoch == 300
    assert seen == {epoch: epoch // 128 * 128 for epoch in range(1, 301)}


def test_live_file_is_gone_after_the_block(layout):
    with kept(layout):
        pass
    assert [path for path in layout.live.rglob("*") if path.is_file()] == []


def test_live_file_keeps_a_loss_that_is_not_finite_out(layout):
    with kept(layout) as file:
        file.report(1, math.nan)
        file.beat()
        found = read(layout)
    assert (found.epoch, found.loss, found.points) == (1, None, ())


def test_live_file_leaves_that_of_another_attempt_alone(layout):
    with kept(layout), kept(layout, run="later1"):
        theirs = layout.live_file(CELL).read_bytes()
        with kept(layout, run="third1"):
            pass
        layout.live_file(CELL).write_bytes(theirs)
        with kept(layout, run="fourth"):
            layout.live_file(CELL).write_bytes(theirs)
        assert read(layout).run == "later1"


def test_live_file_is_not_brought_back_once_a_new_run_has_removed_it(layout):
    with kept(layout) as file:
        shutil.rmtree(layout.live)
        file.beat()
        assert not layout.live.exists()


def test_live_file_that_cannot_be_written_raises_nothing(layout, caplog):
    layout.root.mkdir()
    layout.live.write_text("a file where the directory should be")
    with kept(layout) as file:
        file.report(1, 0.5)
        file.beat()
        file.beat()
    assert len([record for record in caplog.records if "cannot be written" in record.message]) == 1


def test_live_cell_is_silent_when_its_worker_has_not_written_for_long(layout):
    with kept(layout):
        now = datetime.now(UTC)
        assert read(layout).silent_s(now) is None
        age(layout, now - timedelta(seconds=SILENT_S + 25))
        assert read(layout).silent_s(now) == pytest.approx(SILENT_S + 25, abs=1e-3)


@pytest.mark.parametrize("off", [timedelta(minutes=-7), timedelta(minutes=7)])
def test_live_cell_has_times_by_the_clock_of_its_reader_when_that_of_its_host_is_wrong(layout, off):
    begun, tick = datetime.now(UTC), timedelta(milliseconds=50)  # times of files have those of the kernel's clock
    with kept(layout):
        path, names = layout.live_file(CELL), ("started_at", "updated_at")
        content = json.loads(path.read_text())
        wrong = {name: (datetime.fromisoformat(content[name]) + off).isoformat() for name in names}
        path.write_text(json.dumps(content | wrong))
        found, now = read(layout), datetime.now(UTC)
    assert found.silent_s(now) is None
    assert begun - tick <= found.started_at <= now + tick


def test_live_cell_is_not_silent_where_the_clock_of_its_file_server_is_wrong(layout):
    with kept(layout):
        long_ago = datetime.now(UTC).timestamp() - 420
        os.utime(layout.live_file(CELL), (long_ago, long_ago))
        assert read(layout).silent_s(datetime.now(UTC)) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"epoch": 1}', "\x00\xff"])
def test_read_live_leaves_out_what_is_no_live_file(layout, content):
    layout.live_file(CELL).parent.mkdir(parents=True)
    layout.live_file(CELL).write_text(content)
    assert read_live(layout, [CELL]) == {}


def test_read_live_leaves_out_a_file_of_another_cell(layout):
    other = Cell(dose=1e5, view="all", split="train")
    with kept(layout):
        layout.live_file(other).parent.mkdir(parents=True)
        shutil.copy(layout.live_file(CELL), layout.live_file(other))
        assert list(read_live(layout, [CELL, other])) == [CELL]


def test_forget_live_removes_what_a_lost_worker_left(layout):
    with kept(layout):
        forget_live(layout, CELL)
        assert read(layout) is None


@pytest.fixture
def exposed(layout, tmp_path, monkeypatch):
    """A run whose cell can be run here with the engine of the tests."""
    prepare_scan(STUDY, layout)
    expose_split(STUDY, 1e5, "train", layout)
    select_view(STUDY, "few", "train", layout)
    (tmp_path / "faults.json").write_text("{}")
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return layout


def test_run_cell_keeps_its_live_file_while_it_runs_and_removes_it_when_committed(exposed):
    seen = []
    caller = Caller(progress=lambda epoch, loss: seen.append(read(exposed)), worker="7")
    outcome = run_one(STUDY, CELL, exposed, engine=ENGINE, caller=caller)
    assert outcome.committed
    assert [(live.worker, live.attempt, live.n_epochs) for live in seen] == [("7", 1, 3)] * 3
    assert read(exposed) is None


def test_run_cell_commits_as_ever_when_its_live_file_cannot_be_written(exposed):
    exposed.live.write_text("a file where the directory should be")
    outcome = run_one(STUDY, CELL, exposed, None, lambda epoch, loss: None, engine=ENGINE)
    assert (outcome.failure, read_record(exposed, CELL).state) == (None, "completed")


def test_run_cell_removes_its_live_file_when_it_is_abandoned(exposed):
    outcome = run_one(
        STUDY, CELL, exposed, None, lambda epoch, loss: None, engine=ENGINE, caller=Caller(abandoned=lambda: True)
    )
    assert isinstance(outcome.failure, Failure)
    assert read(exposed) is None


def test_live_cell_refuses_what_is_not_of_its_schema():
    with pytest.raises(ValueError, match="attempt"):
        LiveCell.model_validate({"dose": 1.0, "view": "all", "split": "train", "attempt": 0})
