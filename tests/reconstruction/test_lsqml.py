"""The engine: geometry, reproducibility, refusals and the guarded form, with real pty-chi."""

from __future__ import annotations

import os
import pickle
import subprocess
import time

import numpy as np
import pytest
import torch
from against_truth import truth_metrics
from forked_python import forked_python

from fly64dask.base import GpuMissingError, NotFiniteError
from fly64dask.metrics import remove_phase_ramp
from fly64dask.reconstruction import CheckpointFile, Exposures
from fly64dask.reconstruction.lsqml import reconstruct, take_device
from fly64dask.scan import crop_to_frame, illuminated_area, illumination_map
from fly64dask.simulation import intensity_batches, synthetic_pair
from fly64dask.study import Checkpoints, Recipe

PAIR = synthetic_pair((96, 96), (32, 32), seed=1)
RECIPE = Recipe(n_epochs=40, batch_size=40, device="cpu")


def expose(positions, dose=1e6):
    (intensity,) = intensity_batches(PAIR, positions, batch=len(positions))
    scale = dose / intensity.sum(axis=(1, 2)).mean()
    counts = np.random.default_rng(4).poisson(intensity * scale).astype(np.uint32)
    return Exposures(counts=counts, positions_px=positions, probe_guess=PAIR.probe[None, None])


@pytest.fixture(scope="module")
def dense():
    return expose(np.random.default_rng(0).uniform(20, 76, (200, 2)))


@pytest.fixture(scope="module")
def reconstructed(dense):
    epochs = []
    result = reconstruct(dense, RECIPE, seed=7, progress=lambda epoch, loss: epochs.append((epoch, loss)))
    return result, epochs


def test_reconstruct_is_far_better_than_a_flat_object(reconstructed, dense):
    result, _ = reconstructed
    found = truth_metrics(result, PAIR, dense.positions_px)
    assert found.phase_rmse_rad < 0.4 * found.empty_phase_rmse_rad


def test_reconstruct_on_two_threads_agrees_and_says_so(reconstructed, dense):
    seen = set()
    recipe = RECIPE.model_copy(update={"threads": 2, "n_epochs": 5})
    result = reconstruct(dense, recipe, seed=7, progress=lambda epoch, loss: seen.add(torch.get_num_threads()))
    assert (seen, result.device) == ({2}, "cpu (2 threads)")
    assert result.loss == pytest.approx(reconstructed[0].loss[:5], rel=1e-5)


