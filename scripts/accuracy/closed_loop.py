"""The closed loop: simulated exposures are reconstructed, and the error against the truth is shown for each dose.

Run it from the repository:

    python scripts/accuracy/closed_loop.py [--device cuda] [--epochs 200] [--json FILE] [--draw FILE]

A simulation is right when what is reconstructed from it converges to its truth: the phase error falls as dose^-0.5
until a floor, which is what the forward model and the number of epochs leave. One thing at a time differs from the
first case: shape of the detector, object, forward model, noise model; one case is the demo's object with the
demo's noise model, and one has the noise that the Gaussian model takes for granted instead of that of photons: 1/2 on
every root of a count, however small. For each dose the script prints the lowest error of all looks (every 20 epochs and
at 5, 10, 25), with its epoch, and the slope of log error over log dose from 1e4 to 1e6; the floor is the error without
noise after the last epoch.

A cell of 484 exposures of 64 x 64 and 200 epochs takes about 30 s of one CPU thread.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from errors_by_epoch import EMPTY, errors_by_epoch

from fly64dask.base import software_versions
from fly64dask.reconstruction import Exposures
from fly64dask.reconstruction.lsqml import take_device
from fly64dask.simulation import Pair, expose, intensity_batches, survey_brightness, synthetic_pair
from fly64dask.study import ObjectKind, Recipe

N_EXPOSURES, FIELD_PX, OBJECT_PX = 484, (84, 168), (160, 244)
DOSES_PHOTONS = (1e4, 1e5, 1e6, 1e7)
EARLY_LOOKS = (5, 10, 25)
LOOK_EVERY = 20
SLOPE_BETWEEN = (1e4, 1e6)
NOISE_FREE_PHOTONS = 1e6
AMPLITUDE_NOISE = 0.5  # standard deviation of the root of a large Poisson count


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is simulated and how it is reconstructed."""

    shape_px: tuple[int, int] = (64, 64)
    object_kind: ObjectKind = "speckle"
    probe_kind: str = "phase plate"
    oversampling: int = 1
    noise_model: str = "gaussian"
    amplitude_noise: bool = False

    def name(self) -> str:
        """Say in words what the case is."""
        model = "grid" if self.oversampling == 1 else f"fine {self.oversampling}x"
        shape = " x ".join(map(str, self.shape_px))
        noise = ", equal noise of all amplitudes" if self.amplitude_noise else ""
        return f"{shape}, {self.object_kind}, {self.probe_kind}, {model} model, {self.noise_model}{noise}"


FIRST = Case()
CASES = (
    FIRST,
    *(replace(FIRST, shape_px=shape) for shape in ((62, 62), (63, 63), (64, 63))),
    *(replace(FIRST, object_kind=kind) for kind in get_args(ObjectKind) if kind != FIRST.object_kind),
    replace(FIRST, probe_kind="lens"),
    replace(FIRST, oversampling=2),
    replace(FIRST, noise_model="poisson"),
    replace(FIRST, noise_model="poisson", object_kind="photographs"),
    replace(FIRST, amplitude_noise=True),
)


def main() -> None:
    """Do every case at every dose and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--epochs", type=int, default=200, help="of each reconstruction (default: %(default)s)")
    parser.add_argument("--cases", type=int, nargs="+", default=range(len(CASES)), help="numbers of cases, from 0")
    parser.add_argument("--json", type=Path, help="file for all errors, and what they were measured with")
    parser.add_argument("--read", type=Path, nargs="+", help="print and draw what --json wrote, and measure nothing")
    parser.add_argument("--draw", type=Path, help="picture of error against dose")
    arguments = parser.parse_args()
    results = [case for path in arguments.read or [] for case in json.loads(path.read_text())["cases"]]
    for number in [] if arguments.read else arguments.cases:
        device = take_device(arguments.device)
        results.append(measure(CASES[number], arguments.epochs, device))
        print(as_row(results[-1]), flush=True)
        if arguments.json:
            found = {"software": software_versions(), "device": device, "n_epochs": arguments.epochs, "cases": results}
            arguments.json.write_text(json.dumps(found, indent=1))
    print(table(results))
    if arguments.draw:
        draw(results, arguments.draw)


def simulate(case: Case) -> tuple[Pair, np.ndarray]:
    """Make object and probe, and positions over the field of one split of the demo."""
    pair = synthetic_pair(OBJECT_PX, case.shape_px, seed=7, kind=case.object_kind, oversampling=case.oversampling)
    if case.probe_kind == "lens":
        pair = replace(pair, probe=lens_probe(case.shape_px))
    low = np.floor_divide(case.shape_px, 2) + 4
    positions = np.random.default_rng(1).uniform(low, low + np.asarray(FIELD_PX), (N_EXPOSURES, 2))
    return pair, positions


def lens_probe(shape_px: tuple[int, int]) -> np.ndarray:
    """Make the defocused spot of a lens: half the detector's radius, soft rim, six half waves of defocus at the rim."""
    f_y, f_x = (np.fft.fftfreq(size) for size in shape_px)
    radius = np.hypot(f_y[:, None], f_x) / 0.25
    spectrum = np.clip((1 - radius) / 0.1 + 0.5, 0, 1) * np.exp(1j * np.pi * 6 * radius**2)
    spot = np.fft.fftshift(np.fft.ifft2(spectrum))
    return (spot / np.linalg.norm(spot)).astype(np.complex64)


