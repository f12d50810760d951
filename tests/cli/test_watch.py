"""`fly64dask status` beside a study that really runs: what it says is on disk alone, and it ends when that does."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
from command_line import Command, run_command
from running import MATRIX, running

from fly64dask.monitoring.live import SILENT_S

pytestmark = pytest.mark.cluster

# Four cells, of which two run at a time. They wait where a test looks at them; what is written of a running cell once a
# second has their third epoch, their sixth and their ninth.
FOUR = tiny.TEXT.replace("[1e4, 1e5]", "[1e5]").replace("n_epochs = 3", "n_epochs = 12")
FOUR = FOUR.replace('    {name = "one", rule = "min_spacing", threshold_px = 60.0},\n', "")
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def status(out, *options):
    return run_command("status", out, *options, cwd=Path.cwd(), timeout=300)


def document(out):
    return json.loads(status(out, "--json").stdout)


def wait_for_a_running_cell(run):
    """Wait until a cell has done some epochs, after which it waits; gives the document that says so."""
    run.wait_for(lambda: list(run.layout.live.rglob("*.json")))
    looks = []
    run.wait_for(lambda: looks.append(document(run.layout.root)) or any(map(has_begun, looks[-1]["running"])))
    return looks[-1]


def has_begun(cell):
    return cell["epoch"] >= 2


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """One run from its first cells to its end: documents, the picture in the middle, and what --watch printed."""
    folder = tmp_path_factory.mktemp("watched")
    with running(folder, study=FOUR, faults={"*": 3}) as run:
        found, picture = wait_for_a_running_cell(run), status(run.layout.root).stdout
        printed, words = folder / "printed", ("status", run.layout.root, "--watch", "--interval", 0.2)
        with Command("fly64dask", *words, stdout=printed, stderr=folder / "errors") as watching:
            for epoch in (3, 6, 9):
                run.tell({"*": epoch})
                run.wait_for(lambda epoch=epoch: f"running epoch {epoch} of 12 " in printed.read_text())
            run.tell({})
            exit_code = watching.wait(timeout=300)
        run.process.wait(timeout=300)
        yield found, picture, SimpleNamespace(returncode=exit_code, stdout=printed.read_text()), run.layout


def test_status_json_lists_the_cells_that_run(watched):
    cell = next(filter(has_begun, watched[0]["running"]))
    assert cell["n_epochs"] == 12
    assert cell["loss"] == 1.0
    assert cell["worker"] in ("0", "1")
    assert cell["silent_s"] is None
    assert cell.keys() >= {"dose", "view", "split", "attempt", "run", "host", "pid", "started_at", "updated_at"}


def test_status_json_counts_running_cells_apart_from_pending_ones(watched):
    states = watched[0]["states"]
    assert states["running"] == len(watched[0]["running"]) in (1, 2)
    assert sum(states.values()) == 4


def test_status_shows_running_cells_in_the_matrix_and_in_a_table(watched):
    assert re.search(r"▶ epoch \d+/12", watched[1])
    assert re.search(r"▶ dose_100000/(all|few)/(train|test) *│ *\d+ of 12 ", watched[1])
    assert re.search(r" [01] on \S+ ", watched[1])


def test_status_watch_prints_a_line_for_each_change_where_there_is_no_terminal(watched):
    lines = watched[2].stdout.splitlines()
    epochs = [int(found[1]) for line in lines if (found := re.search(r"running epoch (\d+) of 12 loss 1$", line))]
    assert set(epochs) >= {3, 6, 9}
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    assert "\x1b" not in watched[2].stdout


def test_status_watch_ends_when_every_cell_has(watched):
    assert watched[2].returncode == 0
    assert watched[2].stdout.splitlines()[-1].endswith(" 4 completed")


def test_status_watch_prints_each_cells_end_once(watched):
    ended = [line.split()[1] for line in watched[2].stdout.splitlines() if line.endswith(" completed")]
    assert sorted(cell for cell in ended if "/" in cell) == [
        "dose_100000/all/test",
        "dose_100000/all/train",
        "dose_100000/few/test",
        "dose_100000/few/train",
    ]


def test_run_leaves_no_live_file(watched):
    assert not watched[3].live.exists()


def test_status_watch_redraws_a_terminal_until_the_end(watched):
    out = _in_a_terminal(watched[3].root)
    assert "tiny: 4 completed" in ANSI.sub("", out)


def test_status_refuses_to_watch_and_write_json_at_once(watched):
    done = status(watched[3].root, "--watch", "--json")
    assert (done.returncode, "give one" in done.stderr) == (2, True)


def test_status_calls_what_a_killed_run_left_silent_and_the_next_run_removes_it(tmp_path):
    with running(tmp_path, study=FOUR, faults={"*": 3}) as run:
        wait_for_a_running_cell(run)
        run.kill()
        for path in run.layout.live.rglob("*.json"):
            then = datetime.now(UTC) - timedelta(seconds=SILENT_S + 2)
            path.write_text(json.dumps(json.loads(path.read_text()) | {"updated_at": then.isoformat()}))
            os.utime(path, (then.timestamp(), then.timestamp()))
        found, picture = document(run.layout.root), status(run.layout.root).stdout
        left = set(run.layout.live.rglob("*.json"))
    assert found["running"]
    assert all(cell["silent_s"] > SILENT_S for cell in found["running"])
    assert "running" not in found["states"]
    assert re.search(r"… silent for \d\d s", picture)
    with running(tmp_path, study=FOUR, epoch_s=0.0) as run:
        assert run.process.wait(timeout=300) == 0
    assert left
    assert not run.layout.live.exists()


def test_status_watch_ends_with_a_run_of_some_cells_alone(tmp_path):
    """The others stay pending, and the run's process lets go of the directory."""
    with running(tmp_path, study=MATRIX, faults={"*": 1}, epoch_s=0.1) as run:
        run.wait_for(run.layout.study_file.exists)
        watching = subprocess.Popen(
            [sys.executable, "-m", "fly64dask", "status", run.layout.root, "--watch", "--interval", "0.2"],
            stdout=subprocess.PIPE,
            text=True,
        )
        # It has begun to watch a run that is then stopped in order.
        assert watching.stdout is not None
        watching.stdout.readline()
        run.process.send_signal(signal.SIGINT)
        run.process.wait(timeout=300)
        text = watching.stdout.read()
        assert watching.wait(timeout=300) == 0
        watching.stdout.close()
    assert "pending" in text.splitlines()[-1]


def test_status_watch_ends_at_ctrl_c_without_an_error(tmp_path):
    with running(tmp_path, study=FOUR, faults={"*": 3}) as run:
        run.wait_for(run.layout.study_file.exists)
        watching = subprocess.Popen(
            [sys.executable, "-m", "fly64dask", "status", run.layout.root, "--watch", "--interval", "0.2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert watching.stdout is not None
        watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=300)
    assert (watching.returncode, said) == (0, "")


def _in_a_terminal(out) -> str:
    """Run `status --watch` on a pseudo-terminal; gives what it drew."""
    ours, theirs = pty.openpty()
    drawn: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(ours, 65536):
                drawn.append(part)
        except OSError:  # the other end is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run(
        [sys.executable, "-m", "fly64dask", "status", out, "--watch"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        timeout=300,
        check=False,
    )
    os.close(theirs)
    reader.join(timeout=300)
    os.close(ours)
    assert done.returncode == 0
    return b"".join(drawn).decode()