def test_reconstruct_puts_the_object_where_the_truth_is(reconstructed, dense):
    result, _ = reconstructed
    (y, x), size = result.object_origin_px, result.object_recon.shape[1:]
    errors = {}
    for shift in [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
        truth, known = crop_to_frame(PAIR.object_truth, size, (y + shift[0], x + shift[1]))
        area = illuminated_area(illumination_map(PAIR.probe, dense.positions_px, size, (y, x))) & known
        phase = remove_phase_ramp(result.object_recon[0] * truth.conj(), area)
        errors[shift] = np.sqrt(np.mean(phase[area] ** 2))
    assert min(errors, key=errors.__getitem__) == (0, 0)


def test_reconstruct_reports_each_epoch_with_its_loss(reconstructed):
    result, epochs = reconstructed
    assert [epoch for epoch, _ in epochs] == list(range(1, 41))
    assert [loss for _, loss in epochs] == result.loss.tolist()


def test_reconstruct_lowers_its_loss(reconstructed):
    result, _ = reconstructed
    assert result.loss[-1] < 0.5 * result.loss[0]


def test_reconstruct_is_the_same_to_the_bit_for_the_same_seed(reconstructed, dense):
    again = reconstruct(dense, RECIPE, seed=7, progress=lambda *_: None)
    assert np.array_equal(again.object_recon, reconstructed[0].object_recon)


class Stopped(Exception):
    """Stands for whatever ends an attempt between two epochs."""


def stop_after(epoch):
    def progress(done, loss):
        if done == epoch:
            raise Stopped

    return progress


def checkpoint_file(path, *, cell_key="key", every_n_epochs=4):
    return CheckpointFile(
        path=path, cell_key=cell_key, settings=Checkpoints(every_n_epochs=every_n_epochs, min_seconds=0)
    )


GO_ON = """
import sys
from pathlib import Path
import numpy as np
from fly64dask.reconstruction.checkpoint import CheckpointFile
from fly64dask.reconstruction.lsqml.engine import reconstruct
from fly64dask.reconstruction.interface import Exposures
from fly64dask.study.model import Checkpoints, Recipe

for folder in map(Path, sys.argv[1:]):
    recipe = Recipe.model_validate_json((folder / "recipe.json").read_text())
    checkpoint = CheckpointFile(path=folder / "checkpoint", cell_key="key", settings=Checkpoints(min_seconds=0))
    epochs = []
    result = reconstruct(
        Exposures(**np.load(folder / "in.npz")), recipe, seed=7,
        progress=lambda epoch, loss: epochs.append(epoch), checkpoint=checkpoint,
    )
    np.savez(
        folder / "out.npz", object_recon=result.object_recon, probe_recon=result.probe_recon, loss=result.loss,
        epochs=epochs, resumed_from_epoch=result.resumed_from_epoch,
        positions_px=[] if result.positions_px is None else result.positions_px,
        opr_weights=[] if result.opr_weights is None else result.opr_weights,
    )
"""
EMPTY = np.zeros(0)  # what the other process writes of an array that there is not
WAYS = {
    "gaussian": ({"batch_size": 12}, 24),
    "poisson": ({"noise_model": "poisson", "batch_size": 12}, 24),
    "probe_fixed": ({"optimise_probe": False, "batch_size": 12}, 24),
    "guarded": ({"noise_model": "poisson"}, 1),
    "pty_chis_own_steps": ({"noise_model": "poisson", "accelerated": False, "batch_size": 12}, 24),
    "compact_momentum": ({"batching": "compact", "batch_size": 12, "momentum_gain": 0.5}, 24),
    "momentum": ({"momentum_gain": 0.5, "accelerated": False}, 24),
    "uniform": ({"batching": "uniform", "batch_size": 12}, 24),
    "two_modes_and_late_starts": ({"probe_modes": 2, "object_update_start": 3, "probe_update_start": 11}, 24),
    "rPIE": ({"algorithm": "rPIE", "batching": "uniform", "batch_size": 12, "probe_modes": 2}, 24),
    "ePIE_with_halves": ({"algorithm": "ePIE", "object_step_size": 2.0, "halves": "counts"}, 24),
    "refined_positions": ({"refine_positions": True, "position_update_start": 4, "halves": "counts"}, 24),
    "opr_and_held_to_support_and_power": (
        {"opr_modes": 2, "probe_support": 0.01, "probe_power_photons": 1e6, "stop": "held_out", "patience": 17},
        24,
    ),
    "masked": ({}, 24),
    "DM": ({"algorithm": "DM", "probe_modes": 2}, 24),
    "DM_guarded": ({"algorithm": "DM"}, 1),
    "DM_half_sets": ({"algorithm": "DM", "stop": "half_sets", "halves": "counts", "patience": 17}, 24),
}


@pytest.fixture(scope="module")
def continued(dense, tmp_path_factory):
    """Each way: undisturbed, and stopped after epoch 10, then continued by one other process."""
    root = tmp_path_factory.mktemp("continued")
    found = {}
    for name, (changes, n_exposures) in WAYS.items():
        folder = root / name
        folder.mkdir()
        recipe = RECIPE.model_copy(update={"n_epochs": 17, **changes})
        arrays = {"counts": dense.counts[:n_exposures], "positions_px": dense.positions_px[:n_exposures]}
        if name == "masked":
            arrays["valid_pixels"] = np.arange(dense.counts.shape[2]) % 7 > 0
            arrays["valid_pixels"] = np.broadcast_to(arrays["valid_pixels"], dense.counts.shape[1:])
            arrays["counts"] = arrays["counts"] * arrays["valid_pixels"].astype(np.uint32)
        exposures = Exposures(**arrays, probe_guess=dense.probe_guess)
        found[name] = reconstruct(exposures, recipe, seed=7, progress=lambda *_: None)
        with pytest.raises(Stopped):
            reconstruct(
                exposures, recipe, seed=7, progress=stop_after(10), checkpoint=checkpoint_file(folder / "checkpoint")
            )
        np.savez(folder / "in.npz", **arrays, probe_guess=dense.probe_guess)
        (folder / "recipe.json").write_text(recipe.model_dump_json())
    subprocess.run([forked_python(), "-c", GO_ON, *(str(root / name) for name in WAYS)], check=True)
    return {name: (whole, np.load(root / name / "out.npz")) for name, whole in found.items()}


@pytest.mark.parametrize("name", WAYS)
def test_reconstruct_goes_on_from_a_checkpoint_to_the_same_bits_in_another_process(continued, name):
    whole, found = continued[name]
    assert found["resumed_from_epoch"] == 8
    assert found["epochs"].tolist() == list(range(9, 18))
    for array in ("object_recon", "probe_recon", "loss", "positions_px", "opr_weights"):
        wanted = getattr(whole, array)
        assert np.array_equal(found[array], EMPTY if wanted is None else wanted), array


def test_reconstruct_names_another_way_before_its_checkpoint(dense, tmp_path):
    checkpoint = checkpoint_file(tmp_path / "checkpoint")
    with pytest.raises(Stopped):
        reconstruct(dense, RECIPE, seed=7, progress=stop_after(6), checkpoint=checkpoint)
    recipe = RECIPE.model_copy(update={"accelerated": False, "n_epochs": 7})
    result = reconstruct(dense, recipe, seed=7, progress=lambda *_: None, checkpoint=checkpoint)
    assert result.resumed_from_epoch == 4
    before = "accelerated by compiled loops with transforms of "
    assert result.acceleration.startswith(f"unmodified: the recipe says so; before its checkpoint: {before}")


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "other_key"])
def test_reconstruct_starts_anew_when_its_checkpoint_cannot_be_trusted(dense, tmp_path, damage):
    path = tmp_path / "checkpoint"
    with pytest.raises(Stopped):
        reconstruct(dense, RECIPE, seed=7, progress=stop_after(6), checkpoint=checkpoint_file(path))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    changed = {"flipped": bytes(data), "truncated": path.read_bytes()[:-1], "empty": b""}
    path.write_bytes(changed.get(damage, path.read_bytes()))
    checkpoint = checkpoint_file(path, cell_key="other" if damage == "other_key" else "key")
    with pytest.raises(Stopped):
        reconstruct(dense, RECIPE, seed=7, progress=stop_after(1), checkpoint=checkpoint)


