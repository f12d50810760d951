"""The faster steps against pty-chi's own: each replacement, whole reconstructions, and every way to fall back."""

from __future__ import annotations

import copy
import logging
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import ptychi.api.task
import ptychi.forward_models
import ptychi.image_proc
import ptychi.maths
import pytest
import torch
from hypothesis import example, given, settings, strategies as st
from ptychi.api.enums import Dtypes
from ptychi.api.task import PtychographyTask
from ptychi.data_structures.object import PlanarObject
from ptychi.io_handles import PtychographyDataset
from ptychi.reconstructors.base import LossTracker
from ptychi.reconstructors.lsqml import LSQMLReconstructor
from torch.utils.data import DataLoader

from fly64dask.reconstruction import ACCELERATED, COMPILED, Exposures
from fly64dask.reconstruction.lsqml import reconstruct
from fly64dask.reconstruction.lsqml.positions import limit_positions
from fly64dask.reconstruction.lsqml.steps.acceleration import accelerated
from fly64dask.reconstruction.lsqml.steps.compiled.own_transforms import radices_of
from fly64dask.reconstruction.lsqml.steps.epochs import run_epoch
from fly64dask.reconstruction.lsqml.steps.fast_steps import FastSteps
from fly64dask.reconstruction.lsqml.steps.fused_steps import FusedSteps
from fly64dask.reconstruction.lsqml.steps.replacements import replaced, replacements
from fly64dask.reconstruction.lsqml.steps.self_check import are_alike, disagreement
from fly64dask.reconstruction.lsqml.task import build_task
from fly64dask.reconstruction.lsqml.valid_pixels import count_valid_alone
from fly64dask.simulation import intensity_batches, synthetic_pair
from fly64dask.study import Recipe

# Distance from 1 to the next number in single precision. How far rounding carries a result is a matter of the case and
# of the machine's instructions, so that bounds are made for each case: the numbers wanted are pty-chi's in double
# precision, and how sensitive they are is found there too.
EPS = float(np.finfo(np.float32).eps)
# A result counts as right if it is the exact one of inputs that differ by a few EPS. Over 1400 random minibatches
# under three sets of instructions, pty-chi's own were up to 4.2 times as far off as the worst of four random changes of
# EPS moved them, ours up to 3.8 times.
A_FEW = 10
RECIPE = Recipe(n_epochs=20, batch_size=16, device="cpu")


def quiet(*_):
    """Take no notice of an epoch."""


