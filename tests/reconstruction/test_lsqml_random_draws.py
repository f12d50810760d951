"""A task draws its random numbers on the CPU, wherever it computes; tried on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fly64dask.reconstruction import Exposures
from fly64dask.reconstruction.lsqml.random_draws import _CpuNormals, draw_minibatches, draw_on_cpu, order_generator
from fly64dask.reconstruction.lsqml.starting_probe import _scaled
from fly64dask.reconstruction.lsqml.state import random_state, set_random_state
from fly64dask.reconstruction.lsqml.task import build_task
from fly64dask.study import Recipe

RNG = np.random.default_rng(0)
EXPOSURES = Exposures(
    counts=RNG.poisson(5.0, (14, 16, 16)).astype(np.uint16),
    positions_px=RNG.uniform(0, 20, (14, 2)),
    probe_guess=(RNG.normal(size=(1, 1, 16, 16)) + 1j * RNG.normal(size=(1, 1, 16, 16))).astype(np.complex64),
)


def seeded_task(noise_model, *, redirected):
    task = build_task(EXPOSURES, Recipe(batch_size=4, noise_model=noise_model, device="cpu"), device="cpu")
    if redirected:
        draw_on_cpu(task)
    order_generator(task).manual_seed(5)
    torch.manual_seed(5)
    return task


@pytest.mark.parametrize("noise_model", ["gaussian", "poisson"])
def test_draw_on_cpu_gives_the_numbers_that_pty_chi_draws_on_the_cpu(noise_model):
    objects = []
    for redirected in (False, True):
        task = seeded_task(noise_model, redirected=redirected)
        task.run(3)
        objects.append(task.get_data_to_cpu("object", as_numpy=True))
    assert np.array_equal(*objects)


@pytest.mark.parametrize("redirected", [False, True])
@pytest.mark.parametrize("recipe", [{}, {"batch_size": 7}, {"batching": "uniform"}, {"batching": "compact"}])
def test_minibatches_of_an_epoch_are_those_of_pty_chis_loader(recipe, redirected):
    drawn = []
    for way in (draw_minibatches, lambda task: [indices for indices, _ in task.reconstructor.dataloader]):
        recipe_ = Recipe.model_validate({"batch_size": 4, "device": "cpu"} | recipe)
        task = build_task(EXPOSURES, recipe_, device="cpu", seed=3)
        if redirected:
            draw_on_cpu(task)
        order_generator(task).manual_seed(5)
        np.random.seed(5)
        drawn.append([way(task), way(task)])
    for ours, of_loader in zip(*drawn, strict=True):
        assert [numbers.tolist() for numbers in ours] == [numbers.tolist() for numbers in of_loader]


def test_order_does_not_depend_on_the_default_device():
    orders = []
    for device in ("cpu", "meta"):
        sampler = seeded_task("gaussian", redirected=True).reconstructor.dataloader.batch_sampler.sampler
        with torch.device(device):
            orders.append([list(sampler) for _ in range(2)])
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1]
    assert sorted(orders[0][0]) == list(range(len(EXPOSURES.counts)))


def test_order_goes_on_from_a_state_that_was_written_down():
    task = seeded_task("gaussian", redirected=True)
    state = random_state(task)
    sampler = task.reconstructor.dataloader.batch_sampler.sampler
    first = list(sampler)
    set_random_state(task, state)
    assert list(sampler) == first


def test_normal_numbers_are_drawn_on_the_cpu_for_the_device_that_wants_them():
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    with torch.device("meta"), _CpuNormals():
        assert torch.randn(2, device="meta").is_meta
        rest = torch.randn(2, device="cpu")
    assert torch.equal(rest, expected[2:])


def test_starting_probe_does_not_depend_on_the_default_device():
    # A second call of the engine finds the device of the first.
    counts = EXPOSURES.counts.astype(np.float32)
    expected = _scaled(EXPOSURES.probe_guess, counts)
    with torch.device("meta"):
        assert np.array_equal(_scaled(EXPOSURES.probe_guess, counts), expected)
