"""A pty-chi that is not tested, or that does not do what is relied on, is left as it is or refused by name."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from tqdm import tqdm

from fly64dask.base import InputError
from fly64dask.reconstruction import CheckpointFile, Exposures
from fly64dask.reconstruction.lsqml import reconstruct
from fly64dask.reconstruction.lsqml.positions import drift_px
from fly64dask.reconstruction.lsqml.process_settings import settings_put_back
from fly64dask.reconstruction.lsqml.random_draws import draw_on_cpu
from fly64dask.reconstruction.lsqml.task import build_task
from fly64dask.study import Checkpoints, Recipe

RNG = np.random.default_rng(0)
EXPOSURES = Exposures(
    counts=RNG.poisson(5.0, (14, 16, 16)).astype(np.uint16),
    positions_px=RNG.uniform(0, 20, (14, 2)),
    probe_guess=(RNG.normal(size=(1, 1, 16, 16)) + 1j * RNG.normal(size=(1, 1, 16, 16))).astype(np.complex64),
)
RECIPE = Recipe(n_epochs=6, batch_size=4, device="cpu")


class Stopped(Exception):
    """Stands for whatever ends an attempt between two epochs."""


def stop_after(n_epochs, checkpoint, recipe=RECIPE):
    """Run until an epoch has ended, and list the epochs that were run."""
    epochs = []

    def progress(epoch, _):
        epochs.append(epoch)
        if epoch >= n_epochs:
            raise Stopped

    with pytest.raises(Stopped):
        reconstruct(EXPOSURES, recipe, seed=7, progress=progress, checkpoint=checkpoint)
    return epochs


@pytest.fixture
def checkpoint(tmp_path):
    settings = Checkpoints(every_n_epochs=1, min_seconds=0)
    return CheckpointFile(path=tmp_path / "checkpoint", cell_key="key", settings=settings)


def refining_task():
    recipe = RECIPE.model_copy(update={"refine_positions": True, "position_limit_px": 2.0})
    return build_task(EXPOSURES, recipe, device="cpu")


@pytest.mark.usefixtures("untested_version")
def test_untested_version_writes_no_checkpoint(checkpoint):
    stop_after(4, checkpoint)
    assert not checkpoint.path.exists()


def test_untested_version_reads_no_checkpoint(checkpoint, request):
    stop_after(4, checkpoint)
    request.getfixturevalue("untested_version")
    assert stop_after(2, checkpoint) == [1, 2]


def test_tested_version_goes_on_from_its_checkpoint(checkpoint):
    stop_after(4, checkpoint)
    assert stop_after(5, checkpoint)[0] > 1


def test_reconstruct_starts_from_epoch_0_if_a_task_cannot_be_put_where_it_was(checkpoint, monkeypatch):
    stop_after(4, checkpoint)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_: None)
    assert stop_after(2, checkpoint) == [1, 2]


@pytest.mark.usefixtures("untested_version")
def test_untested_version_is_refused_for_refined_positions():
    with pytest.raises(InputError, match=r"refined positions: pty-chi 9\.9 is installed.*install pty-chi 2\.2\.0"):
        refining_task()


@torch.no_grad()
def test_position_that_was_moved_elsewhere_than_in_the_limited_step_is_an_error():
    task = refining_task()
    positions = task.probe_positions
    positions.set_data(positions.initial_positions + 2.0)
    assert np.allclose(drift_px(task), 2.0, atol=1e-5)
    positions.set_data(positions.initial_positions + 2.5)
    with pytest.raises(InputError, match=r"moved by 2\.5 px, at most 2 px are allowed"):
        drift_px(task)


@pytest.mark.usefixtures("untested_version")
def test_untested_version_draws_its_own_order_of_exposures():
    task = build_task(EXPOSURES, RECIPE, device="cpu")
    sampler = task.reconstructor.dataloader.batch_sampler.sampler
    draw_on_cpu(task)
    assert task.reconstructor.dataloader.batch_sampler.sampler is sampler


def test_poisson_step_that_draws_no_numbers_on_the_cpu_is_an_error():
    task = build_task(EXPOSURES, RECIPE.model_copy(update={"noise_model": "poisson"}), device="cpu")
    task.reconstructor.get_psi_far_step_size = lambda: torch.ones(1)
    draw_on_cpu(task)
    with pytest.raises(InputError, match=r"Poisson model: its steps drew nothing on the CPU"):
        task.reconstructor.get_psi_far_step_size()


@pytest.mark.parametrize("began_with_a_lock", [True, False])
def test_reconstruction_leaves_progress_bars_with_the_lock_they_had(began_with_a_lock, monkeypatch):
    before = threading.RLock() if began_with_a_lock else None
    tqdm.get_lock()  # so that there is one to take away for this test
    if began_with_a_lock:
        monkeypatch.setattr(tqdm, "_lock", before)
    else:
        monkeypatch.delattr(tqdm, "_lock")
    with settings_put_back(1):
        assert vars(tqdm)["_lock"] is not before
    assert vars(tqdm).get("_lock") is before