def random_exposures(*, n, shape_px, n_modes=1, n_opr=1, dose=1e4, seed=0, masked=False):
    """Photons of nothing in particular: equality of two ways to compute needs no physics."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.exponential(dose / np.prod(shape_px), (n, *shape_px)))
    probe = rng.normal(size=(n_opr, n_modes, *shape_px)) + 1j * rng.normal(size=(n_opr, n_modes, *shape_px))
    positions = rng.uniform(0, 25, (n, 2))
    valid = rng.random(shape_px) > 0.2 if masked else None
    return Exposures(
        counts=(counts if valid is None else counts * valid).astype(np.uint32),
        positions_px=positions,
        probe_guess=probe.astype(np.complex64),
        valid_pixels=valid,
        opr_weights=rng.uniform(0.5, 1.5, (n, n_opr)).astype(np.float32),
    )


@pytest.fixture(scope="module")
def dense():
    pair = synthetic_pair((96, 96), (32, 32), seed=1)
    positions = np.random.default_rng(0).uniform(20, 76, (60, 2))
    (intensity,) = intensity_batches(pair, positions, batch=60)
    counts = np.random.default_rng(4).poisson(intensity * 1e4 / intensity.sum(axis=(1, 2)).mean())
    return Exposures(counts=counts.astype(np.uint16), positions_px=positions, probe_guess=pair.probe[None, None])


def as_double(values):
    """An array in double precision, real or complex; None stays None."""
    return None if values is None else values.astype(np.result_type(values, np.float64))


@contextmanager
def in_double_precision(task):
    """pty-chi's own task of the same values in double precision, torch's default while the block lasts."""
    options, given = copy.deepcopy(task.options), vars(task._task_data)
    options.reconstructor_options.default_dtype = Dtypes.FLOAT64
    try:
        double = PtychographyTask(options, **{n: as_double(v) for n, v in given.items()})
        if not double.dataset.valid_pixel_mask.all():
            count_valid_alone(double)  # tested by itself
        if double.probe_positions.optimizable:
            limit_positions(double, Recipe(refine_positions=True))  # pty-chi has no such limit
        yield double
    finally:
        task.build_default_dtype()


@torch.no_grad()
def run_minibatch(task, indices, seed, *, changed_by=None):
    """One minibatch from a random object: what it expects, the directions and the steps; then the epoch's end.

    Object and probe are changed first by a generator's normal noise of EPS, if there is one.
    """
    rng = np.random.default_rng(seed)
    reconstructor = task.reconstructor
    torch.manual_seed(seed)
    shape = tuple(task.object.shape)
    image = rng.uniform(0.5, 1.5, shape) * np.exp(1j * rng.uniform(-2, 2, shape))
    task.object.set_data(image.astype(np.complex64).astype(np.complex128))
    for parameter in (task.object, task.probe) if changed_by else ():
        noise = torch.from_numpy(changed_by.normal(size=(2, *parameter.shape)))
        parameter.set_data(parameter.data * (1 + EPS * torch.complex(*noise)))
    task.object.preconditioner = task.object.calculate_illumination_map(task.probe, task.probe_positions)
    found = {"illumination": task.object.preconditioner}
    every = task.object.calculate_illumination_map(task.probe, task.probe_positions, use_all_modes=True)
    found["illumination of all modes"] = every
    reconstructor.current_epoch = 1
    measured = task.dataset.patterns[indices]
    expected = reconstructor.forward_model(indices)
    found["intensity"] = expected.clone()
    reconstructor.update_fourier_error(expected, measured)
    reconstructor.compute_reconstruction_parameter_updates(expected, measured, indices)
    directions = {"object": task.object, "probe": task.probe}
    directions |= {"position": task.probe_positions} if task.probe_positions.optimizable else {}
    directions |= {"OPR weight": task.opr_mode_weights} if task.opr_mode_weights.optimizable else {}
    found |= {f"{name} direction": of.get_grad().clone() for name, of in directions.items()}
    reconstructor.apply_reconstruction_parameter_updates(indices)
    buffers = reconstructor.reconstructor_buffers
    return found | {
        "object steps": buffers.alpha_object_all_pos_all_slices,
        "probe steps": buffers.alpha_probe_all_pos,
        "object": task.object.data,
        "probe": task.probe.data,
        "fourier error": torch.tensor(buffers.fourier_errors or float(reconstructor.accumulated_fourier_error)),
        "loss": reconstructor.loss_tracker.metric_function(expected, measured),
    }


scans = st.fixed_dictionaries(
    {
        "n": st.integers(2, 12),
        "shape_px": st.tuples(st.integers(8, 21), st.integers(8, 21)),
        "n_modes": st.integers(1, 3),
        "dose": st.sampled_from([10.0, 1e3, 1e6]),
        "seed": st.integers(0, 2**16),
        "masked": st.booleans(),
        "n_opr": st.integers(1, 3),
    }
)


settings_of_recipe = st.fixed_dictionaries(
    {
        "noise_model": st.sampled_from(["gaussian", "poisson"]),
        "batch_size": st.integers(2, 12),
        "optimise_probe": st.booleans(),
        "guarded": st.booleans(),  # object and probe steps solved apart
        "refine_positions": st.booleans(),
    }
)


def on_torch(task):
    """The steps that are torch's calls."""
    return FastSteps(task.reconstructor)


def compiled(task):
    """The steps with compiled passes, and with compiled transforms for lengths that these know."""
    plain = on_torch(task)
    known = all(radices_of(length) is not None for length in plain.expected.shape_px)
    return FusedSteps(plain, "fly64dask" if known else "MKL")


def compiled_with_mkl(task):
    """The steps with compiled passes and transforms of MKL."""
    return FusedSteps(on_torch(task), "MKL")


