"""Minibatches that are recorded for a GPU: what is recorded is what pty-chi's loop would call, to the bit.

Here a recording is the function itself, called again: what a graph of a GPU repeats is for `scripts/gpu_proof.py`.
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from fly64dask.reconstruction import ACCELERATED, Exposures
from fly64dask.reconstruction.lsqml.interleaved import FULL_DATA, HALVES, InterleavedTasks, SeededTask
from fly64dask.reconstruction.lsqml.random_draws import StepSizeOfCpuDraws, seed_streams
from fly64dask.reconstruction.lsqml.state import losses, read_epochs
from fly64dask.reconstruction.lsqml.steps import Acceleration, acceleration, launches, replaced
from fly64dask.reconstruction.lsqml.steps.fast_steps import FastSteps
from fly64dask.reconstruction.lsqml.steps.launches import Launches
from fly64dask.reconstruction.lsqml.steps.places import added_as_integers
from fly64dask.reconstruction.lsqml.steps.recorded_steps import RecordedSteps, obstacle
from fly64dask.reconstruction.lsqml.steps.replacements import plain_loss_table, replacements
from fly64dask.reconstruction.lsqml.steps.self_check import recording_problem
from fly64dask.reconstruction.lsqml.task import build_task
from fly64dask.study import Recipe

RECIPE = Recipe(n_epochs=5, batch_size=16, device="cpu")
WAYS = {
    "gaussian": {},
    "poisson": {"noise_model": "poisson"},
    "probe fixed": {"optimise_probe": False},
    "late updates": {"object_update_start": 3, "probe_update_start": 4},
    "uniform minibatches": {"batching": "uniform", "batch_size": 8},
    "one minibatch": {"batch_size": "all"},
    "two probe modes": {},
    "masked": {},
}


PARTS = (slice(0, None, 2), slice(1, None, 2))


@pytest.fixture(scope="module")
def dense():
    rng = np.random.default_rng(3)
    probe = rng.normal(size=(2, 16, 18)) + 1j * rng.normal(size=(2, 16, 18))
    return Exposures(
        counts=rng.poisson(rng.exponential(30, (39, 16, 18))).astype(np.uint32),
        positions_px=rng.uniform(0, 25, (39, 2)),
        probe_guess=probe[None, :1].astype(np.complex64),
    )


def exposures_of(way, dense):
    """The exposures that a way of `WAYS` reconstructs."""
    if way == "masked":
        valid = np.ones(dense.counts.shape[1:], bool)
        valid[5:7] = False
        return replace(dense, counts=dense.counts * valid, valid_pixels=valid)
    if way == "two probe modes":
        second = np.roll(dense.probe_guess, 3, axis=-1) * np.float32(0.2)
        return replace(dense, probe_guess=np.concatenate([dense.probe_guess, second], axis=1))
    return dense


def built(exposures, recipe):
    """A task that draws its random numbers as one on a GPU does."""
    task = build_task(exposures, recipe, device="cpu", seed=1)
    reconstructor = task.reconstructor
    if recipe.noise_model == "poisson":
        reconstructor.get_psi_far_step_size = StepSizeOfCpuDraws(reconstructor.get_psi_far_step_size)
    return task


def seeded(tasks):
    """Tasks of one process, the full data's first."""
    names = (FULL_DATA, *HALVES)[: len(tasks)]
    return InterleavedTasks({name: SeededTask(task=task, seed=7) for name, task in zip(names, tasks, strict=True)})


def one_after_the_other(works):
    return lambda: [work() for work in works]


@contextmanager
def recorded(tasks, record=one_after_the_other):
    """Let tasks run on recorded steps; gives their launches."""
    with ExitStack() as stack:
        steps = {}
        for name, task in tasks.tasks.items():
            plain = FastSteps(task.reconstructor)
            stack.enter_context(replaced(replacements(task, plain)))
            stack.enter_context(plain_loss_table(task.reconstructor.loss_tracker))
            steps[name] = RecordedSteps(plain)
            stack.enter_context(replaced(steps[name].replacements()))
        launches = Launches(steps, record)
        tasks._acceleration = Acceleration(ways={}, steps={of: steps[of].plain for of in steps}, launches=launches)
        yield launches


@contextmanager
def called(tasks):
    """Let tasks run on the steps that are recorded, called one by one."""
    with recorded(tasks):
        tasks._acceleration = replace(tasks._acceleration, launches=None)
        yield


