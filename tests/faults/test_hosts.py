"""A run on two hosts of a network of its own, of which one has every fault that hosts have, and is lost in the middle.

The driver, its scheduler and two workers are on one host. Another host, whose clock is seven minutes slow and whose
file system takes its time, joins by the printed command; its cable is pulled while it computes, and put back.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny
from command_line import Command, Wishes
from faulty_engine import ENGINE, EPOCH_S, FOLDER, tell
from forked_python import forked_python
from hosts import Host, two_hosts

from fly64dask.monitoring import RunReader, read_live
from fly64dask.records import read_run_study
from fly64dask.runs import verify_run
from fly64dask.store import RunLayout
from fly64dask.study import Cell, cells, parse_study

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.process]

SUPPORT = Path(tiny.__file__).parent
# 20 cells, and no degenerate ones; each takes 3 s, and waits in its middle until the other host has one.
N_EPOCHS = 30
TEXT = "".join(line for line in tiny.TEXT.splitlines(keepends=True) if '"one"' not in line)
TEXT = TEXT.replace("[1e4, 1e5]", "[1e3, 3e3, 1e4, 3e4, 1e5]").replace("n_epochs = 3", f"n_epochs = {N_EPOCHS}")
STUDY = parse_study(TEXT, origin="tiny.toml")
N_CELLS = 20
CLOCK_OFF_S = -420
SILENCE_S = 11  # after which a link counts as lost: the least that Dask takes, which takes 30 if nothing is said
SETTINGS = {
    "PYTHONPATH": os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])]),
    "OMP_NUM_THREADS": "1",
    EPOCH_S: "0.1",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": f"{SILENCE_S}s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A finished run, and what was seen of it."""

    layout: RunLayout
    exit_codes: tuple[int, int]  # of the run, and of the other host's command
    command: str  # with which it joined
    far_said: str
    words: str  # of `status` about the cell of the other host
    lost: Cell  # that cell, when the cable was pulled
    committed: dict[Path, bytes]  # records when it was put back


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    tell(folder, {"*": N_EPOCHS // 2})
    (folder / "study.toml").write_text(TEXT)
    with two_hosts() as (near, far):
        return watched_run(folder, near, far)


def watched_run(folder: Path, near: Host, far: Host) -> Seen:
    """Run it, with its faults."""
    layout, said, settings = RunLayout(folder / "run"), folder / "said", {**SETTINGS, FOLDER: str(folder)}
    driver = Command(
        *("run_with_faulty_engine", folder / "study.toml", layout.root, "local", ENGINE, near.address),
        stdout=Path(os.devnull),
        stderr=said,
        environment=settings,
        wishes=Wishes(network=str(near.namespace), python=forked_python()),
    )
    with driver:
        wait_for(driver, lambda: "to add a worker on another machine: " in said.read_text())
        command = re.search(r"to add a worker on another machine: (.*)", said.read_text())[1]
        faults = {"clock_off_s": CLOCK_OFF_S, "slow_folder": layout.root, "slow_s": 0.02}
        with far.shell(f"{command} --workers 1", folder / "far", environment=settings, **faults) as worker:
            wait_for(driver, lambda: far_cell(layout))
            lost = far_cell(layout)
            words = RunReader(read_run_study(layout), layout).read().words[lost]
            # Its engine never ends there: who computes elsewhere what was computed is another test's business.
            faults = {named(lost): "hang_once"}
            last = next(cell for cell in reversed(cells(STUDY)) if cell != lost)
            tell(folder, faults | {named(last): 1})  # the run does not end before the host is back
            far.pull()
            wait_for(driver, lambda: n_starts(layout, lost) == 2 and "does not answer" in (folder / "far").read_text())
            wait_for(driver, lambda: records(layout))
            committed = records(layout)
            far.plug()
            wait_for(driver, lambda: (folder / "far").read_text().count(" has joined") == 2)
            tell(folder, faults)
            exit_codes = driver.wait(timeout=300), worker.wait(timeout=300)
    return Seen(
        layout=layout,
        exit_codes=exit_codes,
        command=command,
        far_said=(folder / "far").read_text(),
        words=words,
        lost=lost,
        committed=committed,
    )


def named(cell: Cell) -> str:
    """A cell as its engine knows it."""
    return cell.name.replace("/", "-")


def wait_for(driver: Command, happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not happened():
        assert driver.poll() is None, "it ended first"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def far_cell(layout: RunLayout) -> Cell | None:
    """The cell that the other host computes: its workers are named after it, those of the driver are numbers."""
    live_cells = read_live(layout, cells(STUDY)) if layout.live.is_dir() else {}
    return next((cell for cell, live in live_cells.items() if live.epoch and not live.worker.isdigit()), None)


def n_starts(layout: RunLayout, cell: Cell) -> int:
    return layout.journal_file(cell).read_text().count(" started ")


def records(layout: RunLayout) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in layout.root.glob("dose_*/*/*/record.json")}


def test_run_on_hosts_ends_with_a_full_manifest(seen):
    rows = json.loads(seen.layout.manifest_file.read_text())["execution_results"]
    assert [row["state"] for row in rows] == ["completed"] * N_CELLS
    assert seen.exit_codes[0] == 0
    assert verify_run(read_run_study(seen.layout), seen.layout) == ()


def test_run_on_hosts_uses_tls(seen):
    assert re.search(r"worker tls://10\.64\.0\.1:\d+ --tls \S+/run/\.tls$", seen.command)


def test_run_on_hosts_does_nothing_twice_that_was_committed(seen):
    assert seen.committed
    assert seen.committed.items() <= records(seen.layout).items()
    journals = [seen.layout.journal_file(cell).read_text().splitlines() for cell in cells(STUDY)]
    endings = [[line.split(maxsplit=3)[3] for line in lines if " ended " in line] for lines in journals]
    assert endings == [["ended state=completed kind=None"]] * N_CELLS


def test_run_on_hosts_starts_again_only_what_the_lost_host_computed(seen):
    assert {cell: n_starts(seen.layout, cell) for cell in cells(STUDY)} == {
        cell: 2 if cell == seen.lost else 1 for cell in cells(STUDY)
    }


def test_lost_host_joins_again_and_ends_with_the_run(seen):
    joined = re.findall(r"worker (\S+) has joined", seen.far_said)
    assert [name.rsplit("-", 1)[1] for name in joined] == ["0", "1"]
    assert seen.far_said.splitlines()[-1] == "the scheduler has ended, and so this command ends"
    assert seen.exit_codes[1] == 0


def test_cell_of_a_host_with_a_slow_clock_is_shown_as_running(seen):
    assert seen.words.startswith("running epoch ")
