"""Where cells go: how many workers, which GPU each has, what does not fit on one, which cell goes first."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from several import several_study
from tiny import tiny_study

from fly64dask.base import InputError, ResourceError
from fly64dask.cells import new_run_id
from fly64dask.datasets import read_inputs
from fly64dask.monitoring import CellOutcome, CellStarted, Timekeeper
from fly64dask.scheduling import (
    GraphBuilder,
    GraphOptions,
    cores_hint,
    expected_lengths,
    expected_work,
    find_misfit,
    gpu_of_worker,
    n_local_workers,
    plan_cells,
    refuse_crowded,
    refuse_idle_slots,
)
from fly64dask.scheduling.packing import CONTEXT_BYTES
from fly64dask.store import RunLayout
from fly64dask.study import Cell, cells

STUDY = tiny_study()
TWO = several_study().recipes


@pytest.mark.parametrize(
    ("asked", "gpus", "slots", "n_cells", "expected"),
    [
        (None, (), 1, 18, 16),  # a core each
        (None, (), 4, 18, 16),  # slots are of GPUs
        (None, ("0", "1"), 1, 18, 2),
        (None, ("0", "1"), 4, 18, 8),
        (3, ("0", "1"), 4, 18, 3),
        (None, ("0", "1"), 4, 5, 5),
        (None, (), 1, 0, 1),
    ],
)
def test_n_local_workers_counts_slots_or_cores_and_never_more_than_cells(asked, gpus, slots, n_cells, expected):
    assert n_local_workers(asked, gpus=gpus, slots_per_gpu=slots, n_cores=16, n_cells=n_cells) == expected


@pytest.mark.parametrize(
    ("exposures", "n_threads", "n_cores", "expected"),
    [
        ([300], 1, 2, "--threads 2"),
        ([1000, 5], 1, 9, "--threads 4"),
        ([299], 1, 2, None),  # small
        ([1000, 1000], 1, 3, None),  # a core is left, and no cell may have it
        ([1000], 2, 8, None),  # somebody has decided
    ],
)
def test_cores_hint_names_threads_for_few_big_cells(exposures, n_threads, n_cores, expected):
    lengths = dict(zip(cells(STUDY), exposures, strict=False))
    hint = cores_hint(lengths, n_workers=1, n_threads=n_threads, n_cores=n_cores)
    assert (expected is None) == (hint is None)
    assert expected is None or f"{expected} " in hint


@given(st.integers(1, 64), st.integers(1, 8), st.integers(1, 64))
def test_cores_hint_says_when_threads_outnumber_cores(n_workers, n_threads, n_cores):
    hint = cores_hint({}, n_workers=n_workers, n_threads=n_threads, n_cores=n_cores)
    assert (hint is not None) == (n_workers * n_threads > n_cores)


@given(st.integers(1, 8), st.integers(1, 8))
def test_gpu_of_worker_gives_each_gpu_as_many_workers_as_it_has_slots(n_gpus, slots):
    gpus = [f"GPU-{number}" for number in range(n_gpus)]
    assert Counter(gpu_of_worker(number, gpus) for number in range(n_gpus * slots)) == dict.fromkeys(gpus, slots)


def test_find_misfit_gives_the_largest_cell_from_one_byte_too_many():
    plan = plan_cells(STUDY, read_inputs(STUDY), cells(STUDY))
    largest = max(cell.predicted_memory_bytes or 0 for cell in plan)
    assert find_misfit(plan, largest + 7, overhead_bytes=7) is None
    misfit = find_misfit(plan, largest + 6, overhead_bytes=7)
    assert misfit is not None
    assert misfit.planned.predicted_memory_bytes == largest
    assert misfit.needed_bytes == largest + 7
    assert find_misfit([], 0, overhead_bytes=7) is None


@given(st.integers(1, 8), st.integers(0, 10**6))
def test_refuse_crowded_advises_the_most_slots_that_fit(fitting, spare):
    plan = plan_cells(STUDY, read_inputs(STUDY), cells(STUDY))
    needed = max(cell.predicted_memory_bytes or 0 for cell in plan) + CONTEXT_BYTES
    memory_bytes = {"0": fitting * needed + spare}
    refuse_crowded(plan, memory_bytes, slots_per_gpu=fitting)
    with pytest.raises(ResourceError, match=rf"--slots-per-gpu {fitting}`"):
        refuse_crowded(plan, memory_bytes, slots_per_gpu=fitting + 1)


@pytest.mark.parametrize("where", ["tcp://127.0.0.1:8786", "cluster.toml"])
def test_refuse_idle_slots_names_where_cells_go_instead(where):
    with pytest.raises(InputError, match=rf"--slots-per-gpu 2 applies to local workers, .* at {where}; leave it out"):
        refuse_idle_slots(2, where=where, gpus=())


def test_refuse_idle_slots_refuses_shared_ones_wherever_no_local_gpu_is():
    def is_refused(slots, where, gpus):
        try:
            refuse_idle_slots(slots, where=where, gpus=gpus)
        except (InputError, ResourceError):
            return True
        return False

    ways = itertools.product((1, 2), ("local", "cluster.toml"), ((), ("0",)))
    assert {way for way in ways if is_refused(*way)} == {
        (2, "local", ()),
        (2, "cluster.toml", ()),
        (2, "cluster.toml", ("0",)),
    }


def test_refuse_crowded_names_cell_sizes_and_the_slots_that_fit_the_smallest_gpu():
    plan = plan_cells(STUDY, read_inputs(STUDY), cells(STUDY))
    needed = max(cell.predicted_memory_bytes or 0 for cell in plan) + CONTEXT_BYTES
    refuse_crowded(plan, {"0": 9 * needed, "1": 3 * needed}, slots_per_gpu=3)
    with pytest.raises(ResourceError, match=r"/all/\w+ with \d+ exposures.*GPU 1 has.*--slots-per-gpu 3"):
        refuse_crowded(plan, {"0": 9 * needed, "1": 3 * needed}, slots_per_gpu=4)


def test_refuse_crowded_says_that_nothing_fits():
    plan = plan_cells(STUDY, read_inputs(STUDY), cells(STUDY))
    with pytest.raises(ResourceError, match="lower the recipe's batch_size"):
        refuse_crowded(plan, {"0": CONTEXT_BYTES}, slots_per_gpu=1)


def test_expected_lengths_order_views_as_selection_does():
    inputs = read_inputs(STUDY)
    some = [cell for cell in cells(STUDY) if cell.split == "train" and cell.dose == 1e4]
    kept = {planned.cell: planned.n_kept for planned in plan_cells(STUDY, inputs, some)}
    lengths = expected_lengths(STUDY, inputs, some)
    assert sorted(some, key=lambda cell: lengths[cell]) == sorted(some, key=lambda cell: kept[cell])


def test_expected_lengths_of_a_baseline_are_its_exposures():
    inputs = read_inputs(STUDY)
    lengths = expected_lengths(STUDY, inputs, cells(STUDY))
    y = inputs.positions_px[:, 0]
    below = int(np.sum(y < y.min() + 0.5 * (y.max() - y.min())))
    assert lengths[Cell(dose=1e4, view="all", split="train")] == below


def test_graph_puts_long_cells_first_and_what_short_ones_wait_for_last(tmp_path):
    wanted = cells(STUDY)
    lengths = {cell: {"all": 30, "few": 5, "one": 1}[cell.view] for cell in wanted}
    options = GraphOptions(use_gpu=False, lengths=lengths)
    graph = next(GraphBuilder(STUDY, wanted, new_run_id(RunLayout(tmp_path)), options).windows())
    found = set()
    for layer in graph.rows_task.__dask_graph__().layers.values():
        priority = (layer.annotations or {}).get("priority")
        for key in layer:
            what, view = str(key).split("-")[0], {"all", "few", "one"} & set(re.split("[-_]", str(key)))
            found.add((what, *view, priority(key) if callable(priority) else priority))
    views = {(what, view, n) for what in ("select", "reconstruct") for view, n in (("all", 30), ("few", 5), ("one", 1))}
    # What has ended is read at once, so that the scheduler can forget it.
    assert found == {("prepare", 30), ("expose", 30), ("collect", 31)} | views


def test_occupancy_counts_what_ran_and_nothing_that_was_done_before(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    timekeeper = Timekeeper()
    first, second, third = cells(STUDY)[:3]
    for at, event in [
        (110, CellStarted(cell=first, worker="0", host="here")),
        (110, CellStarted(cell=second, worker="1", host="here")),
        (111, CellOutcome(cell=third, failure=None, seconds=500.0, was_done=True)),
        (114, CellOutcome(cell=second, failure=None, seconds=4.0)),
        (120, CellOutcome(cell=first, failure=None, seconds=10.0)),
    ]:
        now[0] = at
        timekeeper.take(event)
    now[0] = 128
    found = timekeeper.occupancy(2)
    assert (found.fraction, found.fraction_of_whole) == (14 / 20, 14 / 56)


def test_occupancy_is_absent_when_no_cell_ran():
    assert Timekeeper().occupancy(2) is None


def test_plan_predicts_memory_and_failure_of_each_recipe_apart():
    recipes = [one.model_copy(update={"on_degenerate": "guarded"} if one.name == "poisson" else {}) for one in TWO]
    study = several_study(recipes=tuple(recipes))
    plan = {planned.cell: planned for planned in plan_cells(study, read_inputs(study), cells(study))}
    pairs = [(cell, replace(cell, recipe_name="poisson")) for cell in plan if cell.recipe_name == "gauss"]
    # The other recipe has all exposures in one batch.
    assert all(plan[one].predicted_memory_bytes < plan[other].predicted_memory_bytes for one, other in pairs[:2])
    (one, other) = next((one, other) for one, other in pairs if one.view == "one")
    assert (plan[one].warning[-9:], plan[other].warning[-12:]) == ("will fail", "runs guarded")


def test_plan_tells_the_light_of_each_object_apart():
    study = several_study()
    plan = plan_cells(study, read_inputs(study), cells(study))
    assert len({planned.incident_photons for planned in plan if planned.view == "all"}) == 2


def test_expected_work_puts_the_recipe_of_more_epochs_first():
    study = several_study()
    work = expected_work(study, dict.fromkeys(cells(study), 10))
    assert {cell.recipe_name: n for cell, n in work.items()} == {"gauss": 30, "poisson": 20}