@pytest.mark.parametrize("make_steps", [on_torch, compiled, compiled_with_mkl])
@given(scan=scans, of_recipe=settings_of_recipe)
@settings(max_examples=40, deadline=None)
@example(  # the first and last pixel of a wide range of amplitudes: one pixel's rounding makes the steps
    scan={"n": 6, "shape_px": (8, 20), "n_modes": 1, "dose": 1e6, "seed": 65536, "masked": False, "n_opr": 1},
    of_recipe={
        "noise_model": "poisson",
        "batch_size": 6,
        "optimise_probe": True,
        "guarded": False,
        "refine_positions": False,
    },
)
def test_minibatch_is_as_near_the_exact_one_as_rounding_allows_on_random_scans(make_steps, scan, of_recipe):
    scan = scan | ({} if make_steps is on_torch else {"n_opr": 1})
    exposures = random_exposures(**scan)
    recipe, batch_size = RECIPE.model_copy(update=of_recipe), of_recipe["batch_size"]
    indices = torch.randperm(scan["n"], generator=torch.Generator().manual_seed(scan["seed"]))[:batch_size]
    task = build_task(exposures, recipe, device="cpu")
    with replaced(replacements(task, make_steps(task))):
        ours = run_minibatch(task, indices, scan["seed"])
    with in_double_precision(task) as double:
        exact = run_minibatch(double, indices, scan["seed"])
    changed = []
    for number in range(4):
        with in_double_precision(task) as double:
            changed.append(run_minibatch(double, indices, scan["seed"], changed_by=np.random.default_rng(number)))
    # pty-chi takes these as differences between what is and what will be, which are as exact as what they are of.
    taken_of = {"OPR weight direction": exposures.opr_weights.max()}
    if scan["n_opr"] > 1:
        taken_of["probe direction"] = float(exact["probe"].abs().max())
    for name, expected in exact.items():
        largest = max(float(expected.abs().max()), taken_of.get(name, 0))
        moved = max((other[name] - expected).abs().max() for other in changed)
        assert ours[name].shape == expected.shape, name
        assert (ours[name] - expected).abs().max() <= A_FEW * (moved + EPS * largest), name


@pytest.mark.parametrize("make_steps", [on_torch, compiled, compiled_with_mkl])
def test_measured_intensities_are_those_that_pty_chis_loader_reads(dense, make_steps):
    task = build_task(dense, RECIPE, device="cpu")
    steps = make_steps(task)
    read = [(counts, steps.read(indices)) for indices, counts in task.reconstructor.dataloader]
    assert len(read) == 4
    assert all(torch.equal(of_loader, ours) for of_loader, ours in read)


OPR = "the probe has several OPR modes"
WAYS = {
    "gaussian": {},
    # Below 16 exposures torch draws the noise of the step sizes alike in single and double precision.
    "poisson": {"noise_model": "poisson", "batch_size": 15},
    "probe_fixed": {"optimise_probe": False},
    "two_modes": {},
    "guarded": {},
    "guarded_by_remedy": {"guarded": True, "optimise_probe": False},
    "odd_and_not_square": {},
    "masked": {},
    "two_opr_modes": {"opr_modes": 2},
    "two_opr_modes_masked_poisson": {"opr_modes": 2, "probe_modes": 2, "noise_model": "poisson", "batch_size": 15},
    # Small steps: whether a position has passed half a pixel, and takes another patch, is a matter of its last digit.
    "momentum": {"momentum_gain": 0.3},
    "refined_positions": {"refine_positions": True, "position_update_start": 5, "position_step_size": 0.3},
}


def exposures_of(way, dense):
    if way == "two_modes":
        second = np.roll(dense.probe_guess, 3, axis=-1) * 0.2
        return replace(dense, probe_guess=np.concatenate([dense.probe_guess, second], axis=1))
    if way == "guarded":
        return replace(dense, counts=dense.counts[:1], positions_px=dense.positions_px[:1])
    if "opr" in way:
        # Modes that are made begin without light: what single precision leaves of them differs from the start.
        second = np.roll(dense.probe_guess, 3, axis=-1) - dense.probe_guess
        weights = np.random.default_rng(8).normal((1, 0), (0, 0.2), (len(dense.counts), 2)).astype(np.float32)
        dense = replace(dense, probe_guess=np.concatenate([dense.probe_guess, second]), opr_weights=weights)
    if "masked" in way:
        valid = np.ones(dense.counts.shape[1:], bool)
        valid[14:17] = valid[:, 14:17] = False
        return replace(dense, counts=dense.counts * valid, valid_pixels=valid)
    if way == "odd_and_not_square":
        return replace(dense, counts=dense.counts[:, :27, 1:], probe_guess=dense.probe_guess[..., :27, 1:])
    return dense


