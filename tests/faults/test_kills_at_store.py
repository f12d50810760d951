"""SIGKILLs of runs at an object store, on two machines, then the manifest of an undisturbed run in a directory.

`FLY64DASK_KILL_ROUNDS=20 pytest tests/faults/test_kills_at_store.py` does as many rounds, with the lease of real runs.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from command_line import Command, Wishes
from faulty_engine import EPOCH_S, FOLDER
from forked_python import forked_python
from forked_workers import fork_workers
from object_store import environment, s3_server
from process_families import kill_family
from run_with_faulty_engine import LEASE_S

from fly64dask.runs.remote import fetched_run
from fly64dask.store import ObjectPlace, open_place

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

ROUNDS = "FLY64DASK_KILL_ROUNDS"
N_ROUNDS = int(os.environ.get(ROUNDS, "3"))
DOSES = [1000.0 * 1.5**n for n in range(max(2, N_ROUNDS // 2))]  # six cells each, of which two are degenerate
STUDY = tiny.TEXT.replace("[1e4, 1e5]", str(DOSES)).replace("n_epochs = 3", "n_epochs = 10")
URL = "s3://bucket/killed"
CELL_S = 0.4
TIMES = {"seconds", "metrics_seconds"}
SUPPORT = Path(tiny.__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the study, while an S3 server runs."""
    folder = tmp_path_factory.mktemp("kills-at-store")
    (folder / "faults.json").write_text("{}")
    (folder / "tiny.toml").write_text(STUDY)
    with s3_server() as variables, environment(variables):
        yield folder


def start(folder: Path, out: object, machine: str, *, lease: bool = ROUNDS not in os.environ) -> Command:
    """Run the study as one of the machines, all processes forked; with a short lease of the lock, or that of real runs.

    With the latter the run is by `run_study` alone.
    """
    variables = {
        "PYTHONPATH": str(SUPPORT),
        "OMP_NUM_THREADS": "1",
        "FLY64DASK_CACHE": str(folder / machine),
        FOLDER: str(folder),
        EPOCH_S: str(CELL_S / 10),
    }
    wishes = Wishes(workers_from=fork_workers(), python=forked_python())
    variables |= {LEASE_S: "1.5"} if lease else {}
    asked = {"stdout": Path(os.devnull), "stderr": folder / f"{machine}.log", "wishes": wishes}
    return Command("run_with_faulty_engine", folder / "tiny.toml", out, "local", environment=variables, **asked)


def records_at(place: ObjectPlace) -> dict[str, bytes]:
    """All records at the store."""
    keys = [key for key in place.keys() if "/attempt_" in key and key.endswith(".json")]  # noqa: SIM118
    return {key: place.read(key) or b"" for key in keys}


@pytest.fixture(scope="module")
def killed(folder: Path) -> tuple[dict[str, bytes], int]:
    """A run that was killed in every round; the records that were at the store at kills, and how many kills hit."""
    place, rng = open_place(URL), random.Random(N_ROUNDS)
    seen: dict[str, bytes] = {}
    n_hits = 0
    for _ in range(N_ROUNDS):
        command = start(folder, URL, rng.choice(["first", "second"]))
        wanted = len(seen) + rng.randrange(3)
        until = time.monotonic() + 120
        while command.poll() is None and len(records_at(place)) < wanted:
            assert time.monotonic() < until, (folder / "first.log").read_text() + (folder / "second.log").read_text()
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 2 * CELL_S))
        if command.poll() is None:
            kill_family(command.pid)
            n_hits += command.wait() < 0
        for key, record in records_at(place).items():
            assert seen.setdefault(key, record) == record
    assert start(folder, URL, "third").wait(timeout=600) == 1, "the degenerate cells turn the exit code"
    return seen, n_hits


def cell_of(row: dict[str, object]) -> str:
    return f"{row['dose']}/{row['view']}/{row['split']}"


def rows(path: Path) -> list[dict[str, object]]:
    found = json.loads(path.read_text())["execution_results"]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in found]


def test_the_run_ends_with_the_manifest_of_an_undisturbed_run_in_a_directory(folder, killed):
    assert start(folder, folder / "run", "nobody").wait(timeout=600) == 1
    with fetched_run(URL) as (layout, damages):
        assert damages == ()
        found, wanted = rows(layout.manifest_file), rows(folder / "run" / "reconstruction_manifest.json")
        assert [cell_of(row) for row in found] == [cell_of(row) for row in wanted]
        assert {
            (cell_of(one), name): (one.get(name), other.get(name))
            for one, other in zip(found, wanted, strict=True)
            for name in one | other
            if one.get(name) != other.get(name)
        } == {}
    assert killed[1] >= N_ROUNDS - 2


def test_no_committed_cell_is_done_twice(killed):
    there = records_at(open_place(URL))
    assert killed[0].items() <= there.items()
    assert {key.rpartition("/")[2] for key in there} == {"attempt_001.json"}


def test_a_finished_run_is_run_again_on_another_machine_with_nothing_to_do(folder, killed):
    before = records_at(open_place(URL))
    assert start(folder, URL, "fourth", lease=False).wait(timeout=600) == 1
    assert records_at(open_place(URL)) == before