def test_reconstruct_is_the_same_to_the_bit_with_the_poisson_model(dense):
    recipe = Recipe(n_epochs=3, noise_model="poisson", device="cpu")
    first, second = (reconstruct(dense, recipe, seed=7, progress=lambda *_: None) for _ in range(2))
    assert np.array_equal(first.object_recon, second.object_recon)


def test_checkpoint_is_due_every_few_epochs_and_not_too_soon(tmp_path):
    often, seldom = (
        CheckpointFile(path=tmp_path, cell_key="key", settings=Checkpoints(every_n_epochs=4, min_seconds=s))
        for s in (0, 1000)
    )
    assert [epoch for epoch in range(1, 13) if often.is_due(epoch)] == [4, 8, 12]
    assert not any(seldom.is_due(epoch) for epoch in range(1, 13))


def test_checkpoint_adds_up_the_seconds_of_the_attempts_that_go_on_from_it(tmp_path):
    settings, path = Checkpoints(min_seconds=0), tmp_path / "checkpoint"
    spent_s = []
    for _ in range(3):
        checkpoint = CheckpointFile(path=path, cell_key="key", settings=settings)
        checkpoint.load()
        spent_s.append(checkpoint.earlier_s)
        time.sleep(0.05)
        checkpoint.save(lambda: b"state")
    assert spent_s[0] == 0
    assert spent_s[1] >= 0.05
    assert spent_s[2] >= spent_s[1] + 0.05 - 0.002  # kept to the millisecond