def light_on_object(exposures, result):
    """Share of the brightest pixel's light, (Y, X): where none falls, a pixel keeps what rounding left there."""
    light = np.zeros(result.object_recon.shape[1:])
    height, width = exposures.probe_guess.shape[2:]
    for y, x in np.floor(exposures.positions_px - np.array(result.object_origin_px)).astype(int):
        rows, columns = slice(y - height // 2, y - height // 2 + height), slice(x - width // 2, x - width // 2 + width)
        light[rows, columns] += (np.abs(exposures.probe_guess[0]) ** 2).sum(axis=0)
    return light / light.max()


@pytest.mark.parametrize("way", WAYS)
def test_reconstruct_is_as_near_the_exact_result_as_pty_chi_after_20_epochs(dense, way):
    exposures = exposures_of(way, dense)
    recipe = RECIPE.model_copy(update=WAYS[way])
    ours = reconstruct(exposures, recipe, seed=7, progress=quiet)
    unmodified = reconstruct(exposures, recipe.model_copy(update={"accelerated": False}), seed=7, progress=quiet)
    assert ours.acceleration.startswith(f"{ACCELERATED} without compiled loops: {OPR}" if "opr" in way else COMPILED)
    assert unmodified.acceleration == "unmodified: the recipe says so"
    with in_double_precision(build_task(exposures, recipe, device="cpu")) as double:
        object_exact, probe_exact = run(double, recipe, 7)
        loss_exact = double.reconstructor.loss_tracker.table["loss"].to_numpy()
    lit = light_on_object(exposures, unmodified) > 0.01
    assert lit.sum() > exposures.probe_guess[0, 0].size / 20
    for exact, one, other in (
        (object_exact[0, lit], ours.object_recon[0, lit], unmodified.object_recon[0, lit]),
        (probe_exact, ours.probe_recon, unmodified.probe_recon),
        (loss_exact, ours.loss, unmodified.loss),
    ):
        # The rounding of each step enters the next, so that pty-chi's own single precision is the measure.
        rounding = np.abs(other - exact).max() + EPS * np.abs(exact).max()
        assert rounding < 1e-3 * np.abs(exact).max()
        assert np.abs(one - exact).max() <= A_FEW * rounding


def run(task, recipe, seed):
    """The loop of pty-chi's own examples, and its probe in sqrt(photons): its transform is not normalised."""
    task.reconstructor.dataloader.generator.manual_seed(seed)
    torch.manual_seed(seed)
    task.run(recipe.n_epochs)
    probe = task.get_data_to_cpu("probe", as_numpy=True)
    return task.get_data_to_cpu("object", as_numpy=True), probe * np.float32(np.sqrt(probe[0, 0].size))


def run_pty_chi(exposures, recipe, seed):
    """What pty-chi makes of exposures on its own."""
    return run(build_task(exposures, recipe, device="cpu"), recipe, seed)


def test_reconstruct_is_pty_chi_to_the_bit_when_the_recipe_says_so(dense):
    recipe = RECIPE.model_copy(update={"accelerated": False})
    result = reconstruct(dense, recipe, seed=7, progress=quiet)
    object_recon, probe_recon = run_pty_chi(dense, recipe, 7)
    assert np.array_equal(result.object_recon, object_recon)
    assert np.array_equal(result.probe_recon, probe_recon)


@pytest.mark.usefixtures("untested_version")
def test_reconstruct_falls_back_and_says_so_when_pty_chi_is_of_another_version(dense, caplog):
    unmodified, _ = run_pty_chi(dense, RECIPE, 7)
    result = reconstruct(dense, RECIPE, seed=7, progress=quiet)
    assert result.acceleration == "unmodified: pty-chi 9.9 is installed, the faster steps are tested with 2.2.0"
    assert [record.getMessage() for record in caplog.records] == [
        "engine=unmodified reason=pty-chi 9.9 is installed, the faster steps are tested with 2.2.0"
    ]
    assert np.array_equal(result.object_recon, unmodified)


@pytest.mark.parametrize(
    ("owner", "name", "differs"),
    [
        (LSQMLReconstructor, "_precondition_probe_update_direction", "probe"),
        (LSQMLReconstructor, "_precondition_object_update_direction", "object"),
        (ptychi.image_proc, "fourier_shift", "intensity"),
        (PlanarObject, "calculate_illumination_map", "illumination"),
    ],
)
def test_reconstruct_falls_back_and_says_so_when_pty_chi_gives_other_numbers(
    dense, monkeypatch, caplog, owner, name, differs
):
    own = getattr(owner, name)

    def a_little_more(*args, **kwargs):
        found = own(*args, **kwargs)
        return tuple(part * 1.001 for part in found) if isinstance(found, tuple) else found * 1.001

    monkeypatch.setattr(owner, name, a_little_more)
    recipe = RECIPE.model_copy(update={"n_epochs": 2})
    result = reconstruct(dense, recipe, seed=7, progress=quiet)
    assert result.acceleration.startswith(f"unmodified: self-check: {differs}")
    assert "differs by" in caplog.text
    assert np.array_equal(result.object_recon, run_pty_chi(dense, recipe, 7)[0])


def test_halves_run_on_pty_chis_own_steps_where_the_self_check_of_the_full_data_differs(dense, monkeypatch, caplog):
    own = PlanarObject.calculate_illumination_map
    monkeypatch.setattr(PlanarObject, "calculate_illumination_map", lambda *args, **kw: own(*args, **kw) * 1.001)
    recipe = RECIPE.model_copy(update={"n_epochs": 2, "halves": "counts"})
    halves = reconstruct(dense, recipe, seed=7, progress=quiet).half_objects
    assert caplog.text.count("engine=unmodified") == 3
    unmodified = reconstruct(dense, recipe.model_copy(update={"accelerated": False}), seed=7, progress=quiet)
    assert np.array_equal(halves, unmodified.half_objects)


def halved(exposures):
    return replace(exposures, counts=exposures.counts // 2)


def every_other(exposures):
    return replace(exposures, counts=exposures.counts[::2], positions_px=exposures.positions_px[::2])


def moved(exposures):
    return replace(exposures, positions_px=exposures.positions_px + np.array([0.25, 0]))


def brightened(exposures):
    return replace(exposures, counts=exposures.counts + 1)


def masked(exposures):
    return replace(exposures, valid_pixels=np.arange(32 * 32).reshape(32, 32) > 0)


@pytest.mark.parametrize(
    ("change", "recipe", "alike"),
    [
        (halved, {}, True),
        (every_other, {}, False),
        (moved, {}, False),
        (brightened, {}, False),
        (masked, {}, False),
        (halved, {"noise_model": "poisson"}, False),
        (halved, {"probe_modes": 2}, False),
        (halved, {"batch_size": 7}, False),
    ],
)
def test_are_alike_tells_tasks_that_differ_in_more_than_their_photons(dense, change, recipe, alike):
    assert dense.counts[:3].min() == 0
    task = build_task(dense, RECIPE, device="cpu", seed=1)
    other = build_task(change(dense), RECIPE.model_copy(update=recipe), device="cpu", seed=2)
    assert are_alike(other, task) == alike


@pytest.mark.parametrize(("recipe", "shared"), [({}, True), ({"refine_positions": True}, False)])
def test_tasks_that_compute_alike_share_ramps_and_corners_unless_positions_move(dense, recipe, shared):
    recipe = RECIPE.model_copy(update=recipe)
    tasks = {
        name: build_task(of, recipe, device="cpu", seed=1) for name, of in (("all", dense), ("half", halved(dense)))
    }
    with accelerated(tasks, enabled=True) as acceleration:
        steps, other = acceleration.steps["all"], acceleration.steps["half"]
        assert (steps.scan is other.scan) == shared
        assert (steps.places is other.places) == shared


@pytest.fixture(scope="module")
def dark_pixels():
    """Patterns without noise on a raster of whole pixels: what is dark in them divides what a Poisson model makes."""
    pair = synthetic_pair((80, 80), (32, 32), seed=7)
    steps = np.arange(20.0, 61.0, 5.0)
    positions = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    (intensity,) = intensity_batches(pair, positions, batch=len(positions))
    scale = 1e6 / intensity.sum(axis=(1, 2)).mean()
    probe = (pair.probe * np.sqrt(scale))[None, None].astype(np.complex64)
    return Exposures(counts=(intensity * scale).astype(np.float32), positions_px=positions, probe_guess=probe)


@pytest.mark.parametrize("make_steps", [on_torch, compiled, compiled_with_mkl])
def test_disagreement_allows_what_rounding_does_where_dark_pixels_carry_it_far(dark_pixels, make_steps):
    task = build_task(dark_pixels, RECIPE.model_copy(update={"noise_model": "poisson"}), device="cpu")
    assert disagreement(task, make_steps(task)) is None


@pytest.mark.parametrize("make_steps", [on_torch, compiled, compiled_with_mkl])
def test_disagreement_finds_a_fault_of_two_per_cent_where_rounding_is_carried_far(dark_pixels, make_steps, monkeypatch):
    name = "_precondition_object_update_direction"
    own = getattr(LSQMLReconstructor, name)
    monkeypatch.setattr(LSQMLReconstructor, name, lambda *a, **k: tuple(part * 1.02 for part in own(*a, **k)))
    task = build_task(dark_pixels, RECIPE.model_copy(update={"noise_model": "poisson"}), device="cpu")
    assert "object" in disagreement(task, make_steps(task))


# A Numba that cannot compile the engine's functions, as it cannot this one.
UNABLE = """
import numba
njit = numba.njit
numba.njit = lambda *_, **__: lambda kernel: njit("f8(f8)")(lambda number: number.unknown)
"""
TINY_RUN = """
import numpy as np
from fly64dask.reconstruction import Exposures
from fly64dask.reconstruction.lsqml import reconstruct
from fly64dask.study import Recipe
counts = np.random.default_rng(0).poisson(5, (4, 8, 8)).astype(np.uint16)
exposures = Exposures(
    counts=counts, positions_px=np.random.default_rng(1).uniform(0, 9, (4, 2)), probe_guess=np.ones((1, 1, 8, 8), "c8")
)
print(reconstruct(exposures, Recipe(n_epochs=1, device="cpu"), seed=7, progress=lambda *_: None).acceleration)
"""


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ('import sys; sys.modules["numba"] = None', "import of numba halted"),
        ('import os; os.environ["NUMBA_DISABLE_JIT"] = "1"', "NUMBA_DISABLE_JIT is set"),
        (UNABLE, "Numba "),
    ],
)
def test_reconstruct_runs_on_torch_and_says_so_where_nothing_can_be_compiled(before, reason, tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", before + TINY_RUN], capture_output=True, text=True, timeout=600, env=environment
    )
    way = f"{ACCELERATED} without compiled loops: none can be compiled here ({reason}"
    assert done.stdout.startswith(way), done.stderr


