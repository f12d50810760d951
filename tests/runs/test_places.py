"""Where a run may begin: in a directory or at a URL of its own, and not among other things."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny
from finished_runs import SIX_CELLS
from obstore.store import MemoryStore

from fly64dask.base import InputError
from fly64dask.runs import continued_study
from fly64dask.runs.remote import pull_from, push_to
from fly64dask.store import ObjectPlace, RunLayout


@pytest.fixture
def home(tmp_path) -> Path:
    """A directory with a person's own things."""
    home = tmp_path / "home"
    (home / "notes").mkdir(parents=True)
    for name in ("letter.txt", "study.toml", ".profile"):
        (home / name).write_text("mine")
    return home


def contents(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.process
@pytest.mark.parametrize("words", [("run",), ("run", "--dry-run"), ("submit", "--cluster", "site.toml")], ids=" ".join)
def test_a_directory_with_other_things_and_no_run_is_refused_as_it_is(home, tmp_path, fly64dask, words):
    (tmp_path / "tiny.toml").write_text(tiny.TEXT)
    (tmp_path / "site.toml").touch()
    before = contents(home)
    command, *options = words
    done = fly64dask(command, "tiny.toml", "--out", home, *options)
    assert done.returncode == 2
    assert f"run into {home}: it holds .profile, letter.txt, notes and more, and no run" in done.stderr
    assert f"give a directory of its own to each run, such as {home}/tiny" in done.stderr
    assert contents(home) == before


def test_a_pull_into_a_directory_with_other_things_is_refused_as_it_is(six_cells, home):
    place = ObjectPlace("memory://runs/tiny", MemoryStore())
    push_to(place, six_cells)
    before = contents(home)
    with pytest.raises(InputError, match=r"pull into .*/home: it holds .* such as .*/home/tiny$"):
        pull_from(place, RunLayout(home))
    assert contents(home) == before


@pytest.mark.parametrize("parts", [(), ("slurm/logs", ".lock"), (f".study.json-{'0' * 32}", "exposures.zarr")])
def test_a_directory_with_parts_of_a_run_alone_is_taken(tmp_path, parts):
    for part in parts:
        (tmp_path / part).mkdir(parents=True)
    assert continued_study(SIX_CELLS, RunLayout(tmp_path)) == SIX_CELLS


@pytest.mark.parametrize("lost", [(), ("study.json",), ("study.json", "reconstruction_manifest.json")])
def test_a_run_with_a_persons_own_notes_is_continued_also_without_its_study(six_cells, tmp_path, lost):
    layout = RunLayout(Path(shutil.copytree(six_cells.root, tmp_path / "run")))
    (layout.root / "notes.txt").write_text("mine")
    for name in lost:
        (layout.root / name).unlink()
    assert continued_study(SIX_CELLS, layout) == SIX_CELLS


def test_a_directory_that_a_run_would_empty_is_no_part_of_one(tmp_path):
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "recording.wav").touch()
    with pytest.raises(InputError, match="holds live, and no run"):
        continued_study(SIX_CELLS, RunLayout(tmp_path))


def test_another_programs_study_json_is_no_run(home):
    (home / "study.json").write_text("{}")
    with pytest.raises(InputError, match="and no run"):
        continued_study(SIX_CELLS, RunLayout(home))


def test_a_place_at_a_store_with_other_objects_is_refused_as_it_is(six_cells):
    place = ObjectPlace("s3://bucket/runs", MemoryStore())
    place.write("demo/study.json", b"a run of its own")
    with pytest.raises(InputError, match=r"s3://bucket/runs holds demo, and no run; .* such as s3://bucket/runs/tiny$"):
        push_to(place, six_cells)
    assert place.keys() == ["demo/study.json"]