@contextmanager
def accelerated_as_on_a_gpu(tasks, monkeypatch, record=one_after_the_other):
    """Let tasks run on what is chosen for a GPU, where a recording is its function."""
    monkeypatch.setattr(acceleration, "is_on_gpu", lambda task: True)
    monkeypatch.setattr(acceleration, "Launches", partial(Launches, record=record))
    with tasks.accelerated(enabled=True) as way:
        yield way


def results(task):
    """What a task has made."""
    return {
        "object": task.get_data_to_cpu("object", as_numpy=True),
        "probe": task.get_data_to_cpu("probe", as_numpy=True),
        "object steps": task.reconstructor.reconstructor_buffers.alpha_object_all_pos_all_slices.numpy(),
        "far steps": task.reconstructor.alpha_psi_far_all_pos.numpy(),
    }


def ran(tasks, way, n_epochs):
    """What tasks make in some epochs, one dictionary each."""
    seed_streams(7)  # an only task has those of the process
    with way(tasks):
        for _ in range(n_epochs):
            tasks.run_epoch()
    return [results(task) for task in tasks.tasks.values()]


@pytest.mark.parametrize("way", WAYS)
def test_recorded_minibatches_make_what_called_ones_make(dense, way):
    recipe = Recipe.model_validate(RECIPE.model_dump() | WAYS[way])
    ones, others = (seeded([built(exposures_of(way, dense), recipe)]) for _ in range(2))
    (expected,), (found,) = ran(ones, called, recipe.n_epochs), ran(others, recorded, recipe.n_epochs)
    for name, values in expected.items():
        assert np.array_equal(found[name], values), name
    # The loss of an epoch is summed up on the GPU, in the same order.
    assert losses(others.full) == pytest.approx(losses(ones.full), rel=1e-6)