@pytest.mark.parametrize("make_steps", [on_torch, compiled, compiled_with_mkl])
def test_disagreement_leaves_the_task_as_it_was(dense, make_steps):
    recipe = RECIPE.model_copy(update={"noise_model": "poisson", "n_epochs": 3})
    tasks = [build_task(dense, recipe, device="cpu") for _ in range(2)]
    found = []
    for task, checked in zip(tasks, (False, True), strict=True):
        task.reconstructor.dataloader.generator.manual_seed(7)
        torch.manual_seed(7)
        if checked:
            assert disagreement(task, make_steps(task)) is None
        task.run(3)
        found.append(task.get_data_to_cpu("object", as_numpy=True))
    assert np.array_equal(*found)


def everything_of_pty_chi():
    owners = [ptychi.forward_models, ptychi.image_proc, ptychi.maths, LSQMLReconstructor, LossTracker, PlanarObject]
    owners += [ptychi.forward_models.PlanarPtychographyForwardModel, PtychographyDataset, DataLoader]
    return [(owner, name, id(value)) for owner in owners for name, value in vars(owner).items()]


def test_pty_chi_is_its_own_after_the_call(dense):
    before = everything_of_pty_chi()
    reconstruct(dense, RECIPE.model_copy(update={"n_epochs": 2}), seed=7, progress=quiet)
    assert everything_of_pty_chi() == before
    assert torch.get_default_device().type == "cpu"