def test_reconstruct_depends_on_the_seed_of_the_minibatches(reconstructed, dense):
    other = reconstruct(dense, RECIPE, seed=8, progress=lambda *_: None)
    assert not np.array_equal(other.object_recon, reconstructed[0].object_recon)


def test_reconstruct_records_the_device(reconstructed):
    assert reconstructed[0].device == "cpu"


@pytest.mark.parametrize(
    "positions", [[[40.0, 40.0]], [[40.0, 20.0], [40.0, 40.0], [40.0, 60.0]], [[40.0, 20.0], [40.4, 60.0]]]
)
def test_reconstruct_stays_finite_on_a_degenerate_scan(positions):
    result = reconstruct(expose(np.array(positions)), RECIPE, seed=7, progress=lambda *_: None)
    assert result.guarded
    assert np.isfinite(result.object_recon).all()
    assert len(result.loss) == 30


def test_reconstruct_freezes_the_probe_on_a_degenerate_scan_of_few_exposures():
    exposures = expose(np.array([[40.0, 20.0], [40.0, 60.0]]))
    result = reconstruct(exposures, RECIPE, seed=7, progress=lambda *_: None)
    bright = np.abs(PAIR.probe) > 0.1 * np.abs(PAIR.probe).max()
    ratio = result.probe_recon[0, 0][bright] / PAIR.probe[bright]
    assert np.allclose(ratio, ratio[0], rtol=1e-3)


def test_reconstruct_guards_any_scan_when_told_to(dense):
    recipe = Recipe(n_epochs=100, device="cpu", guarded=True, optimise_probe=False)
    result = reconstruct(dense, recipe, seed=7, progress=lambda *_: None)
    bright = np.abs(PAIR.probe) > 0.1 * np.abs(PAIR.probe).max()
    ratio = result.probe_recon[0, 0][bright] / PAIR.probe[bright]
    found = truth_metrics(result, PAIR, dense.positions_px)
    assert result.guarded
    assert len(result.loss) == 30
    assert np.allclose(ratio, ratio[0], rtol=1e-3)
    assert found.phase_rmse_rad < 0.6 * found.empty_phase_rmse_rad


@pytest.mark.parametrize(("guarded", "solves"), [(True, False), (False, True)])
def test_reconstruct_solves_no_linear_system_under_a_guard_on_any_scan(dense, guarded, solves):
    recipe = Recipe(n_epochs=2, device="cpu", guarded=guarded, optimise_probe=not guarded)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        reconstruct(dense, recipe, seed=7, progress=lambda *_: None)
    assert any("linalg_solve" in event.key for event in profile.key_averages()) == solves


@pytest.mark.parametrize("n_modes", [1, 2])
@pytest.mark.parametrize("algorithm", ["LSQML", "rPIE"])
def test_reconstruct_refuses_to_go_on_with_a_probe_that_is_not_finite(dense, n_modes, algorithm):
    probe = np.repeat(dense.probe_guess, n_modes, axis=1)
    probe[0, 0, 16, 16] = np.nan
    poisoned = Exposures(counts=dense.counts, positions_px=dense.positions_px, probe_guess=probe)
    recipe = RECIPE.model_copy(update={"algorithm": algorithm})
    with pytest.raises(NotFiniteError, match=r"after epoch 1 of 40: .*probe not finite"):
        reconstruct(poisoned, recipe, seed=7, progress=lambda *_: None)