@pytest.mark.parametrize("fewer", ["photons", "exposures"])
@pytest.mark.parametrize("way", ["gaussian", "poisson", "uniform minibatches"])
def test_tasks_that_are_launched_together_make_what_each_makes_alone(dense, way, fewer):
    recipe = Recipe.model_validate(RECIPE.model_dump() | WAYS[way])
    if fewer == "photons":
        parts = [replace(dense, counts=dense.counts // 2), replace(dense, counts=dense.counts - dense.counts // 2)]
    else:  # which have fewer minibatches than the full data, and smaller ones
        parts = [replace(dense, counts=dense.counts[of], positions_px=dense.positions_px[of]) for of in PARTS]
    every = [dense, *parts]
    found = ran(seeded([built(of, recipe) for of in every]), recorded, recipe.n_epochs)
    for exposures, together in zip(every, found, strict=True):
        (alone,) = ran(seeded([built(exposures, recipe)]), recorded, recipe.n_epochs)
        for name, values in alone.items():
            assert np.array_equal(together[name], values), name


@pytest.mark.parametrize(("most_bytes", "n_launches"), [(2**24, 3), (1, 9)])
def test_a_launch_has_a_minibatch_of_each_task_unless_they_fill_a_gpu(dense, monkeypatch, most_bytes, n_launches):
    monkeypatch.setattr(launches, "SIDE_BY_SIDE_BYTES", most_bytes)
    tasks = seeded([built(dense, RECIPE) for _ in range(3)])  # 16, 16 and 7 exposures
    launched = []

    def record(works):
        return lambda: [launched.append(len(works)), *(work() for work in works)]

    with recorded(tasks, record):
        for _ in range(4):
            tasks.run_epoch()
        launched.clear()
        tasks.run_epoch()
    assert len(launched) == n_launches
    assert sum(launched) == 9


class Graph:
    """Stands for what a GPU has recorded, which takes memory there for as long as anybody keeps it."""

    def __init__(self, works):
        self.works = works

    def replay(self):
        """Call again what was recorded."""
        for work in self.works:
            work()


def test_full_data_goes_on_alone_when_its_companions_are_dropped_and_no_recording_with_them_is_kept(dense):
    tasks, alone = (seeded([built(dense, RECIPE) for _ in range(n)]) for n in (3, 1))
    recordings = []

    def record(works):
        recordings.append(weakref.ref(graph := Graph(works)))
        return graph.replay

    with recorded(tasks, record):
        for _ in range(3):
            tasks.run_epoch()
        with_companions = [graph for graph in recordings if graph() is not None]
        tasks.drop_companions()
        assert [graph() for graph in with_companions] == [None] * 2  # of a full minibatch and of the epoch's rest
        for _ in range(3):
            tasks.run_epoch()
        assert [graph() for graph in recordings].count(None) == 2 < len(recordings)
    (expected,) = ran(alone, recorded, 6)
    assert np.array_equal(results(tasks.full)["object"], expected["object"])


def test_fourier_error_of_an_epoch_is_read_once_and_is_that_of_called_minibatches(dense):
    ones, others = (seeded([built(dense, RECIPE)]) for _ in range(2))
    ran(ones, called, 4)
    ran(others, recorded, 4)
    errors = [tasks.full.reconstructor.reconstructor_buffers.fourier_errors for tasks in (ones, others)]
    assert len(errors[0]) == 4
    assert errors[1] == pytest.approx(errors[0], rel=1e-6)


def test_sums_of_an_epoch_stay_on_the_device_until_those_of_all_tasks_are_read(dense):
    tasks = seeded([built(dense, RECIPE) for _ in range(2)])
    tables = [task.reconstructor.loss_tracker for task in tasks.tasks.values()]
    with recorded(tasks):
        tasks.run_epoch()  # finds the scale of the probe, as pty-chi does
        tasks._run_together(tasks._acceleration.launches)
        waiting = [float(tracker.table["loss"][-1]) for tracker in tables]
        assert all(isinstance(tracker.table["loss"][-1], torch.Tensor) for tracker in tables)
        further = read_epochs(tasks.tasks.values(), [torch.tensor(7.0, dtype=torch.float64)])
        assert [tracker.table["loss"][-1] for tracker in tables] == waiting
        assert not any(isinstance(loss, torch.Tensor) for tracker in tables for loss in tracker.table["loss"])
    assert further == [7.0]


def test_each_kind_of_minibatch_is_recorded_once(dense):
    n_recorded = []

    def record(works):
        n_recorded.append(len(works))
        return one_after_the_other(works)

    tasks = seeded([built(dense, RECIPE)])  # 16, 16 and 7 exposures
    ran(tasks, partial(recorded, record=record), 5)
    assert n_recorded == [1, 1]


def test_a_state_that_was_put_elsewhere_is_recorded_anew(dense):
    n_recorded = []

    def record(works):
        n_recorded.append(len(works))
        return one_after_the_other(works)

    tasks = seeded([built(dense, RECIPE)])
    buffers = tasks.full.reconstructor.reconstructor_buffers
    with recorded(tasks, record):
        for _ in range(4):
            tasks.run_epoch()
        buffers.alpha_probe_all_pos = buffers.alpha_probe_all_pos.clone()
        for _ in range(3):
            tasks.run_epoch()
    assert len(n_recorded) == 4


@pytest.mark.parametrize("n_epochs", [1, 5])
def test_self_check_finds_nothing_where_a_recording_repeats_its_minibatch_and_leaves_the_tasks_as_they_were(
    dense, n_epochs
):
    recipe = RECIPE.model_copy(update={"n_epochs": n_epochs, "noise_model": "poisson"})
    checked, other = (seeded([built(dense, recipe) for _ in range(2)]) for _ in range(2))
    with recorded(checked) as of_checked:
        assert recording_problem(checked.tasks, of_checked) is None
        for _ in range(3):
            checked.run_epoch()
    for task, expected in zip(checked.tasks.values(), ran(other, called, 3), strict=True):
        assert np.array_equal(results(task)["object"], expected["object"])
    assert losses(checked.full) == pytest.approx(losses(other.full), rel=1e-6)


def test_self_check_names_a_recording_that_does_something_else(dense):
    def work_twice(works):
        return lambda: [work() for work in (*works, works[-1])]

    tasks = seeded([built(dense, RECIPE) for _ in range(2)])
    with recorded(tasks, work_twice) as of_tasks:
        found = recording_problem(tasks.tasks, of_tasks)
    assert found == "self-check: a launched minibatch differs from one that is called"


def test_self_check_names_what_cannot_be_recorded(dense):
    def refuse(works):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    tasks = seeded([built(dense, RECIPE)])
    with recorded(tasks, refuse) as of_tasks:
        assert "operation not permitted" in recording_problem(tasks.tasks, of_tasks)


def test_reconstructions_of_a_cell_on_a_gpu_are_launched_together(dense, monkeypatch):
    tasks = seeded([built(dense, RECIPE) for _ in range(3)])
    with accelerated_as_on_a_gpu(tasks, monkeypatch) as way:
        assert way == ACCELERATED
        found = ran(tasks, nullcontext, RECIPE.n_epochs)
    for together, alone in zip(found, ran(seeded([built(dense, RECIPE) for _ in range(3)]), recorded, 5), strict=True):
        assert np.array_equal(together["object"], alone["object"])


@pytest.mark.parametrize(
    ("change", "of_first", "of_second"),
    [
        ({"momentum_gain": 0.5}, "the probe has momentum", "the probe has momentum"),
        ({}, "those of a reconstruction beside it are not", "the probe has momentum"),
    ],
)
def test_where_minibatches_of_one_reconstruction_are_not_recorded_none_are_and_the_way_says_why(
    dense, monkeypatch, change, of_first, of_second
):
    recipes = RECIPE.model_copy(update=change), RECIPE.model_copy(update={"momentum_gain": 0.5})
    tasks = seeded([built(dense, recipe) for recipe in recipes])
    with accelerated_as_on_a_gpu(tasks, monkeypatch):
        ways = tasks._acceleration.ways
        assert tasks._acceleration.launches is None
    expected = [f"{ACCELERATED} without recorded minibatches: {reason}" for reason in (of_first, of_second)]
    assert list(ways.values()) == expected


def test_a_recording_that_does_something_else_is_not_used_and_the_way_says_so(dense, monkeypatch):
    def nothing(works):
        return lambda: None

    tasks, alike = (seeded([built(dense, RECIPE) for _ in range(2)]) for _ in range(2))
    with accelerated_as_on_a_gpu(tasks, monkeypatch, nothing) as way:
        assert way.endswith("a launched minibatch differs from one that is called")
        found = ran(tasks, nullcontext, 3)
    for one, other in zip(found, ran(alike, called, 3), strict=True):
        assert np.array_equal(one["object"], other["object"])


def test_tasks_run_on_pty_chis_own_steps_after_a_block_that_raised(dense, monkeypatch):
    tasks, own = (seeded([built(dense, RECIPE) for _ in range(2)]) for _ in range(2))
    with pytest.raises(KeyboardInterrupt), accelerated_as_on_a_gpu(tasks, monkeypatch):
        raise KeyboardInterrupt
    for one, other in zip(ran(tasks, nullcontext, 3), ran(own, nullcontext, 3), strict=True):
        assert np.array_equal(one["object"], other["object"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"batching": "compact", "batch_size": 8}, "compact minibatches add to each other"),
        ({"momentum_gain": 0.5}, "the probe has momentum"),
        ({"refine_positions": True}, "positions are refined"),
        ({"opr_modes": 2}, "the probe has several OPR modes"),
    ],
)
def test_obstacle_names_what_is_not_recorded(dense, changes, reason):
    recipe = Recipe.model_validate(RECIPE.model_dump() | changes)
    task = built(dense, recipe)
    assert obstacle(FastSteps(task.reconstructor)) == reason


