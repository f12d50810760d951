"""Rounds of an adaptive run: it goes on to a narrow limit, and a killed one continues with the same cells."""

from __future__ import annotations

import shutil

import pytest
from command_line import run_command
from noisy_engine import ENGINE
from running import PATHS, running
from tiny import TEXT

from fly64dask.base import InputError
from fly64dask.deploy import Placement
from fly64dask.records import read_run_study, write_run_study
from fly64dask.runs import continued_study, next_round, open_run, run_study, verify_run
from fly64dask.store import RunLayout
from fly64dask.study import Filters, cells, dose_name, parse_study

pytestmark = pytest.mark.process

VIEWS = 'views = [{name = "all", rule = "baseline"}, {name = "few", rule = "min_spacing", threshold_px = 12.0}]'
# Errors are sqrt(0.256^2 + 100 / dose) rad or so, an empty object having 0.256: 0.38 rad need some 1.3e3 photons.
ADAPTIVE = (
    TEXT[: TEXT.index("views =")].replace("[1e4, 1e5]", "[1e3, 1e5]")
    + VIEWS
    + '\nsplit = "none"\ntargets = [{phase_error_rad = 0.38}]\nadaptive = {factor = 2, max_cells = 30}\n'
    + TEXT[TEXT.index("overlap =") :]
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run to the end: the study as it was written, the run, and what it said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATHS)
        study, said = parse_study(ADAPTIVE, origin="x.toml"), []
        root = tmp_path_factory.mktemp("rounds") / "run"
        run = run_study(study, root, placement=Placement(n_workers=1), engine=ENGINE, say=said.append)
    return study, run, said


def test_each_view_ends_with_a_bracket_within_the_factor(finished):
    _, run, _ = finished
    for limit in run.limits().targets[0].doses:
        assert limit.outcome == "reached"
        assert limit.first_reach / limit.last_miss <= 2


def test_added_cells_are_cells_of_the_run(finished):
    study, run, _ = finished
    added = set(cells(run.study)) - set(cells(study))
    assert {row.cell for row in run.rows} == set(cells(run.study))
    assert len(added) == sum(each.n_repeats for each in run.study.added) > 0
    assert run.n_failed() == 0


def test_the_directory_says_what_was_added_and_why(finished):
    _, run, _ = finished
    stored = read_run_study(run.layout).added
    assert stored == run.study.added
    assert stored[0].round == 1
    assert "between 1e3, which misses, and 1e5, which reaches" in stored[0].reason


def test_a_line_says_each_round_and_one_how_each_limit_ended(finished):
    _, run, said = finished
    rounds = [line for line in said if line.startswith("round ")]
    assert len(rounds) == max(each.round for each in run.study.added)
    assert sum("narrow enough" in line for line in said) == 2


def test_every_byte_is_as_the_records_say(finished):
    _, run, _ = finished
    assert verify_run(run.study, run.layout) == ()


def test_rows_say_in_which_round_their_cells_were_added_and_why(finished):
    study, run, _ = finished
    own = set(cells(study))
    for row in run.rows:
        assert (row.round is None) == (row.cell in own)
    first = next(row for row in run.rows if row.round == 1)
    assert "between 1e3, which misses, and 1e5, which reaches" in first.round_reason
    assert set(run.table()["round"].dropna()) == {each.round for each in run.study.added}


def test_status_says_what_each_round_added(finished):
    _, run, said = finished
    shown = run_command("status", run.layout.root, cwd=run.layout.root).stdout
    for line in said:
        if line.startswith("round "):
            assert line in shown


def test_tables_have_a_line_for_each_cell_and_the_dataset_places_without(finished):
    _, run, _ = finished
    assert len(run.table()) == len(cells(run.study))
    doses = run.metrics.sizes["dose"]
    assert doses == 2 + len({each.dose for each in run.study.added})


def test_the_report_shows_added_doses(finished, tmp_path):
    _, run, _ = finished
    page = run.report(tmp_path / "report.html")
    assert dose_name(run.study.added[0].dose) in page.read_text()


def test_a_run_at_its_end_has_no_next_round(finished):
    study, run, _ = finished
    coming = next_round(continued_study(study, run.layout), run.layout)
    assert coming.additions == ()
    assert coming.lines[0] == "next round: none"


def test_before_the_first_cell_the_next_round_is_not_known(tmp_path):
    coming = next_round(parse_study(ADAPTIVE, origin="x.toml"), RunLayout(tmp_path / "new"))
    assert (coming.additions, coming.lines) == ((), ("next round: decided when 4 pending cells have ended",))


def test_a_run_that_has_had_a_round_says_what_the_next_would_add(finished, tmp_path):
    """A copy whose study knows of the first round alone: the next is the second of the whole run."""
    study, run, _ = finished
    copied = RunLayout(shutil.copytree(run.layout.root, tmp_path / "copy"))
    first = tuple(each for each in run.study.added if each.round == 1)
    write_run_study(copied, run.study.model_copy(update={"added": first}))
    coming = next_round(continued_study(study, copied), copied)
    assert coming.additions == tuple(each for each in run.study.added if each.round == 2)
    assert coming.lines[0].startswith("next round 2, ")


def test_the_same_call_again_adds_nothing(finished, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PATHS)
    study, run, _ = finished
    again = run_study(study, run.layout.root, placement=Placement(n_workers=1), engine=ENGINE)
    assert again.study.added == run.study.added
    assert all(outcome.was_done for outcome in again.outcomes.values())


def test_a_run_that_is_killed_between_rounds_goes_on_to_the_same_cells(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PATHS)
    _, whole, _ = finished
    with running(tmp_path, study=ADAPTIVE, engine=ENGINE, epoch_s=0.3) as under_way:
        under_way.wait_for(lambda: "round 2" in under_way.said.read_text())
        under_way.kill()
        layout = under_way.layout
    begun = read_run_study(layout).added
    assert begun == whole.study.added[: len(begun)]
    study = parse_study(ADAPTIVE, origin="x.toml")
    run = run_study(study, layout.root, placement=Placement(n_workers=1), engine=ENGINE)
    assert run.study.added == whole.study.added
    assert open_run(layout.root).limits() == whole.limits()


def test_with_filters_nothing_is_added(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PATHS)
    study, said = parse_study(ADAPTIVE, origin="x.toml"), []
    filters = Filters(view=("all",))
    run = run_study(
        study, tmp_path / "run", filters=filters, placement=Placement(n_workers=1), engine=ENGINE, say=said.append
    )
    assert run.study.added == ()
    assert "adaptive: nothing is added, as not all cells were asked for" in said


def test_a_damaged_study_of_a_run_is_named_where_rounds_are_decided_again(tmp_path):
    study, said, layout = parse_study(ADAPTIVE, origin="x.toml"), [], RunLayout(tmp_path)
    layout.study_file.write_text("{}")
    assert continued_study(study, layout, said.append) == study
    assert "the cells that rounds have added are not known and are chosen again" in said[0]


def test_a_directory_of_another_studys_run_is_refused_and_left_as_it_is(tmp_path):
    layout = RunLayout(tmp_path)
    write_run_study(layout, parse_study(ADAPTIVE, origin="x.toml"))
    before = layout.study_file.read_bytes()
    other = parse_study(ADAPTIVE.replace('name = "tiny"', 'name = "other"'), origin="y.toml")
    with pytest.raises(
        InputError, match="holds a run of study 'tiny', this one is of 'other'; give a directory of its"
    ):
        run_study(other, tmp_path, engine=ENGINE)
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]
    assert layout.study_file.read_bytes() == before
