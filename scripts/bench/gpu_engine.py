"""The engine on a GPU: sections of `gpu_proof.py` that call it in their own process, and engines that fail."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from engine import A_FEW, CASES, expose, last_digits_changed, plain_recipe
from gpu import BYTES_PER_PIXEL, OPERATIONS, PASSES, speeds
from matrix import apart
from measuring import Notes, seconds_of

from fly64dask.reconstruction import ACCELERATED, CheckpointFile, Exposures, Reconstruction
from fly64dask.reconstruction.lsqml import reconstruct
from fly64dask.reconstruction.lsqml.steps.launches import record_on_gpu
from fly64dask.reconstruction.lsqml.steps.places import added_as_integers
from fly64dask.scan import illuminated_area, illumination_map, object_frame
from fly64dask.scheduling import CONTEXT_BYTES, predicted_memory_bytes
from fly64dask.study import Checkpoints, Recipe, Remedy, remedied_recipe

# After 20 epochs of single precision, as bench/engine.py has it; the second for one exposure alone.
TOLERANCE, ONE_EXPOSURE = 1e-4, 1e-3
WAYS: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "poisson": {"noise_model": "poisson"},
    "probe fixed": {"optimise_probe": False},
    "two probe modes": {},
    "masked": {},
    "masked, Poisson": {"noise_model": "poisson"},
    "masked, half sets": {"stop": "half_sets"},
    "masked, refined positions": {"refine_positions": True},
    "masked, DM": {"algorithm": "DM", "n_epochs": 5},  # after 20 epochs rounding is all that one can see
    "two OPR modes": {"opr_modes": 2},
    "one exposure": {"on_degenerate": "guarded"},
    "guarded remedy": {},
    "half sets": {"stop": "half_sets"},
    "held-out photons": {"stop": "held_out"},
    "halves of exposures": {"halves": "exposures"},
    "all at once, small steps": {"batch_size": "all", "object_step_size": 0.5, "probe_step_size": 0.5},
    "uniform minibatches": {"batching": "uniform", "batch_size": 8},
    "compact minibatches, momentum": {"batching": "compact", "batch_size": 8, "momentum_gain": 0.5},
    "three modes made of one, late updates": {"probe_modes": 3, "object_update_start": 2, "probe_update_start": 3},
    "refined positions": {"refine_positions": True},
    "a probe held to support and power": {"probe_support": 0.01, "probe_power_photons": 1e4},
    "rPIE": {"algorithm": "rPIE", "batching": "uniform", "batch_size": 8, "n_epochs": 5},  # likewise
    "ePIE": {"algorithm": "ePIE", "batch_size": 8},
    "DM": {"algorithm": "DM", "stop": "half_sets"},
}
# Their minibatches are not recorded.
UNRECORDED = {
    "two OPR modes",
    "compact minibatches, momentum",
    "refined positions",
    "masked, refined positions",
}
# Exposures, side of a pattern, minibatch.
MEMORY_CASES = ((8, 64, 96), (322, 64, 96), (1000, 64, 96), (322, 128, 96), (1000, 128, 500))


class Stopped(Exception):
    """Ends an engine between two epochs, as a lost worker does."""


def agreement(notes: Notes, folder: Path) -> None:
    """Expect the CPU and the device to agree on objects, probes and losses, on every path of the faster steps."""
    dense = some_exposures(notes)
    notes.holds("a mask changes the objects: it reaches the engine", is_mask_seen(dense))
    for way in WAYS:
        if "algorithm" not in WAYS[way]:
            compare_devices(notes, way, exposures_of(way, dense), recipe_of(notes, way, accelerated=True))


def unmodified(notes: Notes, folder: Path) -> None:
    """Expect the same of pty-chi's own steps, and of the algorithms that have no others."""
    dense = some_exposures(notes)
    for way in ("gaussian", "rPIE") if notes.smoke else WAYS:
        compare_devices(notes, way, exposures_of(way, dense), recipe_of(notes, way, accelerated=False))


