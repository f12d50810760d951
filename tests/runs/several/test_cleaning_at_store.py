"""Cleaning of a run at an object store: what goes there and in the cache, what stays, and that runs go on after it."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dying_store import DyingStore, KilledError
from finished_runs import SIX_CELLS
from object_store import environment, s3_server
from obstore.store import MemoryStore

from fly64dask.base import InputError
from fly64dask.datasets import expose_split
from fly64dask.records import committed_attempt, past_attempts, read_record, renew_manifest, write_record
from fly64dask.runs import (
    clean_at_store,
    fetched_run,
    plan_cleaning_at_store,
    push_run,
    read_place,
    verify_run,
)
from fly64dask.runs.remote import cache_layout, pull_from, push_to, run_at_store
from fly64dask.runs.several.cleaning_at_store import clean_place
from fly64dask.store import LOG_NAME, RECORD_NAME, ObjectPlace, RunLayout, open_place
from fly64dask.study import cells, realisations

STUDY = SIX_CELLS
FIRST = cells(STUDY)[0]
URL = "s3://bucket/runs/cleaned"
SOON = 0.05  # nobody who died shall be waited for


@pytest.fixture
def run(six_cells, tmp_path) -> RunLayout:
    """A copy of the finished run of which the first cell was tried twice."""
    layout = RunLayout(Path(shutil.copytree(six_cells.root, tmp_path / "run")))
    record, log = read_record(layout, FIRST), layout.log_file(FIRST).read_bytes()
    archive = layout.reconstruction_group(FIRST).read_bytes()
    with committed_attempt(layout, FIRST) as directory:
        (directory / LOG_NAME).write_bytes(log)
        (directory / layout.reconstruction_group(FIRST).name).write_bytes(archive)
        write_record(directory, record.model_copy(update={"attempt": 2}))
    renew_manifest(STUDY, layout)
    return layout


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_server() as variables:
        yield dict(variables)


@pytest.fixture
def place(s3, run, tmp_path) -> Iterator[ObjectPlace]:
    """The run at a store, and a machine without a cache."""
    with environment({**s3, "FLY64DASK_CACHE": str(tmp_path / "cache")}):
        push_run(run.root, URL)
        place = open_place(URL)
        yield place
        for key in place.keys():  # noqa: SIM118
            place.delete(key)


def group_keys(layout: RunLayout) -> set[str]:
    groups = [layout.exposure_group(*drawn) for drawn in realisations(STUDY, cells(STUDY))]
    paths = [path for group in groups for path in group.rglob("*") if path.is_file()]
    return {path.relative_to(layout.root).as_posix() for path in paths}


def folder_of_first_attempt(keys: set[str]) -> set[str]:
    return {key for key in keys if key.startswith(f"{FIRST.name}/attempt_001-")}


def test_plan_changes_nothing_at_the_store(place):
    before = place.tags()
    plan_cleaning_at_store(URL)
    assert place.tags() == before


def test_plan_tells_the_size_of_what_the_cleaning_deletes(place):
    planned = plan_cleaning_at_store(URL)
    sizes = {facts.key: facts.n_bytes for facts in place.facts()}
    clean_at_store(URL)
    gone = sizes.keys() - set(place.keys())
    assert [cleaning.kind for cleaning in planned.at_store] == ["exposures", "checkpoints", "history"]
    freed = [cleaning.freed for cleaning in planned.at_store]
    assert sum(usage.n_files for usage in freed) == len(gone)
    assert sum(usage.n_bytes for usage in freed) == sum(sizes[key] for key in gone)


def test_exposures_and_replaced_attempts_go_and_nothing_else(place, run):
    before = set(place.keys())
    clean_at_store(URL)
    after = set(place.keys())
    assert before - after == group_keys(run) | folder_of_first_attempt(before)
    assert after - before == {"cleaned.json"}


def test_one_kind_alone_is_cleaned(place):
    before = set(place.keys())
    clean_at_store(URL, ["history"])
    assert before - set(place.keys()) == folder_of_first_attempt(before) != set()


def test_a_cleaned_run_at_a_store_is_not_damaged(place):
    clean_at_store(URL)
    with fetched_run(URL) as (_, damages):
        assert damages == ()


def test_exposures_that_disappear_otherwise_are_damage_after_a_cleaning(place, run):
    clean_at_store(URL)
    place.delete("exposures.zarr/truth/zarr.json")
    with fetched_run(URL) as (_, damages):
        assert {damage.path for damage in damages} == {"exposures.zarr/truth"}


def test_the_cache_loses_the_same_exposures(place):
    cache = read_place(URL)
    assert group_keys(cache)
    clean_at_store(URL)
    assert not group_keys(cache)


def test_records_of_replaced_attempts_stay(place, run):
    clean_at_store(URL)
    (wanted,) = past_attempts(run, FIRST).values()
    with fetched_run(URL) as (layout, _):
        (found,) = past_attempts(layout, FIRST).values()
        assert (found / RECORD_NAME).read_bytes() == (wanted / RECORD_NAME).read_bytes()


def test_exposures_that_unfinished_cells_need_stay(place, run):
    for key in place.keys(FIRST.name):
        place.delete(key)
    group = run.exposure_group(FIRST.dose, FIRST.split).relative_to(run.root).as_posix()
    cleaned = clean_at_store(URL)
    assert {*place.keys(group)} == {key for key in group_keys(run) if key.startswith(f"{group}/")}
    assert list(cleaned.at_store[0].kept) == ["cells that have not ended need them"]
    clean_at_store(URL, unfinished=True)
    assert place.keys(group) == []


def test_a_run_that_is_under_way_is_refused_and_loses_nothing(place):
    with run_at_store(URL, STUDY.name):
        before = set(place.keys())
        for act in (plan_cleaning_at_store, clean_at_store):
            with pytest.raises(InputError, match="another process is using it"):
                act(URL)
        assert set(place.keys()) == before


def test_where_no_run_is_nothing_is_left(place):
    with pytest.raises(InputError, match=r"no study\.json there"):
        clean_at_store("s3://bucket/none")
    assert open_place("s3://bucket/none").keys() == []


def test_exposures_that_were_made_again_are_at_the_store_again(place, run):
    clean_at_store(URL)
    with run_at_store(URL, STUDY.name) as mirror:
        for split in STUDY.splits:
            expose_split(STUDY, STUDY.doses_photons[0], split, mirror.layout)
    assert group_keys(run) <= set(place.keys())
    with fetched_run(URL) as (_, damages):
        assert damages == ()


@pytest.mark.process
def test_the_command_cleans_the_run_and_its_cache_and_says_how_to_make_it_again(place, fly64dask):
    planned = fly64dask("clean", URL, "--json")
    cleaned = fly64dask("clean", URL, "--yes")
    assert (planned.returncode, cleaned.returncode) == (0, 0), planned.stderr + cleaned.stderr
    there, cache = json.loads(planned.stdout)["runs"]
    assert (there["run"], cache["run"]) == (URL, str(cache_layout(URL).root))
    assert cleaned.stdout.splitlines()[0] == f"{URL}:"
    verified = fly64dask("verify", URL)
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (0, "0 damaged")
    assert f"`fly64dask run STUDY --out {URL}` makes them again" in verified.stdout


class Killed:
    """A run in memory that is cleaned again and again, and the process killed at a request."""

    def __init__(self, run: RunLayout, folder: Path) -> None:
        self.store, self.folder = MemoryStore(), folder
        self.place = ObjectPlace("memory://", self.store)
        push_to(self.place, run)

    def clean(self, store: object, name: str) -> None:
        clean_place(ObjectPlace("memory://", store), RunLayout(self.folder / name), patience_s=SOON)


@pytest.fixture(scope="module")
def n_requests(six_cells, tmp_path_factory) -> int:
    """How many requests a cleaning makes that nobody kills."""
    killed = Killed(six_cells, tmp_path_factory.mktemp("counted"))
    counting = DyingStore(killed.store, math.inf)
    killed.clean(counting, "cache")
    return counting.n_asked


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # who renews the lock dies too
@pytest.mark.parametrize("seed", range(12))
def test_a_cleaning_that_is_killed_leaves_a_whole_run_and_is_continued(run, tmp_path, seed, n_requests):
    rng, killed = random.Random(seed), Killed(run, tmp_path)
    dying = DyingStore(killed.store, rng.randrange(1, n_requests + 1), done=rng.random() < 0.5)
    with pytest.raises(KilledError):
        killed.clean(dying, rng.choice(["first", "second"]))
    pull_from(killed.place, RunLayout(tmp_path / "half"))
    assert verify_run(STUDY, RunLayout(tmp_path / "half")) == ()
    killed.clean(killed.store, rng.choice(["first", "second"]))
    left = set(killed.place.keys())
    assert not left & group_keys(run)
    assert not folder_of_first_attempt(left)
    pull_from(killed.place, RunLayout(tmp_path / "whole"))
    assert verify_run(STUDY, RunLayout(tmp_path / "whole")) == ()
