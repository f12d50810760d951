"""What each key of a recipe changes, with real pty-chi: minibatches, steps, starts, modes, momentum, algorithms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ptychi.api.options.dm import DMOptions
from ptychi.api.options.pie import EPIEOptions, RPIEOptions
from ptychi.api.task import PtychographyTask
from ptychi.utils import rescale_probe

from fly64dask.base import InputError, NotFiniteError
from fly64dask.reconstruction import COMPILED, Exposures
from fly64dask.reconstruction.lsqml import begin, reconstruct
from fly64dask.reconstruction.lsqml.process_settings import settings_put_back
from fly64dask.reconstruction.lsqml.starting_probe import _with_modes
from fly64dask.reconstruction.lsqml.task import build_task
from fly64dask.scan import object_frame
from fly64dask.study import Recipe

RNG = np.random.default_rng(5)
N = 40


def quiet(*_):
    """Take no notice of an epoch."""


@pytest.fixture(scope="module")
def scan():
    """A smooth phase object under a defocused beam, whole-pixel positions, 1e5 photons an exposure."""
    y, x = np.mgrid[-12:12, -12:12]
    probe = np.exp(-(x**2 + y**2) / 50 + 0.04j * (x**2 + y**2))
    image = np.exp(0.4j * np.sin(np.mgrid[:60, :60][0] / 4) * np.cos(np.mgrid[:60, :60][1] / 5))
    corners = RNG.integers(0, 36, (N, 2))
    waves = np.stack([probe * image[r : r + 24, c : c + 24] for r, c in corners])
    pattern = np.abs(np.fft.fftshift(np.fft.fft2(waves), axes=(1, 2))) ** 2
    counts = RNG.poisson(pattern * 1e5 / pattern.sum(axis=(1, 2)).mean()).astype(np.uint32)
    guess = probe.astype(np.complex64)[None, None]
    return Exposures(counts=counts, positions_px=corners + 12.0, probe_guess=guess)


def run(scan, seed=7, **keys):
    return reconstruct(
        scan, Recipe(**{"n_epochs": 2, "batch_size": 10, "device": "cpu"} | keys), seed=seed, progress=quiet
    )


def batches_of(scan, **keys):
    with settings_put_back(1):
        task = build_task(scan, Recipe(device="cpu", **keys), device="cpu", seed=3)
        return [batch.tolist() for batch in task.reconstructor.dataloader.batch_sampler]


def widths_px(scan, batches):
    """How far apart the exposures of each minibatch are: the mean distance of its pairs."""
    distances = np.linalg.norm(scan.positions_px[:, None] - scan.positions_px[None], axis=-1)
    return [distances[np.ix_(batch, batch)].mean() for batch in batches]


def nearest_px(scan, batches):
    """How near the exposures of a minibatch come to each other: the mean distance to the nearest."""
    distances = np.linalg.norm(scan.positions_px[:, None] - scan.positions_px[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    return np.mean([distances[np.ix_(batch, batch)].min(axis=0).mean() for batch in batches])


def test_batch_size_all_is_as_many_as_there_are_exposures(scan):
    assert np.array_equal(run(scan, batch_size="all").object_recon, run(scan, batch_size=N).object_recon)


@pytest.mark.parametrize("batching", ["compact", "uniform"])
def test_minibatches_hold_each_exposure_once_and_are_those_of_the_seed(scan, batching):
    torch.manual_seed(0)
    np.random.seed(0)
    first = batches_of(scan, batching=batching, batch_size=10)
    np.random.seed(1)
    torch.manual_seed(1)
    second = batches_of(scan, batching=batching, batch_size=10)
    assert sorted(number for batch in first for number in batch) == list(range(N))
    assert sorted(map(sorted, first)) == sorted(map(sorted, second))


def test_compact_minibatches_hold_neighbours(scan):
    random = np.random.default_rng(0).permutation(N).reshape(4, 10)
    assert np.mean(widths_px(scan, batches_of(scan, batching="compact", batch_size=10))) < 0.7 * np.mean(
        widths_px(scan, random)
    )


def test_uniform_minibatches_are_spread_out(scan):
    random = [nearest_px(scan, np.random.default_rng(k).permutation(N).reshape(4, 10)) for k in range(50)]
    assert nearest_px(scan, batches_of(scan, batching="uniform", batch_size=10)) > np.mean(random) + np.std(random)


def test_compact_minibatches_are_refused_where_a_scan_has_no_more_exposures_than_one(scan):
    few = replace(scan, counts=scan.counts[:10], positions_px=scan.positions_px[:10])
    with pytest.raises(InputError, match="compact minibatches of 10 exposures need a scan of more, found 10; lower"):
        run(few, batching="compact")


def test_guard_runs_a_scan_of_one_exposure_whatever_the_recipe_wants_of_minibatches_and_starts(scan):
    one = replace(scan, counts=scan.counts[:1], positions_px=scan.positions_px[:1])
    result = run(one, batching="compact", object_update_start=50, n_epochs=60)
    assert (result.guarded, len(result.loss)) == (True, 30)
    assert np.abs(np.angle(result.object_recon)).max() > 1e-3


@pytest.mark.parametrize("key", ["object_step_size", "probe_step_size"])
def test_step_size_multiplies_the_first_update(scan, key):
    # LSQML's first epoch scales the probe and changes nothing else; with one minibatch the second has one update.
    before, whole, half = (
        run(scan, batch_size="all", n_epochs=n, **keys) for n, keys in ((1, {}), (2, {}), (2, {key: 0.5}))
    )
    name = key.replace("step_size", "recon")
    moved, moved_half = (getattr(r, name) - getattr(before, name) for r in (whole, half))
    assert np.abs(moved).max() > 1e-3
    assert np.allclose(moved_half, moved / 2, atol=1e-5 * np.abs(getattr(before, name)).max())


@pytest.mark.parametrize("algorithm", ["LSQML", "rPIE", "ePIE", "DM"])
@pytest.mark.parametrize("of", ["object", "probe"])
def test_update_start_is_the_first_epoch_that_changes_it(scan, algorithm, of):
    recipe = Recipe(n_epochs=6, batch_size=10, device="cpu", algorithm=algorithm, **{f"{of}_update_start": 4})
    phases = []
    with settings_put_back(1):
        running = begin(scan, recipe, seed=7, device="cpu")
        for _ in range(4):
            running.tasks.run_epoch()
            phases.append(np.angle(running.tasks.full.get_data_to_cpu(of, as_numpy=True).squeeze()[8:16, 8:16]))
    assert np.allclose(phases[2], phases[0], atol=1e-5)
    assert not np.allclose(phases[3], phases[2], atol=1e-4)


def test_probe_modes_are_made_of_the_first_with_little_power_each(scan):
    modes = _with_modes(scan.probe_guess, 4)[0].reshape(4, -1)
    overlaps = modes @ modes.conj().T
    power = np.diag(overlaps).real / np.sum(np.abs(scan.probe_guess) ** 2)
    assert power == pytest.approx([0.94, 0.02, 0.02, 0.02], rel=1e-4)
    assert np.abs(overlaps - np.diag(np.diag(overlaps))).max() < 1e-4 * overlaps[0, 0].real


@pytest.mark.parametrize("algorithm", ["LSQML", "rPIE", "ePIE", "DM"])
def test_probe_modes_are_reconstructed_by_every_algorithm(scan, algorithm):
    probe = run(scan, probe_modes=2, algorithm=algorithm, n_epochs=3).probe_recon
    assert probe.shape == (1, 2, 24, 24)
    assert np.abs(np.vdot(probe[0, 0], probe[0, 1])) < 1e-3 * np.vdot(probe[0, 0], probe[0, 0]).real


def test_probe_modes_leave_a_probe_that_has_as_many(scan):
    assert np.array_equal(run(scan, probe_modes=1).probe_recon, run(scan).probe_recon)


@pytest.mark.parametrize("batching", ["random", "compact"])
def test_momentum_changes_the_probe_once_it_has_a_history(scan, batching):
    plain, moved = (run(scan, n_epochs=12, batching=batching, momentum_gain=gain) for gain in (0, 0.5))
    assert np.allclose(plain.loss[:4], moved.loss[:4], rtol=1e-6)
    assert not np.allclose(plain.probe_recon, moved.probe_recon, rtol=1e-4)


def own(options, scan, n_epochs):
    """What pty-chi makes of exposures, called as its examples call it."""
    options.reconstructor_options.num_epochs = n_epochs
    options.reconstructor_options.default_device = "cpu"
    options.data_options.fft_shift = True
    shape, origin = object_frame(scan.positions_px, (24, 24))
    y, x = (scan.positions_px - np.add(origin, np.floor_divide(shape, 2))).astype(np.float32).T
    counts = scan.counts.astype(np.float32)
    task = PtychographyTask(
        options,
        diffraction_data=counts,
        object_data=np.ones((1, *shape), np.complex64),
        probe_data=np.asarray(rescale_probe(scan.probe_guess, counts)),
        probe_position_x_px=x,
        probe_position_y_px=y,
    )
    task.reconstructor.dataloader.generator.manual_seed(7)
    task.run(n_epochs)
    return task.get_data_to_cpu("object", as_numpy=True)


@pytest.mark.parametrize("algorithm", ["rPIE", "ePIE", "DM"])
def test_other_algorithms_are_pty_chis_own(scan, algorithm):
    result = run(scan, algorithm=algorithm, n_epochs=5)
    options = {"rPIE": RPIEOptions, "ePIE": EPIEOptions, "DM": DMOptions}[algorithm]()
    if algorithm != "DM":
        options.reconstructor_options.batch_size = 10
    with settings_put_back(1):
        expected = own(options, scan, 5)
    # Equal but for rounding, which grows where the probe hardly reaches and depends on the processor.
    assert np.abs(result.object_recon - expected).max() < 1e-3 * np.abs(expected - 1).max()
    assert result.acceleration == f"unmodified: {algorithm} has no faster steps"


@pytest.mark.parametrize("algorithm", ["LSQML", "rPIE", "ePIE", "DM"])
def test_every_algorithm_finds_the_object(scan, algorithm):
    steps = {"ePIE": {"object_step_size": 5.0}}.get(algorithm, {})
    found = run(scan, algorithm=algorithm, n_epochs=30, optimise_probe=False, **steps)
    (top, left), phase = found.object_origin_px, np.angle(found.object_recon[0])
    y, x = np.mgrid[20:40, 20:40]
    truth = 0.4 * np.sin(y / 4) * np.cos(x / 5)
    error = phase[20 - top : 40 - top, 20 - left : 40 - left] - truth
    assert (error - error.mean()).std() < 0.4 * truth.std()


WAYS = {
    "uniform": {"batching": "uniform"},
    "compact": {"batching": "compact"},
    "compact_two_modes": {"batching": "compact", "probe_modes": 2},
    "compact_momentum": {"batching": "compact", "momentum_gain": 0.5},
    "momentum": {"momentum_gain": 0.5},
    "small_steps": {"object_step_size": 0.1, "probe_step_size": 0.3},
    "starts": {"object_update_start": 3, "probe_update_start": 6},
    "three_modes": {"probe_modes": 3},
    "all_at_once_poisson": {"batch_size": "all", "noise_model": "poisson"},
}


@pytest.mark.parametrize("way", WAYS)
def test_faster_steps_give_pty_chis_numbers_with_every_key(scan, way):
    ours, unmodified = (run(scan, n_epochs=10, accelerated=fast, **WAYS[way]) for fast in (True, False))
    assert ours.acceleration.startswith(COMPILED)
    assert np.allclose(ours.loss, unmodified.loss, rtol=1e-5)
    lit = (slice(None), slice(20, 40), slice(20, 40))
    assert np.abs(ours.object_recon[lit] - unmodified.object_recon[lit]).max() < 1e-4
    assert np.abs(ours.probe_recon - unmodified.probe_recon).max() < 1e-4 * np.abs(unmodified.probe_recon).max()


@pytest.mark.parametrize("algorithm", ["rPIE", "ePIE", "DM"])
def test_not_finite_is_named_with_every_algorithm(scan, algorithm):
    probe = scan.probe_guess.copy()
    probe[0, 0, 12, 12] = np.nan
    with pytest.raises(NotFiniteError, match=r"after epoch 1 of 2: .*not finite"):
        run(replace(scan, probe_guess=probe), algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ["rPIE", "ePIE", "DM"])
@pytest.mark.parametrize("stop", ["half_sets", "held_out"])
def test_stopping_rules_follow_every_algorithm(scan, algorithm, stop):
    result = run(scan, algorithm=algorithm, stop=stop, n_epochs=4)
    assert (result.stopping.rule, result.stopping.fallback) == (stop, None)
    assert len(result.validation) == 4