def checkpoints(notes: Notes, folder: Path) -> None:
    """Expect a reconstruction that was stopped to go on from its checkpoint to what it gives without a break."""
    dense = some_exposures(notes)
    for name in ("gaussian", "masked", "compact minibatches, momentum", "DM"):
        recipe = Recipe.model_validate({"n_epochs": 12, "batch_size": 16} | WAYS[name])
        go_on(notes, folder / name, exposures_of(name, dense), recipe, name)


def some_exposures(notes: Notes) -> Exposures:
    """Make the exposures that are compared."""
    return expose(*((12, 32) if notes.smoke else (42, 64)))


def recipe_of(notes: Notes, way: str, *, accelerated: bool) -> Recipe:
    """Give the recipe of a way of `WAYS`."""
    settings = {"n_epochs": 3 if notes.smoke else 20, "batch_size": 16, "accelerated": accelerated}
    recipe = Recipe.model_validate(settings | WAYS[way])
    return remedied_recipe(recipe, Remedy(kind="guarded")) if way == "guarded remedy" else recipe


def go_on(notes: Notes, path: Path, exposures: Exposures, recipe: Recipe, name: str) -> None:
    """Expect a reconstruction that was stopped to go on from its checkpoint to what it gives without a break."""
    settings_of_file = Checkpoints(every_n_epochs=4, min_seconds=0)
    checkpoint = CheckpointFile(path=path, cell_key=name, settings=settings_of_file)
    with suppress(Stopped):
        engine(exposures, recipe, notes.device, checkpoint, stop_at=10)
    resumed = engine(exposures, recipe, notes.device, checkpoint)
    straight = engine(exposures, recipe, notes.device)
    apart_by = difference(exposures, straight, resumed)
    notes.row(way=name, resumed_from_epoch=resumed.resumed_from_epoch, apart=apart_by)
    notes.holds(f"{name}: goes on from epoch 8 of a checkpoint", resumed.resumed_from_epoch == 8)
    notes.most(f"{name}: from a checkpoint against without a break", apart_by, TOLERANCE)


def compare_devices(notes: Notes, way: str, exposures: Exposures, recipe: Recipe) -> None:
    """Reconstruct on the CPU and twice on the device.

    Where they differ by more than the tolerance, allowed is `A_FEW` times what a change of the starting probe's last
    digits does on the CPU: rounding grows from epoch to epoch.
    """
    on_cpu = engine(exposures, recipe, "cpu")
    began = time.perf_counter()
    result = engine(exposures, recipe, notes.device)
    seconds = time.perf_counter() - began
    is_fast = recipe.accelerated and recipe.algorithm == "LSQML"
    again = engine(exposures, recipe, notes.device) if is_fast and not notes.smoke else result
    name = f"{way}, {'accelerated' if is_fast else 'unmodified'}"
    apart_by, twice = difference(exposures, on_cpu, result), difference(exposures, again, result)
    allowed, moved = ONE_EXPOSURE if way == "one exposure" else TOLERANCE, 0.0
    if apart_by > allowed:
        changed = [engine(last_digits_changed(exposures, seed), recipe, "cpu") for seed in range(2)]
        moved = max(difference(exposures, on_cpu, other) for other in changed)
        allowed = max(allowed, A_FEW * moved)
    notes.row(way=name, ran=result.acceleration, apart=apart_by, moved=moved, twice=twice, seconds=seconds)
    notes.most(f"{name}: device against CPU", apart_by, allowed)
    notes.most(f"{name}: device against itself", twice, 0)
    notes.holds(
        f"{name}: ran so",
        ran_as_expected(way, recipe, notes.device, result.acceleration) and notes.device in result.device,
    )


def ran_as_expected(way: str, recipe: Recipe, device: str, ran: str) -> bool:
    """Whether a reconstruction ran by the steps that it should run by."""
    if recipe.algorithm != "LSQML":
        return ran == f"unmodified: {recipe.algorithm} has no faster steps"
    if not recipe.accelerated:
        return ran == "unmodified: the recipe says so"
    if device == "cuda":
        return ran == ACCELERATED if way not in UNRECORDED else ran.startswith(f"{ACCELERATED} without recorded")
    return ran.startswith(ACCELERATED)  # and, on a CPU, what is missing


