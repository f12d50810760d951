"""Measure what the engine makes of data that are not ideal: dead pixels, positions that are off, a probe of two modes.

    python scripts/accuracy/real_engine.py              # simulated: positions, draws of their errors, modes
    python scripts/accuracy/real_engine.py STAR.npz.bz2 # the measured Siemens star with a cross of dead pixels

It prints the tables of docs/reference/study/recipes.md, on one thread of the CPU.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from fly64dask.datasets.formats import ReadOptions
from fly64dask.datasets.ingest import IngestOptions, ingest_file
from fly64dask.metrics import compare_with_truth
from fly64dask.reconstruction import Exposures, Reconstruction, compare_halves, shared_area
from fly64dask.reconstruction.lsqml import reconstruct
from fly64dask.records import number_words
from fly64dask.scan import patch_corners_px
from fly64dask.simulation import Pair, intensity_batches, synthetic_pair
from fly64dask.store import ExposureAttributes, open_group
from fly64dask.study import Recipe

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from measuring import rows_table

OBJECT_PX, PROBE_PX, N_EXPOSURES = (120, 120), (32, 32), 200
JITTERS_PX = {"1.5 px rms of distance": 1.5 / np.sqrt(2), "1.5 px rms of each axis": 1.5}
DEAD_PX = 3
LOST_PX = 0.8
Row = dict[str, Any]


def run(exposures: Exposures, **keys: object) -> Reconstruction:
    """Reconstruct with batches of 20 for 100 epochs, unless the keys say otherwise."""
    settings: dict[str, object] = {"n_epochs": 100, "batch_size": 20, "device": "cpu"}
    return reconstruct(exposures, Recipe.model_validate(settings | keys), seed=7, progress=lambda *_: None)


def error_rad(result: Reconstruction, pair: Pair, positions_px: np.ndarray) -> float:
    """Phase error against the truth, rad."""
    return compare_with_truth(
        result.object_recon[0],
        pair.object_truth,
        origin_px=result.object_origin_px,
        probe=pair.probe,
        positions_px=positions_px,
    ).metrics.phase_rmse_rad


def drawn(intensity: np.ndarray, dose_photons: float, seed: int) -> np.ndarray:
    """Draw photons of expected patterns (n, H, W) at a mean dose."""
    scale = dose_photons / intensity.sum(axis=(1, 2)).mean()
    return np.asarray(np.random.default_rng(seed).poisson(intensity * scale), dtype=np.uint32)


def measure_positions(doses: Sequence[float]) -> Iterator[Row]:
    """Reconstruct with the true positions, with jittered ones, and with jittered ones that are refined."""
    pair = synthetic_pair(OBJECT_PX, PROBE_PX, seed=1)
    true_px = np.random.default_rng(0).uniform(22, 98, (N_EXPOSURES, 2))
    intensity = np.concatenate(list(intensity_batches(pair, true_px)))
    exposures = [
        Exposures(counts=drawn(intensity, dose, 2), positions_px=true_px, probe_guess=pair.probe[None, None])
        for dose in doses
    ]
    refined: dict[str, object] = {"refine_positions": True}
    ways = {"": {}, ", refined": refined, ", refined, 200 epochs": refined | {"n_epochs": 200}}
    given = {"true positions": true_px}
    given |= {
        f"{name} off": true_px + np.random.default_rng(3).normal(0, of_axis_px, true_px.shape)
        for name, of_axis_px in JITTERS_PX.items()
    }
    undisturbed = [error_rad(run(one), pair, true_px) for one in exposures]
    for name, given_px in given.items():
        for way, keys in ways.items():
            row: Row = {"positions": name + way}
            for dose, one, least in zip(doses, exposures, undisturbed, strict=True):
                found = error_rad(run(replace(one, positions_px=given_px), **keys), pair, true_px)
                row |= {f"{number_words(dose)} photons, rad": f"{found:.3f}"}
                row |= {f"over true, {number_words(dose)}": f"{found / least:.1f}"}
            yield row


def measure_draws(n_exposures: int, seeds: range, dose_photons: float) -> Iterator[Row]:
    """Refine positions of several draws of the jitter, on a field as densely scanned as the small one.

    What all positions have in common as a stretch or a shear goes with the object, of which the patterns tell
    little: it stays, and costs what it costs where there is nothing else.
    """
    field_px = (OBJECT_PX[0] - 44) * np.sqrt(n_exposures / N_EXPOSURES)
    side = round(44 + field_px)
    pair = synthetic_pair((side, side), PROBE_PX, seed=1)
    true_px = np.random.default_rng(0).uniform(22, 22 + field_px, (n_exposures, 2))
    counts = drawn(np.concatenate(list(intensity_batches(pair, true_px))), dose_photons, 2)
    exposures = Exposures(counts=counts, positions_px=true_px, probe_guess=pair.probe[None, None])
    undisturbed = error_rad(run(exposures), pair, true_px)
    for seed in seeds:
        jitter_px = np.random.default_rng(seed).normal(0, 1.5 / np.sqrt(2), true_px.shape)
        common = np.column_stack([np.ones(n_exposures), true_px - true_px.mean(axis=0)])
        common_px = common @ np.linalg.lstsq(common, jitter_px, rcond=None)[0]
        result = run(replace(exposures, positions_px=true_px + jitter_px), refine_positions=True)
        assert result.positions_px is not None
        refined = error_rad(result, pair, true_px) / undisturbed
        placed = error_rad(in_true_frame(result, true_px), pair, true_px) / undisturbed
        stretched = error_rad(run(replace(exposures, positions_px=true_px + common_px)), pair, true_px) / undisturbed
        left_px = result.positions_px - true_px
        left_px -= common @ np.linalg.lstsq(common, left_px, rcond=None)[0]
        n_lost = int((np.hypot(*left_px.T) > LOST_PX).sum())
        yield {
            "exposures": n_exposures,
            "draw": seed,
            "refined": f"{refined:.2f}",
            "its common stretch and shear taken out": f"{placed:.2f}",
            "common stretch and shear alone, not refined": f"{stretched:.2f}",
            f"positions more than {LOST_PX:g} px off": n_lost,
        }


def in_true_frame(result: Reconstruction, true_px: np.ndarray) -> Reconstruction:
    """Resample an object by the affine map that fits its refined positions to the true ones.

    What all positions have in common goes with the object: a scan whose pixel is 0.5 % larger than is thought shows the
    same structure, 0.5 % smaller.
    """
    assert result.positions_px is not None
    with_one = np.column_stack([true_px, np.ones(len(true_px))])
    affine = np.linalg.lstsq(with_one, result.positions_px, rcond=None)[0]
    image, origin = result.object_recon[0], np.asarray(result.object_origin_px)
    pixels = np.indices(image.shape).reshape(2, -1).T + origin
    there = (np.column_stack([pixels, np.ones(image.size)]) @ affine - origin).T
    parts = [map_coordinates(part, there, order=3, mode="nearest") for part in (image.real, image.imag)]
    resampled = (parts[0] + 1j * parts[1]).reshape(image.shape).astype(np.complex64)
    return replace(result, object_recon=resampled[None])


def measure_modes(dose_photons: float) -> Row:
    """Reconstruct exposures of a probe of two modes with one and with two."""
    pair = synthetic_pair(OBJECT_PX, PROBE_PX, seed=1)
    positions_px = np.rint(np.random.default_rng(0).uniform(22, 98, (N_EXPOSURES, 2)))
    second = pair.probe * (np.arange(PROBE_PX[0]) - PROBE_PX[0] // 2)[:, None]
    second *= np.sqrt(0.5 * np.sum(np.abs(pair.probe) ** 2) / np.sum(np.abs(second) ** 2))
    intensity = np.zeros((N_EXPOSURES, *PROBE_PX))
    for mode in (pair.probe, second):
        for number, (y, x) in enumerate(patch_corners_px(positions_px, PROBE_PX)):
            wave = mode * pair.object_truth[y : y + PROBE_PX[0], x : x + PROBE_PX[1]]
            intensity[number] += np.abs(np.fft.fftshift(np.fft.fft2(wave))) ** 2
    exposures = Exposures(
        counts=drawn(intensity, dose_photons, 2), positions_px=positions_px, probe_guess=pair.probe[None, None]
    )
    one, two = (
        error_rad(run(exposures, probe_modes=n, n_epochs=200, batch_size=10), pair, positions_px) for n in (1, 2)
    )
    return {"photons": number_words(dose_photons), "one mode, rad": f"{one:.3f}", "two modes, rad": f"{two:.3f}"}


def measure_dead_pixels(scan: Path) -> Iterator[Row]:
    """Compare the half-bit resolution of a measured scan with that of the same one with a cross of dead pixels."""
    with tempfile.TemporaryDirectory() as folder:
        ingest_file(scan, Path(folder, "scan.zarr"), ReadOptions(), IngestOptions())
        group = open_group(Path(folder, "scan.zarr"), ExposureAttributes)
        counts, positions_px, probe = (group.read(name) for name in ("counts", "positions_px", "probe_guess"))
    whole = Exposures(counts=counts, positions_px=positions_px, probe_guess=probe)
    valid = np.ones(counts.shape[1:], dtype=bool)
    y, x = (side // 2 - DEAD_PX // 2 for side in counts.shape[1:])
    valid[y : y + DEAD_PX], valid[:, x : x + DEAD_PX] = False, False
    lost = 1 - counts[:, valid].sum() / counts.sum()
    dead = counts * valid.astype(counts.dtype)
    ways = {
        "whole detector": whole,
        f"cross of {DEAD_PX} px masked, {lost:.0%} of the photons": replace(whole, counts=dead, valid_pixels=valid),
        "the same cross taken as dark": replace(whole, counts=dead),
    }
    for name, exposures in ways.items():
        result = run(exposures, n_epochs=20, batch_size=96, halves="counts")
        assert result.half_objects is not None
        shape = (result.half_objects.shape[1], result.half_objects.shape[2])
        area = shared_area(exposures, "counts", shape, result.object_origin_px)
        half_bit = compare_halves(result.half_objects, area, "counts")[0].half_bit
        resolution = "beyond the last ring" if half_bit is None else f"{half_bit.resolution_px:.2f}"
        yield {"detector": name, "half-bit resolution, px": resolution, "loss": f"{result.loss[-1]:.2f}"}


def main() -> None:
    """Print a table for each kind of measurement, as it comes."""
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        print(rows_table(list(measure_dead_pixels(Path(sys.argv[1])))))
        return
    print(rows_table(list(measure_positions((1e4, 1e5)))), flush=True)
    draws = [*measure_draws(N_EXPOSURES, range(3, 9), 1e5), *measure_draws(4 * N_EXPOSURES, range(3, 6), 1e5)]
    print(rows_table(draws), flush=True)
    print(rows_table([measure_modes(dose) for dose in (1e5, 1e6)]))


if __name__ == "__main__":
    main()
