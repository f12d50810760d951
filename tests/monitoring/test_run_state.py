"""Events to the state of every cell: each claim is a few events and what they must add up to."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, strategies as st
from several import several_study
from tiny import tiny_study

from fly64dask.base import Failure, FailureKind
from fly64dask.metrics import HalfSetMetrics, TruthMetrics
from fly64dask.monitoring import CellOutcome, CellProgress, CellStarted, RoomAwaited, sparkline
from fly64dask.monitoring.dashboard.run_state import STATES, RunState
from fly64dask.monitoring.loss_curve import MAX_POINTS, packed_course, relative_heights, unpacked_course, with_loss
from fly64dask.records import ManifestRow, RelativeError
from fly64dask.study import Addition, Cell, cells

STUDY = tiny_study()
CELL = Cell(dose=1e4, view="all", split="train")
METRICS = TruthMetrics.model_construct(phase_rmse_rad=0.1, empty_phase_rmse_rad=0.25)
RELATIVE = RelativeError(error_over_empty=0.4, floor_rad=0.1, error_over_floor=1.0, limited_by="convergence")
FAILURE = Failure(kind=FailureKind.TIMED_OUT, message="engine ran for 9 s, allowed are 8 s; raise limits.wall_time_s")


def started(cell=CELL, worker="3"):
    return CellStarted(cell=cell, worker=worker, host="node-7")


def epoch(number, loss=0.5, cell=CELL, worker="3"):
    return CellProgress(cell=cell, epoch=number, n_epochs=3, loss=loss, worker=worker, host="node-7")


def row(state="completed", cell=CELL, **more):
    made = {"dose": cell.dose, "view": cell.view, "split": cell.split, "state": state, "log_path": "x/ptychi.log"}
    return ManifestRow.model_validate(made | {"returncode": int(state != "completed")} | more)


def ended(failure=None, committed=True):
    return CellOutcome(cell=CELL, failure=failure, seconds=2.0, committed=committed)


def after(*events, rows=(), last_row=None):
    run = RunState(STUDY, cells(STUDY), rows, now_s=100.0)
    for number, event in enumerate(events):
        run.take(event, last_row if isinstance(event, CellOutcome) else None, now_s=101.0 + number)
    return run


def shown(run, now_s=110.0):
    return {cell["name"]: cell for cell in run.as_json(now_s=now_s)["cells"]}[CELL.name]


def test_run_state_has_every_cell_of_the_study_line_by_line():
    lines = [(dose, split) for dose in ("dose_10000", "dose_100000") for split in ("train", "test")]
    names = [f"{dose}/{view}/{split}" for dose, split in lines for view in ("all", "few", "one")]
    assert [cell["name"] for cell in after().as_json(now_s=110.0)["cells"]] == names


def test_run_state_says_in_which_round_a_cell_was_added_and_why():
    added = Addition(dose=3e4, view="all", split="train", n_repeats=1, round=2, reason="the spread decides")
    study = tiny_study(added=(added,))
    document = RunState(study, cells(study), [], now_s=0.0).as_json(now_s=1.0)
    assert document["round"] == 2
    said = {cell["dose"]: cell["added"] for cell in document["cells"] if "added" in cell}
    assert said == {"dose_30000": "added in round 2: the spread decides"}


def test_run_state_names_recipe_and_object_of_a_cell_where_a_study_has_several():
    study = several_study()
    document = RunState(study, cells(study), [], now_s=0.0).as_json(now_s=1.0)
    of_a_split = ["gauss, object 7", "gauss, object 8", "poisson, object 7", "poisson, object 8"]
    assert [line["section"] for line in document["lines"]] == 2 * of_a_split
    places = {(cell["view"], cell["split"], cell["section"]) for cell in document["cells"]}
    assert len(places) == len(document["cells"]) == 24


def waits(reason, cell=CELL, worker="3"):
    return RoomAwaited(cell=cell, reason=reason, worker=worker, host="node-7")


def test_run_state_shows_why_a_running_cell_waits_for_room_until_it_goes_on():
    run = after(started(), epoch(2))
    run.wait(waits("no space left"), now_s=104.0)
    assert (shown(run)["state"], shown(run)["epoch"], shown(run)["waits"]) == ("running", 2, "no space left")
    run.wait(waits(None), now_s=105.0)
    assert "waits" not in shown(run)


def test_run_state_has_a_line_for_the_first_that_waits_for_room_and_for_the_last_that_goes_on():
    run, other = after(started()), {"cell": None, "worker": "4"}
    words = "disk: no space left; the run waits until there is space, and then continues by itself"
    events = (waits("no space left"), waits("none here", **other), waits(None), waits(None, **other))
    lines = [run.wait(event, now_s=104.0) for event in events]
    assert lines == [words, None, None, "disk: the wait for space is over"]


def test_run_state_tells_the_epochs_that_a_cell_runs_from_its_first_epoch_on():
    assert "n_epochs" not in shown(after(started()))
    assert shown(after(started(), epoch(1)))["n_epochs"] == 3


def test_run_state_tells_pending_from_not_wanted():
    run = RunState(STUDY, [CELL], [], now_s=0.0)
    assert {name: n for name, n in run.counts().items() if n} == {"pending": 1, "left_out": 11}


def test_run_state_shows_what_earlier_runs_have_committed():
    run = after(rows=[row(n_epochs=3, final_loss=0.25, n_kept=40)])
    assert shown(run) | {"state": "completed", "epoch": 3, "loss": 0.25, "n_kept": 40, "ended": False} == shown(run)


def test_run_state_shows_marks_and_says_what_those_mean_that_occur():
    document = after(rows=[row(underdetermined=True).model_copy(update={"outdated": "of other data"})]).as_json(
        now_s=1.0
    )
    marked = {cell["name"]: cell["marks"] for cell in document["cells"] if "marks" in cell}
    assert marked == {CELL.name: ("?", "≠ study")}
    assert [mark["sign"] for mark in document["marks"]] == ["?", "≠ study"]
    assert all(mark["words"] for mark in document["marks"])


def test_run_state_marks_a_completed_cell_anew_when_its_floor_is_known():
    run = after(started(), ended(), last_row=row(n_epochs=3))
    run.complete(row().model_copy(update={"relative": RELATIVE, "metrics": METRICS}))
    assert shown(run)["marks"] == ("⌊epochs",)
    assert shown(run)["epoch"] == 3


def test_run_state_leaves_a_cell_that_runs_again_unmarked():
    run = after(started())
    run.complete(row(underdetermined=True))
    assert "marks" not in shown(run)


def test_run_state_gives_a_sign_for_each_state():
    signs = after().as_json(now_s=1.0)["signs"]
    assert set(STATES) <= set(signs)
    assert len(set(signs.values())) == len(signs)


@pytest.mark.parametrize(
    ("half_sets", "words"),
    [
        (None, "no resolution"),
        (HalfSetMetrics(split_by="counts", resolution_px=1.0, resolution_nm=8.4), "≤ 1 px = 8.4 nm"),
    ],
)
def test_run_state_shows_the_resolution_of_a_completed_cell_without_a_truth(half_sets, words):
    assert shown(after(rows=[row(half_sets=half_sets)]))["resolution"] == words


def test_counts_has_every_state():
    assert tuple(after().counts()) == STATES


def test_take_shows_where_a_started_cell_runs():
    found = shown(after(started()))
    assert (found["state"], found["worker"], found["host"], found["epoch"]) == ("running", "3", "node-7", 0)


def test_take_shows_the_last_epoch_and_its_loss():
    found = shown(after(started(), epoch(1, 0.5), epoch(2, 0.25)))
    assert (found["epoch"], found["loss"]) == (2, 0.25)


def test_take_counts_epochs():
    assert after(started(), epoch(1), epoch(2)).n_epochs_done == 2


def test_take_ends_a_cell_as_its_record_says():
    run = after(started(), epoch(1), ended(), last_row=row(n_epochs=3, final_loss=0.125))
    assert (shown(run)["state"], shown(run)["loss"], shown(run)["ended"]) == ("completed", 0.125, True)


def test_take_keeps_epoch_and_course_of_a_cell_that_failed():
    failed = row("failed", failure_kind="timed_out", error=FAILURE.message)
    found = shown(after(started(), epoch(1, 0.5), epoch(2, 0.25), ended(FAILURE), last_row=failed))
    assert (found["epoch"], found["course"]) == (2, ((1, 1.0), (2, 0.0)))
    assert found["failure"] == f"timed_out: {FAILURE.message}"
    assert found["log"] == "x/ptychi.log"


def test_take_shows_a_cell_that_cannot_be_selected_as_skipped():
    skipped = row("skipped", failure_kind="not_selectable", error="kept 0 of 9")
    assert shown(after(started(), ended(FAILURE), last_row=skipped))["state"] == "skipped"


def test_take_shows_the_failure_of_an_attempt_that_was_not_committed():
    before = row(n_epochs=3)
    found = shown(after(started(), ended(FAILURE, committed=False), rows=[before], last_row=before))
    assert (found["state"], found["failure"]) == ("failed", f"timed_out: {FAILURE.message}")


def test_take_forgets_an_earlier_failure_when_the_cell_runs_again():
    earlier = row("failed", failure_kind="timed_out", error="x")
    assert "failure" not in shown(after(started(), rows=[earlier]))


def test_take_ignores_an_epoch_that_comes_after_the_end():
    run = after(started(), ended(), last_row=row(n_epochs=3))
    before = run.as_json(now_s=130.0)
    run.take(epoch(2), now_s=120.0)
    assert run.as_json(now_s=130.0) == before
    assert run.n_epochs_done == 0


def test_take_ignores_a_cell_of_another_study():
    run = after()
    before = run.as_json(now_s=130.0)
    run.take(started(Cell(dose=7.0, view="all", split="train")), now_s=120.0)
    assert run.as_json(now_s=130.0) == before


def test_take_drops_the_course_of_a_lost_worker_when_another_begins_anew():
    found = shown(after(started(), epoch(1, 8.0), epoch(2, 4.0), started(worker="4"), epoch(1, 2.0, worker="4")))
    assert (found["worker"], found["epoch"], found["course"]) == ("4", 1, ((1, 0.5),))


@pytest.mark.parametrize(("dose_by", "unit"), [("exposure", "photons per exposure"), ("total", "photons in total")])
def test_as_json_says_what_a_dose_counts(dose_by, unit):
    study = STUDY.model_copy(update={"dose_by": dose_by})
    assert RunState(study, cells(study), [], now_s=0.0).as_json(now_s=1.0)["dose_unit"] == unit


def test_as_json_tells_how_long_a_cell_has_said_nothing():
    assert shown(after(started(), epoch(1)), now_s=142.0)["heard_s"] == 40.0


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_as_json_is_json_whatever_the_loss(loss):
    text = json.dumps(after(started(), epoch(1, loss)).as_json(now_s=110.0), allow_nan=False)
    assert "loss" not in {cell["name"]: cell for cell in json.loads(text)["cells"]}[CELL.name]


def run_of(n_doses):
    """A run of six cells for each of so many doses, and its cells."""
    study = tiny_study(doses_photons=tuple(float(d) for d in range(1, n_doses + 1)))
    return RunState(study, cells(study), [], now_s=0.0), cells(study)


def pages(run):
    first = run.as_json(now_s=3.0)
    return [first, *(run.as_json(number, now_s=3.0) for number in range(1, first["n_pages"]))]


def test_an_answer_stays_small_whatever_the_number_of_cells():
    run, all_cells = run_of(1700)
    assert len(all_cells) == 10_200
    for cell in all_cells[:600]:
        run.take(started(cell), now_s=1.0)
        for number in range(0, 100, 2):
            run.take(epoch(number + 1, 1 / (number + 1), cell), now_s=2.0)
    for cell in all_cells[600:]:
        failure = Failure(kind=FailureKind.CRASHED, message=5000 * "x")
        run.take(CellOutcome(cell=cell, failure=failure, seconds=1.0, committed=False), now_s=3.0)
    assert max(len(json.dumps(page, separators=(",", ":"))) for page in pages(run)) < 1_000_000


def test_pages_have_every_cell_once():
    run, all_cells = run_of(300)
    names = [cell["name"] for page in pages(run) for cell in page["cells"]]
    assert sorted(names) == sorted(cell.name for cell in all_cells)


def test_pages_have_whole_lines():
    run, _ = run_of(300)
    for page in pages(run):
        assert len(page["cells"]) == 3 * len(page["lines"])


def test_map_has_the_state_of_each_cell_in_the_order_of_the_pages():
    run, all_cells = run_of(300)
    run.take(started(all_cells[-1]), now_s=1.0)
    answers = pages(run)
    states = [cell["state"] for page in answers for cell in page["cells"]]
    assert [answers[0]["states"][int(digit)] for digit in answers[0]["map"]] == states
    assert answers[0]["page_sizes"] == [len(page["cells"]) for page in answers]


def test_a_small_run_has_one_page_and_no_map():
    answer = after().as_json(now_s=1.0)
    assert (answer["n_pages"], "map" in answer) == (1, False)


def test_a_page_beyond_the_last_is_the_last():
    run, _ = run_of(300)
    assert run.as_json(99, now_s=1.0)["page"] == len(pages(run)) - 1


def test_counts_are_those_of_all_pages():
    run, all_cells = run_of(300)
    run.take(started(all_cells[-1]), now_s=1.0)
    counts = run.as_json(now_s=2.0)["counts"]
    assert (counts["running"], counts["pending"]) == (1, len(all_cells) - 1)


def test_with_loss_keeps_few_points_evenly_apart_and_the_last():
    points = ()
    for number in range(1, 1001):
        points = with_loss(points, number, 1.0 / number)
    assert len(points) <= MAX_POINTS + 1
    assert [number for number, _ in points] == [*range(32, 1000, 32), 1000]


@given(st.lists(st.floats(), max_size=300))
def test_with_loss_keeps_finite_losses_of_rising_epochs(losses):
    points = ()
    for number, loss in enumerate(losses, start=1):
        points = with_loss(points, number, loss)
    assert [number for number, _ in points] == sorted({number for number, _ in points})
    assert all(math.isfinite(loss) and losses[number - 1] == loss for number, loss in points)
    assert len(points) <= MAX_POINTS + 1


def test_relative_heights_are_logarithmic_for_positive_losses():
    assert relative_heights([100.0, 10.0, 1.0]) == pytest.approx([1.0, 0.5, 0.0])


def test_relative_heights_are_linear_otherwise():
    assert relative_heights([4.0, 2.0, 0.0]) == [1.0, 0.5, 0.0]


def test_packed_course_reads_back_as_epochs_and_heights():
    assert unpacked_course(packed_course(((1, 100.0), (5000, 10.0), (70000, 1.0)))) == (
        (1, 1.0),
        (5000, 0.5),
        (70000, 0.0),
    )
    assert unpacked_course(packed_course(())) == ()


def test_sparkline_falls_as_the_loss_does():
    assert sparkline(((1, 128.0), (2, 16.0), (3, 2.0), (4, 1.0)), width=16) == "█▅▂▁"


def test_sparkline_is_no_longer_than_asked():
    assert len(sparkline(tuple((n, float(n)) for n in range(1, 49)), width=16)) == 16


def test_sparkline_of_one_point_is_empty():
    assert sparkline(((1, 1.0),), width=16) == ""