def engine(
    exposures: Exposures, recipe: Recipe, device: str, checkpoint: CheckpointFile | None = None, *, stop_at: int = 0
) -> Reconstruction:
    """Reconstruct on a device, in this process; raises `Stopped` after an epoch if one is given."""

    def progress(epoch: int, loss: float) -> None:
        if epoch == stop_at:
            raise Stopped

    recipe = recipe.model_copy(update={"device": device})
    return reconstruct(exposures, recipe, seed=7, progress=progress, checkpoint=checkpoint)


def masked(exposures: Exposures) -> Exposures:
    """Take a cross of gaps, a beam stop and some dead pixels out of a detector; they count no photons."""
    side_px = exposures.counts.shape[-1]
    y, x = np.indices((side_px, side_px)) - side_px // 2
    invalid = (np.abs(y - side_px // 4) < 1) | (np.abs(x - side_px // 4) < 1) | (np.hypot(y, x) < 2)
    invalid.flat[:: 7 * side_px + 3] = True
    counts = np.where(invalid, 0, exposures.counts).astype(exposures.counts.dtype)
    return replace(exposures, counts=counts, valid_pixels=~invalid)


def is_mask_seen(dense: Exposures) -> bool:
    """Tell whether the CPU makes another object of masked exposures than of the same counts, taken as measured."""
    recipe, told = Recipe.model_validate({"n_epochs": 3, "batch_size": 16}), masked(dense)
    one, other = (engine(each, recipe, "cpu") for each in (told, replace(told, valid_pixels=None)))
    return difference(told, one, other) > 100 * TOLERANCE


def exposures_of(way: str, dense: Exposures) -> Exposures:
    """Give the exposures that a way of `WAYS` reconstructs."""
    if way.startswith("masked"):
        return masked(dense)
    if way == "two probe modes":
        second = np.roll(dense.probe_guess, 3, axis=-1) * np.float32(0.2)
        return replace(dense, probe_guess=np.concatenate([dense.probe_guess, second], axis=1))
    if way == "one exposure":
        return replace(dense, counts=dense.counts[:1], positions_px=dense.positions_px[:1])
    return dense


def difference(exposures: Exposures, one: Reconstruction, other: Reconstruction) -> float:
    """Find the largest relative difference of illuminated objects, of probes, losses and halves' objects."""
    shape = (one.object_recon.shape[1], one.object_recon.shape[2])
    area = illuminated_area(
        illumination_map(exposures.probe_guess, exposures.positions_px, shape, one.object_origin_px)
    )
    differences = [
        apart(one.object_recon[:, area], other.object_recon[:, area], 1.0),
        apart(one.probe_recon, other.probe_recon, float(np.abs(one.probe_recon).max())),
        apart(one.loss, other.loss, float(one.loss.min())),
    ]
    if one.half_objects is not None and other.half_objects is not None:
        differences.append(apart(one.half_objects[:, area], other.half_objects[:, area], 1.0))
    return max(differences)


def unguarded(exposures: Exposures, recipe: Recipe, **keywords: Any) -> Reconstruction:
    """Reconstruct without the guard of a degenerate scan: pty-chi gets it as it is."""
    with mock.patch("fly64dask.reconstruction.lsqml.task.is_guarded", return_value=False):
        return reconstruct(exposures, recipe, **keywords)


def blinded(exposures: Exposures, recipe: Recipe, **keywords: Any) -> Reconstruction:
    """Reconstruct from a starting probe of NaN."""
    return reconstruct(replace(exposures, probe_guess=exposures.probe_guess * np.nan), recipe, **keywords)


def memory(notes: Notes, folder: Path) -> None:
    """Expect a cell to take no more of the card than the plan predicts, with CUDA's context."""
    for n, side_px, batch_size in [(8, 32, 8)] if notes.smoke else MEMORY_CASES:
        exposures = expose(n, side_px)
        shape, _ = object_frame(exposures.positions_px, (side_px, side_px))
        for stop in ("epochs", "half_sets"):
            recipe = Recipe.model_validate({"n_epochs": 3, "batch_size": batch_size, "stop": stop})
            planned = predicted_memory_bytes(n, (side_px, side_px), shape, recipe)
            taken = card_bytes(exposures, recipe, notes.device)
            figures = {f"{name}_mb": value / 1e6 for name, value in ({"planned": planned} | taken).items()}
            notes.row(exposures=n, side_px=side_px, batch=batch_size, stop=stop, **figures)
            if taken:
                name = f"{n} of {side_px} px, batch {batch_size}, {stop}"
                notes.most(f"{name}: card over plan", taken["card"] / (planned + CONTEXT_BYTES), 1.0)
                notes.most(f"{name}: context", taken["context"] / 1e6, CONTEXT_BYTES / 1e6, "MB")


def card_bytes(exposures: Exposures, recipe: Recipe, device: str) -> dict[str, int]:
    """Measure the most that a reconstruction takes of the card, by torch and the driver; nothing on the CPU."""
    if device == "cpu":
        engine(exposures, recipe, device)
        return {}
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    engine(exposures, recipe, device)
    free_bytes, total_bytes = torch.cuda.mem_get_info()
    card = total_bytes - free_bytes
    context, reserved = card - torch.cuda.memory_reserved(), torch.cuda.max_memory_reserved()
    return {"peak": torch.cuda.max_memory_allocated(), "card": context + reserved, "context": context}


def epochs(notes: Notes, folder: Path) -> None:
    """Time an epoch on the device, recorded, called and unmodified, and on one thread of the CPU, beside the floors."""
    bytes_per_s, launch_s = speeds(notes.device)
    notes.row(copy_gb_per_s=bytes_per_s / 1e9, launch_us=launch_s * 1e6)
    for n, side_px in [(8, 32)] if notes.smoke else [case for case in CASES if case[0] != 700]:
        exposures, recipe = expose(n, side_px), plain_recipe()
        n_batches, n_pixels = math.ceil(n / recipe.exposures_in_batch(n)), n * side_px**2
        ways = {"accelerated": (notes.device, True, None), "called": (notes.device, True, "called one by one")}
        ways |= {"unmodified": (notes.device, False, None), "cpu_thread": ("cpu", True, None)}
        results: dict[str, Reconstruction] = {}
        figures: dict[str, float] = {}
        for name, (device, accelerated, reason) in ways.items():
            settings = {"device": device, "accelerated": accelerated, "n_epochs": 8 if device == "cpu" else 25}
            with recorded_unless(reason):
                results[name], call_s, epoch_s = timed(exposures, recipe.model_copy(update=settings))
            figures |= {f"{name}_ms": epoch_s * 1e3}
            if name == "accelerated":
                again_s = seconds_of(partial(timed, exposures, recipe.model_copy(update=settings)))
                figures |= {"call_s": call_s, "again_s": again_s}
        figures |= {"ratio": figures["unmodified_ms"] / figures["accelerated_ms"]}
        figures |= {"bytes_ms": n_pixels * PASSES * BYTES_PER_PIXEL / bytes_per_s * 1e3}
        figures |= {"launches_ms": n_batches * OPERATIONS * launch_s * 1e3}
        notes.row(exposures=n, side_px=side_px, **figures)
        for name in ("called", "unmodified"):
            apart_by = difference(exposures, results["accelerated"], results[name])
            notes.most(f"{n} of {side_px} px: accelerated against {name}", apart_by, TOLERANCE)
        notes.row(exposures=n, side_px=side_px, **with_halves(notes, exposures, recipe))
        if notes.device == "cuda" and n == 322:
            notes.row(of=f"placing 96 of {side_px} px", **placing_us(side_px))
            notes.row(of=f"{n} of {side_px} px", **profiled(exposures, recipe))


def with_halves(notes: Notes, exposures: Exposures, recipe: Recipe) -> dict[str, float]:
    """Time epochs of a cell with halves of its counts, whose minibatches are launched together or in turns."""
    recipe = recipe.model_copy(update={"device": notes.device, "halves": "counts"})
    figures, results = {}, {}
    for name, most_bytes in (("together_ms", 2**40), ("in_turns_ms", 0)):
        with mock.patch("fly64dask.reconstruction.lsqml.steps.launches.SIDE_BY_SIDE_BYTES", most_bytes):
            results[name], _, epoch_s = timed(exposures, recipe)
        figures[name] = epoch_s * 1e3
    apart_by = difference(exposures, *results.values())
    n, _, side_px = exposures.counts.shape
    notes.most(f"{n} of {side_px} px, halves: launched together against in turns", apart_by, 0)
    return figures | {"together_ratio": figures["in_turns_ms"] / figures["together_ms"]}


def placing_us(side_px: int) -> dict[str, float]:
    """Time how patches are added to an object by three recorded ways, in microseconds; the last adds in any order."""
    shape = (4 * side_px, 4 * side_px)
    rows, columns = torch.randint(0, 3 * side_px, (2, 96), device="cuda")
    patches = torch.randn((96, side_px, side_px), dtype=torch.complex64, device="cuda")
    image = torch.zeros(shape, dtype=torch.complex64, device="cuda")
    lines = (rows[:, None] + torch.arange(side_px, device="cuda")) * shape[1] + columns[:, None]
    pixels = (lines[:, :, None] + torch.arange(side_px, device="cuda")).flatten()
    flat, values = image.view(-1), patches.flatten()
    ways: dict[str, Callable[[], object]] = {
        "as_integers_us": lambda: added_as_integers(patches, rows, columns, shape),
        "index_put_us": lambda: flat.index_put_((pixels,), values, accumulate=True),
        "scatter_add_us": lambda: flat.scatter_add_(0, pixels, values),
    }
    found = {}
    for name, place in ways.items():

        def ten_times(place: Callable[[], object] = place) -> None:
            for _ in range(10):
                place()

        ten_times()
        launch = record_on_gpu([ten_times])

        def waited(launch: Callable[[], object] = launch) -> None:
            launch()
            torch.cuda.synchronize()

        waited()
        found[name] = min(seconds_of(waited) for _ in range(10)) * 1e5
    return found


@contextmanager
def recorded_unless(reason: str | None) -> Iterator[None]:
    """Let minibatches be called one by one on a GPU while the block lasts, if there is a reason."""
    if reason is None:
        yield
        return
    with mock.patch("fly64dask.reconstruction.lsqml.steps.acceleration.obstacle", return_value=reason):
        yield


def timed(exposures: Exposures, recipe: Recipe) -> tuple[Reconstruction, float, float]:
    """Reconstruct; gives the result, seconds of the call, and the median of an epoch's after the third."""
    stamps = [time.perf_counter()]
    result = reconstruct(exposures, recipe, seed=7, progress=lambda epoch, loss: stamps.append(time.perf_counter()))
    return result, time.perf_counter() - stamps[0], statistics.median(np.diff(stamps[3:]))


def profiled(exposures: Exposures, recipe: Recipe) -> dict[str, float]:
    """Count kernels and copies of an epoch on the GPU, and the time that they take there: 16 epochs against 6."""
    from torch.profiler import ProfilerActivity, profile

    totals = []
    for n_epochs in (6, 16):
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            engine(exposures, recipe.model_copy(update={"n_epochs": n_epochs}), "cuda")
            torch.cuda.synchronize()
        events = [event for event in seen.events() or [] if event.device_type.name == "CUDA"]
        totals.append((len(events), sum(event.time_range.elapsed_us() for event in events)))
    (few, few_us), (many, many_us) = totals
    return {"kernels_and_copies": (many - few) / 10, "busy_ms": (many_us - few_us) / 1e4}