def measure(case: Case, n_epochs: int, device: str) -> dict[str, Any]:
    """Reconstruct a case at every dose and without noise; errors in rad by epoch."""
    pair, positions = simulate(case)
    begun = time.perf_counter()
    patterns = np.concatenate(list(intensity_batches(pair, positions)))
    patterns /= survey_brightness(pair, positions).mean_total
    doses = {}
    for dose in DOSES_PHOTONS:
        counts = draw_counts(case, patterns, dose)
        doses[f"{dose:g}"] = errors(case, pair, positions, counts, n_epochs, device)
    floor = errors(case, pair, positions, patterns * np.float32(NOISE_FREE_PHOTONS), n_epochs, device)
    return {
        "case": asdict(case),
        "name": case.name(),
        "doses": doses,
        "noise_free": floor,
        "slope": slope(doses),
        "seconds": time.perf_counter() - begun,
    }


def draw_counts(case: Case, patterns: np.ndarray, dose: float) -> np.ndarray:
    """Draw photons, (n, H, W) uint32, or the squares of amplitudes with equal noise, float32 (none below 0)."""
    rng = np.random.default_rng([4, int(dose)])
    if not case.amplitude_noise:
        return expose(patterns, dose, rng=rng).astype(np.uint32)
    amplitude = np.sqrt(patterns * dose) + rng.normal(0, AMPLITUDE_NOISE, patterns.shape)
    return np.asarray(amplitude.clip(0) ** 2, dtype=np.float32)


def errors(
    case: Case, pair: Pair, positions: np.ndarray, counts: np.ndarray, n_epochs: int, device: str
) -> dict[str, float]:
    """Reconstruct exposures and look at the truth now and then: phase error in rad by epoch."""
    exposures = Exposures(
        counts=counts,
        positions_px=positions,
        probe_guess=pair.probe[None, None],
        noise_free=counts.dtype.kind == "f",
    )
    recipe = Recipe(n_epochs=n_epochs, device=device, noise_model=case.noise_model)
    looks = {*EARLY_LOOKS, *range(LOOK_EVERY, n_epochs, LOOK_EVERY), n_epochs}
    return errors_by_epoch(pair, exposures, recipe, looks, device=device)


def best(by_epoch: dict[str, float]) -> tuple[int, float]:
    """Find the epoch with the lowest error, and the error."""
    return min(((int(epoch), error) for epoch, error in by_epoch.items() if epoch != EMPTY), key=lambda pair: pair[1])


def slope(doses: dict[str, dict[str, float]]) -> float:
    """Fit the slope of log error over log dose between 1e4 and 1e6 photons."""
    inside = [dose for dose in DOSES_PHOTONS if SLOPE_BETWEEN[0] <= dose <= SLOPE_BETWEEN[1]]
    values = [best(doses[f"{dose:g}"])[1] for dose in inside]
    return float(np.polyfit(np.log(inside), np.log(values), 1)[0])


def as_row(result: dict[str, Any]) -> str:
    """Write a case as a row of the table: for each dose the lowest error and its epoch."""
    cells = [f"{error:.4f} ({epoch})" for epoch, error in map(best, result["doses"].values())]
    last = max(result["noise_free"], key=int)
    floor = f"{result['noise_free'][last]:.4f}"
    empty = f"{result['noise_free'][EMPTY]:.3f}"
    return "| " + " | ".join([result["name"], *cells, floor, f"{result['slope']:.2f}", empty]) + " |"


def table(results: list[dict[str, Any]]) -> str:
    """Write all cases as a table in Markdown."""
    doses = [f"{dose:.0e} photons".replace("e+0", "e") for dose in DOSES_PHOTONS]
    head = ["lowest phase error, rad (its epoch)", *doses, "floor", "slope", "empty"]
    lines: Iterator[str] = map(as_row, results)
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *lines])


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Draw error against dose, one line for each case, beside a line of dose^-0.5."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 4.5), layout="constrained")
    for number, result in enumerate(results):
        errors_rad = [best(by_epoch)[1] for by_epoch in result["doses"].values()]
        style = "o-" if number < 10 else "s:"  # there are ten colours
        axes.loglog(DOSES_PHOTONS, errors_rad, style, markersize=4, label=result["name"])
    first = best(results[0]["doses"][f"{DOSES_PHOTONS[0]:g}"])[1]
    guide = [first * math.sqrt(DOSES_PHOTONS[0] / dose) for dose in DOSES_PHOTONS]
    axes.loglog(DOSES_PHOTONS, guide, "k--", linewidth=1, label="dose^-0.5")
    axes.set(xlabel="photons per exposure", ylabel="phase error, rad (rms)")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
