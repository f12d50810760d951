"""Minibatches that are recorded for a GPU: what is recorded is what pty-chi's loop would call, to the bit.

Here a recording is the function itself, called again: what a graph of a GPU repeats is for `scripts/gpu_proof.py`.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch

from fly64dask.reconstruction import Exposures
from fly64dask.reconstruction.lsqml.random_draws import StepSizeOfCpuDraws
from fly64dask.reconstruction.lsqml.state import losses, read_epochs
from fly64dask.reconstruction.lsqml.steps import places
from fly64dask.reconstruction.lsqml.steps.fast_steps import FastSteps
from fly64dask.reconstruction.lsqml.steps.places import add_in_layers
from fly64dask.reconstruction.lsqml.steps.recorded_steps import RecordedSteps, obstacle
from fly64dask.reconstruction.lsqml.steps.replacements import plain_loss_table, replaced, replacements
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


def ran(task, steps, n_epochs):
    """What a task makes in some epochs on some steps."""
    task.reconstructor.dataloader.generator.manual_seed(7)
    torch.manual_seed(7)
    np.random.seed(7)
    with ExitStack() as stack:
        stack.enter_context(replaced(replacements(task, steps)))
        stack.enter_context(plain_loss_table(task.reconstructor.loss_tracker))
        task.run(n_epochs)
    return {
        "object": task.get_data_to_cpu("object", as_numpy=True),
        "probe": task.get_data_to_cpu("probe", as_numpy=True),
        "loss": np.array(losses(task)),
        "object steps": task.reconstructor.reconstructor_buffers.alpha_object_all_pos_all_slices.numpy(),
        "far steps": task.reconstructor.alpha_psi_far_all_pos.numpy(),
    }


@pytest.mark.parametrize("way", WAYS)
def test_recorded_minibatches_make_what_called_ones_make(dense, way):
    recipe = Recipe.model_validate(RECIPE.model_dump() | WAYS[way])
    exposures = exposures_of(way, dense)
    called, recorded = (built(exposures, recipe) for _ in range(2))
    expected = ran(called, FastSteps(called.reconstructor), recipe.n_epochs)
    steps = RecordedSteps(FastSteps(recorded.reconstructor), record=lambda work: work)
    found = ran(recorded, steps, recipe.n_epochs)
    for name in ("object", "probe", "object steps", "far steps"):
        assert np.array_equal(found[name], expected[name]), name
    # The loss of an epoch is summed up on the GPU, in the same order.
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-6)


def test_fourier_error_of_an_epoch_is_read_once_and_is_that_of_called_minibatches(dense):
    called, recorded = (built(dense, RECIPE) for _ in range(2))
    ran(called, FastSteps(called.reconstructor), 4)
    ran(recorded, RecordedSteps(FastSteps(recorded.reconstructor), record=lambda work: work), 4)
    errors = [task.reconstructor.reconstructor_buffers.fourier_errors for task in (called, recorded)]
    assert len(errors[0]) == 4
    assert errors[1] == pytest.approx(errors[0], rel=1e-6)


def test_sums_of_an_epoch_stay_on_the_device_until_those_of_all_tasks_are_read(dense):
    tasks = [built(dense, RECIPE) for _ in range(2)]
    tables = [task.reconstructor.loss_tracker for task in tasks]
    with ExitStack() as stack:
        for task, tracker in zip(tasks, tables, strict=True):
            steps = RecordedSteps(FastSteps(task.reconstructor), record=lambda work: work)
            stack.enter_context(replaced(replacements(task, steps)))
            stack.enter_context(plain_loss_table(tracker))
            task.run(1)  # finds the scale of the probe, as pty-chi does
            task.run(1)
        waiting = [float(tracker.table["loss"][-1]) for tracker in tables]
        assert all(isinstance(tracker.table["loss"][-1], torch.Tensor) for tracker in tables)
        further = read_epochs(tasks, [torch.tensor(7.0, dtype=torch.float64)])
        assert [tracker.table["loss"][-1] for tracker in tables] == waiting
        assert not any(isinstance(loss, torch.Tensor) for tracker in tables for loss in tracker.table["loss"])
    assert further == [7.0]


def test_each_kind_of_minibatch_is_recorded_once(dense):
    task = built(dense, RECIPE)  # 16, 16 and 7 exposures
    recorded = []

    def record(work):
        recorded.append(work)
        return work

    ran(task, RecordedSteps(FastSteps(task.reconstructor), record=record), 5)
    assert len(recorded) == 2


def test_a_state_that_was_put_elsewhere_is_recorded_anew(dense):
    task = built(dense, RECIPE)
    recorded = []

    def record(work):
        recorded.append(work)
        return work

    steps = RecordedSteps(FastSteps(task.reconstructor), record=record)
    ran(task, steps, 4)
    buffers = task.reconstructor.reconstructor_buffers
    buffers.alpha_probe_all_pos = buffers.alpha_probe_all_pos.clone()
    ran(task, steps, 3)
    assert len(recorded) == 4


@pytest.mark.parametrize("n_epochs", [1, 5])
def test_self_check_finds_nothing_where_a_recording_repeats_its_minibatch_and_leaves_the_task_as_it_was(
    dense, n_epochs
):
    task, other = (built(dense, RECIPE.model_copy(update={"n_epochs": n_epochs})) for _ in range(2))
    steps = RecordedSteps(FastSteps(task.reconstructor), record=lambda work: work)
    assert recording_problem(task, steps) is None
    expected = ran(other, FastSteps(other.reconstructor), 3)
    found = ran(task, steps, 3)
    assert np.array_equal(found["object"], expected["object"])
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-6)


def test_self_check_names_a_recording_that_does_something_else(dense):
    task = built(dense, RECIPE)

    def work_twice(work):
        def launch():
            work()
            work()

        return launch

    steps = RecordedSteps(FastSteps(task.reconstructor), record=work_twice)
    assert recording_problem(task, steps) == "self-check: a launched minibatch differs from one that is called"


def test_self_check_names_what_cannot_be_recorded(dense):
    task = built(dense, RECIPE)

    def refuse(work):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    steps = RecordedSteps(FastSteps(task.reconstructor), record=refuse)
    assert "operation not permitted" in recording_problem(task, steps)


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


@pytest.mark.parametrize("n_bytes", [1, 3 * 30 * 31 * 8, 2**25])
def test_patches_that_are_added_in_layers_are_the_sum_of_slices(monkeypatch, n_bytes):
    monkeypatch.setattr(places, "LAYERS_BYTES", n_bytes)  # one patch at a time, three, all
    rng = np.random.default_rng(5)
    patches = (rng.normal(size=(7, 8, 9)) + 1j * rng.normal(size=(7, 8, 9))).astype(np.complex64)
    rows, columns = rng.integers(0, 22, 7), rng.integers(0, 22, 7)
    expected = np.ones((30, 31), np.complex128)
    for patch, row, column in zip(patches, rows, columns, strict=True):
        expected[row : row + 8, column : column + 9] += patch
    image = torch.ones((30, 31), dtype=torch.complex64)
    found = add_in_layers(image, *map(torch.from_numpy, (patches, rows, columns)))
    assert found is image
    assert np.allclose(found.numpy(), expected, atol=1e-5)
