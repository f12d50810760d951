"""A run at an object store: committed cell by cell, held by one machine at a time, and lost by no outage.

Cells are those of a finished run, which are put into the cache one after the other, as workers would.
"""

from __future__ import annotations

import fnmatch
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_engine import ENGINE
from finished_runs import SIX_CELLS, TOY
from object_store import Gate, environment, s3_server
from one_cell import run_one

from fly64dask.base import InputError, IntegrityError, StorageError
from fly64dask.deploy import Placement
from fly64dask.monitoring import CellOutcome, ignore_event
from fly64dask.records import read_completed_rows, read_record, read_run_study
from fly64dask.runs import read_place, verify_run
from fly64dask.runs.remote import Patience, fetched_run, repair_at_store, run_at_store
from fly64dask.store import ObjectPlace, RunLayout, held_place, open_place
from fly64dask.study import Cell, cells

STUDY = SIX_CELLS
ALL = cells(STUDY)
# A store that was cut off is asked for a moment only; one that is slow is waited for.
SOON = Patience(request_s=0.3, end_s=60.0, lease_s=20.0)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of a real S3 server, whose variables are set."""
    with s3_server() as variables, environment(variables):
        yield variables["AWS_ENDPOINT_URL"]


@pytest.fixture
def url(s3, request: pytest.FixtureRequest, tmp_path) -> Iterator[str]:
    """A URL with nothing below it, and a machine without a cache."""
    with machine(tmp_path / "first"):
        yield f"s3://bucket/{abs(hash(request.node.name))}"


@contextmanager
def machine(folder: Path) -> Iterator[None]:
    """Be a machine that has its caches in a folder."""
    with environment({"FLY64DASK_CACHE": str(folder)}):
        yield


def compute(finished: RunLayout, layout: RunLayout, chosen: tuple[Cell, ...], notify: Callable[..., None]) -> None:
    """Put cells of a finished run into a directory as if they were computed there, and tell of each."""
    shutil.copytree(finished.store, layout.store, dirs_exist_ok=True)
    shutil.copy(finished.study_file, layout.study_file)
    for cell in chosen:
        shutil.copytree(finished.cell_directory(cell), layout.cell_directory(cell))
        notify(CellOutcome(cell=cell, failure=None, seconds=0.0))


def finish(finished: RunLayout, url: str, chosen: tuple[Cell, ...] = ALL, **asked) -> RunLayout:
    """Compute cells in a run at a store to its end; gives the cache."""
    with run_at_store(url, STUDY.name, **{"patience": SOON} | asked) as mirror:
        compute(finished, mirror.layout, chosen, mirror.watching(ignore_event))
        shutil.copytree(finished.snapshots, mirror.layout.snapshots, dirs_exist_ok=True)
        for table in (finished.manifest_file, finished.skip_summary_file):
            shutil.copy(table, mirror.layout.root)
    return mirror.layout


def wait_for(happened: Callable[[], object], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


def n_records(place: ObjectPlace) -> int:
    return sum("/attempt_" in key and key.endswith(".json") for key in place.keys())  # noqa: SIM118


def files_of(root: Path, *, below: str = "") -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in (root / below).rglob("*") if path.is_file()}


def test_a_cell_is_at_the_store_as_soon_as_it_ends_with_all_that_it_was_made_from(six_cells, url, tmp_path):
    place = open_place(url)
    with run_at_store(url, STUDY.name, patience=SOON) as mirror:
        compute(six_cells, mirror.layout, ALL[:1], mirror.watching(ignore_event))
        wait_for(lambda: n_records(place) == 1)
        with machine(tmp_path / "second"), fetched_run(url) as (_, damages):
            assert damages == ()


def test_the_run_at_the_store_is_the_run_that_was_computed(six_cells, url, tmp_path):
    finish(six_cells, url)
    with machine(tmp_path / "second"), fetched_run(url) as (layout, damages):
        assert damages == ()
        for below in ("exposures.zarr", f"{ALL[0].name}", f"{ALL[-1].name}"):
            assert files_of(layout.root, below=below) == files_of(six_cells.root, below=below)
        assert layout.manifest_file.read_bytes() == six_cells.manifest_file.read_bytes()


def test_another_machine_goes_on_from_the_store_alone(six_cells, url, tmp_path):
    finish(six_cells, url, ALL[:3])
    with machine(tmp_path / "second"), run_at_store(url, STUDY.name, patience=SOON) as mirror:
        assert [run_one(STUDY, cell, mirror.layout, engine=ENGINE).was_done for cell in ALL[2:4]] == [True, False]
        mirror.watching(ignore_event)(CellOutcome(cell=ALL[3], failure=None, seconds=0.0))
    assert n_records(open_place(url)) == 4


def test_another_machine_brings_no_arrays_of_finished_cells_to_go_on(six_cells, url, tmp_path):
    finish(six_cells, url)
    with machine(tmp_path / "second"), run_at_store(url, STUDY.name, patience=SOON) as mirror:
        assert {path.name for path in mirror.layout.cell_directory(ALL[0]).iterdir()} == {"record.json"}


def test_what_was_committed_in_a_cache_alone_is_committed_by_the_next_run(six_cells, url):
    layout = finish(six_cells, url, ALL[:1])
    shutil.copytree(six_cells.cell_directory(ALL[1]), layout.cell_directory(ALL[1]))
    finish(six_cells, url, ())
    assert n_records(open_place(url)) == 2


def test_a_run_that_another_machine_holds_is_refused(url):
    with (
        held_place(open_place(url), lease_s=0.3),
        pytest.raises(InputError, match="another process is doing so"),
        run_at_store(url, STUDY.name),
    ):
        pass


def test_a_second_run_on_the_same_machine_is_refused(url):
    with (
        run_at_store(url, STUDY.name),
        pytest.raises(InputError, match="another run is using it"),
        run_at_store(url, STUDY.name),
    ):
        pass


def test_a_run_that_another_machine_takes_ends_by_name(six_cells, url):
    def go_on() -> None:
        with run_at_store(url, STUDY.name, patience=replace(SOON, lease_s=1.0)) as mirror:
            open_place(url).write("push.lock", b'{"token": "of another"}')
            compute(six_cells, mirror.layout, ALL[:1], mirror.watching(ignore_event))
            threading.Event().wait(60.0)
            pytest.fail("it went on")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is beside it without one
    try:
        with pytest.raises(InputError, match="another process has taken the lock"):
            go_on()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_of_another_study_is_refused(six_cells, url):
    finish(six_cells, url)
    with (
        pytest.raises(InputError, match="holds a run of study 'tiny', this one is of 'another'"),
        run_at_store(url, "another", patience=SOON),
    ):
        pass


def test_of_two_results_of_one_attempt_that_of_the_store_is_taken(six_cells, url, tmp_path):
    here = finish(six_cells, url, ALL[:1])
    again = STUDY.model_copy(update={"recipe": STUDY.recipe.model_copy(update={"n_epochs": 3})})
    shutil.rmtree(here.cell_directory(ALL[0]))
    run_one(again, ALL[0], here, engine=ENGINE)
    said: list[str] = []
    finish(six_cells, url, (), say=said.append)
    assert (here.record_file(ALL[0])).read_bytes() == six_cells.record_file(ALL[0]).read_bytes()
    assert said == [f"left out {ALL[0].name}: attempt 1 here is another than at the store, whose is taken"]


def test_cells_that_end_while_the_store_is_gone_are_committed_when_it_is_back(s3, six_cells, url):
    said: list[str] = []
    place = open_place(url)
    with (
        Gate(s3) as gate,
        environment({"AWS_ENDPOINT_URL": gate.address}),
        run_at_store(url, STUDY.name, patience=SOON, say=said.append) as mirror,
    ):
        notify = mirror.watching(ignore_event)
        compute(six_cells, mirror.layout, ALL[:1], notify)
        wait_for(lambda: n_records(place) == 1)
        gate.shut()
        shutil.copytree(six_cells.cell_directory(ALL[1]), mirror.layout.cell_directory(ALL[1]))
        notify(CellOutcome(cell=ALL[1], failure=None, seconds=0.0))
        wait_for(lambda: said)
        gate.open()
        wait_for(lambda: n_records(place) == 2)
    assert len(said) == 2
    assert said[0].endswith("are committed when the store answers")
    assert said[1].endswith("answers again: what has ended meanwhile is committed there")


def test_a_store_that_stays_away_ends_the_run_by_name_and_nothing_is_lost(s3, six_cells, url):
    def compute_without_a_store(gate: Gate) -> None:
        with run_at_store(url, STUDY.name, patience=replace(SOON, end_s=1.0)) as mirror:
            gate.shut()
            compute(six_cells, mirror.layout, ALL, mirror.watching(ignore_event))

    with Gate(s3) as gate, environment({"AWS_ENDPOINT_URL": gate.address}):
        with pytest.raises(StorageError, match=r"is not all at s3://.*run the same command again"):
            compute_without_a_store(gate)
        gate.open()
        finish(six_cells, url, ())
    assert n_records(open_place(url)) == len(ALL)


def test_an_interrupted_run_commits_what_it_has(six_cells, url):
    def be_interrupted() -> None:
        with run_at_store(url, STUDY.name, patience=SOON) as mirror:
            compute(six_cells, mirror.layout, ALL[:2], mirror.watching(ignore_event))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert n_records(open_place(url)) == 2


def test_what_is_damaged_in_the_cache_is_not_committed_and_ends_the_run_by_name(six_cells, url):
    def damage_one() -> None:
        with run_at_store(url, STUDY.name, patience=SOON) as mirror:
            compute(six_cells, mirror.layout, ALL[:2], ignore_event)
            mirror.layout.log_file(ALL[0]).write_text("other")

    with pytest.raises(IntegrityError, match=f"left out attempt 1 of {ALL[0].name}: .*ptychi.log does not match"):
        damage_one()
    assert n_records(open_place(url)) == 1


def test_records_are_read_through_the_cache_without_arrays_as_in_the_directory(six_cells, url, tmp_path):
    finish(six_cells, url)
    with machine(tmp_path / "second"):
        layout = read_place(url, files=False)
    assert read_completed_rows(read_run_study(layout), layout) == read_completed_rows(STUDY, six_cells)
    names = {path.name for path in layout.root.rglob("*") if path.is_file()}
    assert {"zarr.json", "record.json"} <= names
    assert not {name for name in names if name.endswith(".zip") or name.startswith("c.")}


def test_arrays_are_read_through_the_cache_after_the_records(six_cells, url, tmp_path):
    finish(six_cells, url)
    with machine(tmp_path / "second"):
        read_place(url, files=False)
        layout = read_place(url)
    assert verify_run(STUDY, layout) == ()
    assert files_of(layout.root, below=ALL[0].name) == files_of(six_cells.root, below=ALL[0].name)


def test_a_run_under_way_is_read_where_it_is_computed(six_cells, url):
    with run_at_store(url, STUDY.name, patience=SOON) as mirror:
        compute(six_cells, mirror.layout, ALL[:1], ignore_event)
        assert read_place(url).root == mirror.layout.root


def test_where_nothing_was_committed_nothing_can_be_read(url):
    with pytest.raises(InputError, match=r"no study\.json there"):
        read_place(url)


def damage_five(place: ObjectPlace) -> set[str]:
    """Alter five objects of several kinds; gives what `verify` should name, beside the manifest."""
    exposures = "exposures.zarr/dose_100000"
    first, second, third, *_ = (cell.name for cell in ALL)
    damaged = {
        f"{first}/attempt_001-*/reconstruction.zarr.zip": f"{first}/reconstruction.zarr.zip",
        f"{second}/attempt_001-*/ptychi.log": f"{second}/ptychi.log",
        f"{third}/attempt_001.json": third,
        f"{exposures}/train/counts/c.0.0.0": f"{exposures}/train",
        f"{exposures}/test/zarr.json": f"{exposures}/test",
    }
    for pattern in damaged:
        (key,) = fnmatch.filter(place.keys(), pattern)
        content = place.read(key)
        place.write(key, content[: len(content) // 2] + b"?" + content[len(content) // 2 + 1 :])
    return {*damaged.values()}


def test_verify_finds_every_damaged_object_though_the_cache_has_good_ones(six_cells, url):
    finish(six_cells, url)
    damaged = damage_five(open_place(url))
    with fetched_run(url) as (_, damages):
        paths = {damage.path for damage in damages}
    assert paths - {"reconstruction_manifest.json"} == damaged


def test_tables_that_a_finished_run_has_lost_at_the_store_are_named_and_written_there_again(six_cells, url):
    finish(six_cells, url)
    place = open_place(url)
    for key in ("reconstruction_manifest.json", "skip_summary.json"):
        place.delete(key)
    with fetched_run(url) as (layout, damages):
        assert [damage.path for damage in damages] == ["reconstruction_manifest.json", "skip_summary.json"]
        repair_at_store(STUDY, url, layout, damages, engine=ENGINE, patience=SOON)
    with fetched_run(url) as (_, damages):
        assert damages == ()


@pytest.mark.cluster
def test_repair_makes_again_at_the_store_what_is_damaged_there(six_cells, url):
    finish(six_cells, url)
    damage_five(open_place(url))
    with fetched_run(url) as (layout, damages):
        placement = Placement(n_workers=1)
        repair_at_store(STUDY, url, layout, damages, placement, engine=ENGINE, patience=SOON)
    with fetched_run(url) as (layout, damages):
        assert damages == ()
        assert [read_record(layout, cell).attempt for cell in ALL] == [2, 2, 2, 1, 1, 1]


@pytest.mark.cluster
def test_commands_run_at_s3_and_read_what_is_there(url, tmp_path, fly64dask):
    ran = fly64dask("run", TOY, "--out", url, "--view", "sparse", "--workers", 1)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (1, f"committed: {url}"), ran.stderr
    with machine(tmp_path / "second"):
        status = fly64dask("status", url)
        table = fly64dask("table", url, "--out", "table.csv")
        verified = fly64dask("verify", url)
    assert (status.returncode, table.returncode, verified.returncode) == (0, 0, 0), verified.stderr
    assert "toy: 2 failed, 4 pending" in status.stdout
    assert table.stdout == "table: table.csv, 6 cells\n"
    assert verified.stdout == "0 damaged\n"