def test_task_has_its_own_steps_again_after_the_block_also_when_it_raised(dense):
    task = build_task(dense, RECIPE, device="cpu")
    reconstructor = task.reconstructor
    owners = [reconstructor, reconstructor.forward_model, task.object, task.dataset, reconstructor.dataloader]
    owners += [reconstructor.loss_tracker, reconstructor.parameter_group.opr_mode_weights]
    before = [set(vars(owner)) for owner in owners]
    metric = reconstructor.loss_tracker.metric_function

    def interrupted():
        with accelerated({"all": task}, enabled=True) as acceleration:
            assert acceleration.ways["all"].startswith(COMPILED)
            assert "forward" in vars(reconstructor.forward_model)
            run_epoch(task, acceleration.steps["all"])
            run_epoch(task, acceleration.steps["all"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [set(vars(owner)) for owner in owners] == before
    assert reconstructor.loss_tracker.metric_function is metric
    task.run(1)
    assert reconstructor.loss_tracker.table["epoch"].tolist() == [0, 1, 2]


def test_accelerated_says_nothing_in_the_log_when_the_recipe_wants_pty_chis_own(dense, caplog):
    caplog.set_level(logging.DEBUG)
    with accelerated({"all": build_task(dense, RECIPE, device="cpu")}, enabled=False):
        pass
    assert "engine=unmodified" not in caplog.text