def test_take_device_refuses_cuda_without_a_gpu():
    # An empty list hides any GPU; torch must not have looked before, hence the process of its own.
    program = "from fly64dask.reconstruction.lsqml.engine import take_device; take_device('cuda')"
    found = subprocess.run(
        [forked_python(), "-c", program],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode != 0
    assert "GpuMissingError: device cuda was asked for, by the recipe or as auto on workers with GPUs" in found.stderr
    assert "CUDA_VISIBLE_DEVICES=" in found.stderr


def test_reconstruct_ignores_the_rank_variables_of_a_job_script(dense, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    result = reconstruct(dense, Recipe(n_epochs=1, device="cpu"), seed=7, progress=lambda *_: None)
    assert len(result.loss) == 1


SIDE_EFFECTS = """
import logging, os, pickle, random, sys, threading, warnings
import numpy as np, torch
import ptychi.api.task  # scikit-learn sets variables when it is imported, and something draws a random number
from tqdm import tqdm

def settings():
    loggers = [logging.getLogger(), logging.getLogger("py.warnings")]
    return {
        "environment": dict(os.environ), "threads": torch.get_num_threads(), "device": torch.get_default_device(),
        "dtype": torch.get_default_dtype(), "torch": torch.get_rng_state().tolist(), "python": random.getstate(),
        "numpy": pickle.dumps(np.random.get_state()), "lock": "_lock" in vars(tqdm),
        "loggers": [(log.level, list(log.handlers), log.propagate) for log in loggers],
        "warnings": warnings.showwarning, "threads of Python": [thread.name for thread in threading.enumerate()],
        "stand-ins": [name for name, module in sys.modules.items() if type(module).__module__.startswith("fly64dask")],
    }

before = settings()
from fly64dask.reconstruction.lsqml.engine import reconstruct
from fly64dask.reconstruction import Exposures
from fly64dask.study import Recipe
after_import = settings()
scan = Exposures(
    counts=np.ones((6, 16, 16), np.uint16), positions_px=np.arange(12.0).reshape(6, 2),
    probe_guess=np.ones((1, 1, 16, 16), np.complex64),
)
recipe = Recipe(n_epochs=2, device="cpu", threads=3)
reconstruct(scan, recipe, seed=1, progress=lambda epoch, loss: None)
after_call = settings()
print([name for name in before if before[name] != after_import[name]])
print([name for name in before if before[name] != after_call[name]])
"""


def test_reconstruct_leaves_its_process_as_it_was():
    environment = os.environ | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [forked_python("torch"), "-c", SIDE_EFFECTS], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_take_device_of_cpu_is_cpu():
    assert take_device("cpu") == "cpu"


def test_gpu_missing_error_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(GpuMissingError("found none", remedy="add one")))
    assert (type(error), str(error)) == (GpuMissingError, "found none; add one")


def test_engine_loads_without_what_it_never_uses_and_gives_it_to_who_asks():
    code = """
import sys
import fly64dask.reconstruction.lsqml.lazy_imports
import fly64dask.reconstruction.lsqml.engine
unused = {"matplotlib.pyplot", "pyarrow", "scipy.spatial", "sklearn", "torchvision"}
assert not unused & set(sys.modules), unused & set(sys.modules)
import ptychi.io_handles, ptychi.utils
assert ptychi.utils.generate_gaussian_random_image((12, 12), smoothing=3.0).shape == (12, 12)
assert ptychi.io_handles.sklearn.cluster.KMeans(n_clusters=2).n_clusters == 2
assert ptychi.io_handles.scipy.spatial.distance.cdist([[0, 0]], [[3, 4]]) == 5
import sklearn.cluster, torchvision.transforms
assert torchvision.transforms.GaussianBlur.__module__.startswith("torchvision")
"""
    subprocess.run([forked_python("torch"), "-c", code], check=True, timeout=300)


# A process that has asked for a GPU cannot fork another which uses one, nor has that one a device of its own.
REFUSE_GPU = """
import torch

def refuse(*_):
    raise AssertionError("the engine asked for a GPU while it was loaded")

torch.cuda.is_available = torch.cuda.device_count = torch.cuda._lazy_init = torch._C._cuda_getDeviceCount = refuse
"""


@pytest.mark.parametrize(
    "disturbance",
    [
        "installed = m.version; m.version = lambda name: '9.9' if name == 'torch' else installed(name)",
        "torch.optim.SGD.step = lambda self: None",
        "torch.optim.SGD.step = lambda self: 1 / 0",
    ],
    ids=["untested version", "other numbers", "exception"],
)
def test_engine_is_imported_as_usual_where_leaving_modules_out_is_not_tested_or_fails_its_check(disturbance):
    code = f"""
import importlib.metadata as m, sys, torch
{disturbance}
{REFUSE_GPU}
import fly64dask.reconstruction.lsqml.lazy_imports, fly64dask.reconstruction.lsqml.engine, ptychi.io_handles
assert "torchvision" in sys.modules
assert type(sys.modules.get("torch._dynamo", sys)) is type(sys)
assert ptychi.io_handles.sklearn is sys.modules["sklearn"]
"""
    subprocess.run([forked_python("torch"), "-c", code], check=True, timeout=300)


def test_engine_loads_without_asking_for_a_gpu():
    code = f"""
import importlib
from fly64dask.cells import engine_modules
from fly64dask.reconstruction import LSQML
{REFUSE_GPU}
for module in engine_modules(LSQML):
    importlib.import_module(module)
"""
    subprocess.run([forked_python("torch"), "-c", code], check=True, timeout=300)


def test_first_cell_of_an_engine_that_is_loaded_imports_nothing_large():
    code = """
import importlib, sys
from fly64dask.cells import engine_modules
from fly64dask.reconstruction import LSQML
for name in engine_modules(LSQML):
    importlib.import_module(name)
from fly64dask.reconstruction.lsqml import engine
import numpy as np
from fly64dask.reconstruction.interface import Exposures
from fly64dask.study.model import Recipe
rng = np.random.default_rng(0)
scan = Exposures(
    counts=rng.poisson(9.0, (6, 16, 16)).astype(np.uint16),
    positions_px=rng.uniform(0, 20, (6, 2)),
    probe_guess=np.ones((1, 1, 16, 16), dtype=np.complex64),
)
loaded = set(sys.modules)
engine.reconstruct(scan, Recipe(n_epochs=2, device="cpu"), seed=1, progress=lambda epoch, loss: None)
assert len(set(sys.modules) - loaded) < 50, sorted(set(sys.modules) - loaded)
assert "torch._dynamo.eval_frame" not in sys.modules
"""
    subprocess.run([forked_python("torch"), "-c", code], check=True, timeout=300)


def test_engine_leaves_out_the_compiler_and_gives_it_to_who_compiles():
    code = """
import sys
import fly64dask.reconstruction.lsqml.lazy_imports
import fly64dask.reconstruction.lsqml.engine
left_out = {"torch._dynamo.eval_frame", "torch._meta_registrations", "torch.export"}
assert not left_out & set(sys.modules), left_out & set(sys.modules)
import torch
double = torch.compile(lambda x: 2 * x, backend="eager", fullgraph=True)
assert double(torch.ones(2)).tolist() == [2.0, 2.0]
assert "torch._dynamo.eval_frame" in sys.modules
inverse = torch.compile(torch.linalg.inv, backend="eager", fullgraph=True)  # its shape is known without data only then
assert inverse(2 * torch.eye(2)).tolist() == [[0.5, 0.0], [0.0, 0.5]]
import importlib
assert importlib.import_module("torch._dynamo").utils.__name__ == "torch._dynamo.utils"
"""
    subprocess.run([forked_python(), "-c", code], check=True, timeout=300)