@pytest.fixture
def patches():
    """Some patches, and the rows and columns of their first pixels."""
    rng = np.random.default_rng(5)
    values = (rng.normal(size=(70, 8, 9)) + 1j * rng.normal(size=(70, 8, 9))) * rng.exponential(1, (70, 1, 1)) ** 5
    return values.astype(np.complex64), rng.integers(0, 22, 70), rng.integers(0, 22, 70)


def added(patches, rows, columns):
    return added_as_integers(*map(torch.from_numpy, (patches, rows, columns)), (30, 31)).numpy()


@pytest.mark.parametrize("scale", [1, 1e-20, 1e15, 0])
def test_patches_that_are_added_as_integers_are_the_sum_of_slices(patches, scale):
    values, rows, columns = patches
    values = values * np.float32(scale)
    expected, magnitudes = np.zeros((30, 31), np.complex128), np.zeros((30, 31))
    for patch, row, column in zip(values, rows, columns, strict=True):
        expected[row : row + 8, column : column + 9] += patch
        magnitudes[row : row + 8, column : column + 9] += np.abs(patch)
    # Each value is rounded twice, and so is the sum; then it is a whole number of 2^-40 of the largest.
    allowed = 4 * np.finfo(np.float32).eps * magnitudes + len(values) * 2.0**-39 * np.abs(values).max()
    assert np.all(np.abs(added(values, rows, columns) - expected) <= allowed)


def test_patches_that_are_added_as_integers_have_the_same_bits_in_any_order(patches):
    order = np.random.default_rng(6).permutation(70)
    assert np.array_equal(added(*patches), added(*(np.ascontiguousarray(of[order]) for of in patches)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_patch_that_is_not_finite_leaves_no_finite_image(patches, bad):
    values, *places = patches
    values[3, 2, 1] = bad
    assert not np.isfinite(added(values, *places)).any()
