"""The engine alone, one thread: the faster steps against pty-chi's own, in turns, on scans like the demo's.

Run it from the repository:

    python scripts/bench/engine.py [--quick] [--rounds N] [--json FILE]

Each round reconstructs each scan both ways with the demo's recipe. A time counts only if object,
probe and loss agree. CPU time of the one thread, the least of all rounds: another process on the
machine only ever adds. Beside it the floor, in turns with our epochs: the bare Fourier transforms of an epoch by the
fastest of torch, a minibatch or eight waves at a time, SciPy, the libraries of the compiled loops, wave by wave, and
FFTW with measured plans where pyFFTW is installed.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import scipy.fft
import torch
from measuring import as_worker, machine, machine_line, write_measurement
from numpy.typing import NDArray

from fly64dask.reconstruction import COMPILED, Exposures, Reconstruction
from fly64dask.reconstruction.lsqml import reconstruct
from fly64dask.reconstruction.lsqml.steps.compiled.memory import floats
from fly64dask.reconstruction.lsqml.steps.compiled.mkl_transforms import MKL, MklPlans
from fly64dask.reconstruction.lsqml.steps.compiled.own_transforms import OwnPlans
from fly64dask.reconstruction.lsqml.steps.compiled.transforms import (
    BACKWARD,
    BETWEEN,
    FORWARD,
    IN_PLACE,
    Library,
    call,
    plans_for,
)
from fly64dask.simulation import intensity_batches, synthetic_pair
from fly64dask.study import Recipe, Study

fftw: Any = importlib.import_module("pyfftw") if importlib.util.find_spec("pyfftw") else None
DEMO = Path(__file__).resolve().parents[2] / "data" / "demo.toml"
# Exposures and side of a pattern; 8, 42 and 322 are a sparse, a dense and a baseline cell of the demo.
CASES = ((8, 64), (42, 64), (322, 64), (700, 64), (1000, 64), (322, 128))
QUICK_CASES = ((8, 64), (42, 64), (322, 64))
SCAN_PX = 168
DOSE_PHOTONS = 1e4
# After 25 epochs of single precision; tests/reconstruction/test_lsqml_acceleration.py says why.
TOLERANCE = 1e-4
# Beyond it: so many times what rounding does to the same scan, and no more than this.
A_FEW, WIDEST = 10, 1e-2
TRANSFORMS = 4
PIECE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Figures of one scan; seconds of one thread, epochs without and calls with building and checking."""

    n_exposures: int
    side_px: int
    epoch_own_s: float
    epoch_s: float
    epoch_median_ratio: float
    call_own_s: float
    call_s: float
    transforms_s: dict[str, float]
    epoch_median_s: float
    difference: float
    ran_as: str

    @property
    def ratio(self) -> float:
        """How many times as fast an epoch is."""
        return self.epoch_own_s / self.epoch_s

    @property
    def over_transforms(self) -> tuple[float, str]:
        """How many times an epoch takes what its transforms take by the fastest library, by medians; and which."""
        fastest = min(self.transforms_s, key=self.transforms_s.__getitem__)
        return self.epoch_median_s / self.transforms_s[fastest], fastest

    def figures(self) -> dict[str, Any]:
        """Give all of it, for a table."""
        more = {"call_ratio": self.call_own_s / self.call_s, "transforms_least_s": min(self.transforms_s.values())}
        return asdict(self) | {"ratio": self.ratio, "over_transforms": self.over_transforms} | more


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times that each way does each scan [default: 3]")
    parser.add_argument("--quick", action="store_true", help="three small scans, two rounds")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    as_worker()
    recipe = plain_recipe()
    cases, n_rounds = (QUICK_CASES, 2) if arguments.quick else (CASES, arguments.rounds)
    gc.collect()
    gc.freeze()  # as in a worker's child, whose garbage collection leaves out what was loaded before
    facts = machine()
    timings = [measure(n, side, recipe, n_rounds) for n, side in cases]
    if arguments.json:
        found = {"epochs": recipe.n_epochs, "rounds": n_rounds, "scans": [each.figures() for each in timings]}
        write_measurement(arguments.json, facts, found)
    print(f"{machine_line(facts)}; one thread")
    print(f"{recipe.n_epochs} epochs, batch {recipe.batch_size}, least of {n_rounds} rounds\n")
    print(
        "scan              pty-chi    ours     ratio  (median)  call: pty-chi, ours   transforms, ours over them"
        "            difference"
    )
    for row in timings:
        print(
            f"{row.n_exposures:>5} of {row.side_px:>3} px {row.epoch_own_s * 1e3:8.1f}{row.epoch_s * 1e3:8.1f} ms"
            f"{row.ratio:6.2f}{row.epoch_median_ratio:9.2f}    {row.call_own_s:8.2f}{row.call_s:8.2f} s"
            f"{row.call_own_s / row.call_s:6.2f}  {min(row.transforms_s.values()) * 1e3:9.1f} ms"
            f"{row.over_transforms[0]:6.2f} ({row.over_transforms[1]:<18}){row.difference:9.1e}"
        )
    print("\nours: " + ", ".join(dict.fromkeys(row.ran_as for row in timings)))


def plain_recipe() -> Recipe:
    """The demo's on the CPU, without half sets, with the noise model and the epochs that `TOLERANCE` is for."""
    plain = {"device": "cpu", "stop": "epochs", "patience": None, "halves": "none", "n_epochs": 25}
    plain["noise_model"] = "gaussian"
    return Study.from_toml(DEMO).recipe.model_copy(update=plain)


def measure(n_exposures: int, side_px: int, recipe: Recipe, n_rounds: int) -> Timing:
    """Time both ways in turns on one scan."""
    exposures = expose(n_exposures, side_px)
    calls: dict[bool, list[float]] = {False: [], True: []}
    epochs: dict[bool, list[NDArray[np.float64]]] = {False: [], True: []}
    results: dict[bool, Reconstruction] = {}
    transforms = Transforms(n_exposures, side_px, recipe.exposures_in_batch(n_exposures))
    for _ in range(n_rounds):
        for fast in (False, True):
            clock = Clock(transforms.time_each if fast else None)
            way = recipe.model_copy(update={"accelerated": fast})
            results[fast] = reconstruct(exposures, way, seed=123, progress=clock)
            calls[fast].append(time.thread_time() - clock.began - clock.elsewhere_s)
            epochs[fast].append(np.array(clock.epochs_s[1:]))  # building and checking lie before the first one's end
    unmodified, ours = (np.array(epochs[fast]) for fast in (False, True))
    return Timing(
        n_exposures=n_exposures,
        side_px=side_px,
        epoch_own_s=float(unmodified.min(axis=0).mean()),
        epoch_s=float(ours.min(axis=0).mean()),
        epoch_median_ratio=float(np.median(unmodified) / np.median(ours)),
        call_own_s=min(calls[False]),
        call_s=min(calls[True]),
        transforms_s=transforms.medians_s(),
        epoch_median_s=float(np.median(ours)),
        difference=compared(exposures, recipe, results),
        ran_as=results[True].acceleration,
    )


class Clock:
    """CPU time of the thread in each epoch, without what is done `between` two of them."""

    def __init__(self, between: Callable[[], None] | None) -> None:
        self.between, self.epochs_s, self.elsewhere_s = between, list[float](), 0.0
        self.began = self.started = time.thread_time()

    def __call__(self, epoch: int, loss: float) -> None:
        """Note the end of an epoch."""
        ended = time.thread_time()
        self.epochs_s.append(ended - self.started)
        if self.between is not None:
            self.between()
        self.started = time.thread_time()
        self.elsewhere_s += self.started - ended


def compared(exposures: Exposures, recipe: Recipe, results: dict[bool, Reconstruction]) -> float:
    """Largest difference of the two ways; ends the benchmark if it is more than rounding makes of the same scan.

    Beyond the tolerance, allowed is what a change of the starting probe's last digits does to ours: with many exposures
    rounding grows further from epoch to epoch.
    """
    largest = difference(results[False], results[True])
    if not largest <= TOLERANCE:
        changed = reconstruct(last_digits_changed(exposures, 0), recipe, seed=123, progress=lambda epoch, loss: None)
        allowed = A_FEW * difference(results[True], changed)
        if not largest <= min(allowed, WIDEST):
            raise SystemExit(f"the two ways differ by {largest:.1e}, allowed are {allowed:.1e}: no time counts")
    return largest


def last_digits_changed(exposures: Exposures, seed: int) -> Exposures:
    """Change the starting probe by normal noise of the distance from 1 to the next number in single precision."""
    rng, shape = np.random.default_rng(seed), exposures.probe_guess.shape
    noise = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    probe = exposures.probe_guess * (1 + np.finfo(np.float32).eps * noise)
    return replace(exposures, probe_guess=probe.astype(np.complex64))


def difference(unmodified: Reconstruction, ours: Reconstruction) -> float:
    """Largest difference of object, probe and loss."""
    if not ours.acceleration.startswith(COMPILED):
        raise SystemExit(f"nothing to compare: the engine ran as {ours.acceleration!r}")
    pairs = (
        (unmodified.object_recon, ours.object_recon, 1.0),
        (unmodified.probe_recon, ours.probe_recon, float(np.abs(unmodified.probe_recon).max())),
        (unmodified.loss, ours.loss, float(unmodified.loss.min())),
    )
    largest = max(float(np.abs(a - b).max()) / scale for a, b, scale in pairs)
    return largest


class Transforms:
    """The Fourier transforms of one epoch, four of each exposure, by each library, timed between our epochs."""

    def __init__(self, n_exposures: int, side_px: int, batch_size: int) -> None:
        sizes = [min(batch_size, n_exposures - first) for first in range(0, n_exposures, batch_size)]
        self.waves = [torch.randn(size, side_px, side_px, dtype=torch.complex64) for size in sizes]
        self.ways: dict[str, Callable[[Sequence[torch.Tensor]], None]] = {
            "torch": self._torch,
            f"torch, {PIECE} at a time": self._torch_in_pieces,
            "SciPy": self._scipy,
        }
        self.results = floats(max(sizes), side_px, 2 * side_px)
        libraries: list[Library] = ["fly64dask"] if MKL is None else ["fly64dask", "MKL"]
        for library in libraries:
            plans = plans_for((side_px, side_px), library)
            self.ways[f"{library}, one by one"] = functools.partial(self._one_by_one, plans)
        if fftw is not None:
            self.ways["FFTW, one by one"] = self._fftw(side_px)
        self.seconds: dict[str, list[float]] = {name: [] for name in self.ways}

    def time_each(self) -> None:
        """Time each library once."""
        for name, transform in self.ways.items():
            started = time.thread_time()
            transform(self.waves)
            self.seconds[name].append(time.thread_time() - started)

    def medians_s(self) -> dict[str, float]:
        """Give the median of each library."""
        return {name: float(np.median(seconds)) for name, seconds in self.seconds.items()}

    def _torch(self, waves: Sequence[torch.Tensor]) -> None:
        for wave in waves:
            for _ in range(TRANSFORMS // 2):
                torch.fft.ifft2(torch.fft.fft2(wave))

    def _torch_in_pieces(self, waves: Sequence[torch.Tensor]) -> None:
        self._torch([wave[first : first + PIECE] for wave in waves for first in range(0, len(wave), PIECE)])

    def _one_by_one(self, plans: MklPlans | OwnPlans, waves: Sequence[torch.Tensor]) -> None:
        for wave in waves:
            transform_each(plans.addresses, torch.view_as_real(wave).numpy(), self.results)

    def _fftw(self, side_px: int) -> Callable[[Sequence[torch.Tensor]], None]:
        first, second = (fftw.empty_aligned((side_px, side_px), "complex64") for _ in range(2))
        forward, backward = (
            fftw.FFTW(one, other, axes=(0, 1), direction=way, flags=("FFTW_PATIENT",))
            for one, other, way in ((first, second, "FFTW_FORWARD"), (second, first, "FFTW_BACKWARD"))
        )

        def transform(waves: Sequence[torch.Tensor]) -> None:
            for wave in waves:
                for _ in range(TRANSFORMS // 2 * len(wave)):
                    forward.execute()
                    backward.execute()

        return transform

    def _scipy(self, waves: Sequence[torch.Tensor]) -> None:
        for wave in waves:
            for _ in range(TRANSFORMS // 2):
                scipy.fft.ifft2(scipy.fft.fft2(wave.numpy()))


def _transform_each(plans: Any, waves: Any, results: Any) -> None:
    """Transform each wave (n, H, W, 2) as often as an epoch does, forward and back in turns."""
    for k in range(len(waves)):
        wave, result = waves[k].ctypes.data, results[k].ctypes.data
        for _ in range(TRANSFORMS // 2):
            call(plans[FORWARD], plans[BETWEEN], wave, result)
            call(plans[BACKWARD], plans[IN_PLACE], result, result)


transform_each: Any = numba.njit(_transform_each)


def expose(n_exposures: int, side_px: int) -> Exposures:
    """Photons of the built-in object at random positions, as the demo has them."""
    size = SCAN_PX + side_px
    pair = synthetic_pair((size, size), (side_px, side_px), seed=7)
    positions = np.random.default_rng(42).uniform(side_px / 2, side_px / 2 + SCAN_PX, (n_exposures, 2))
    intensity = np.concatenate(list(intensity_batches(pair, positions, batch=400)))
    intensity *= DOSE_PHOTONS / intensity.sum(axis=(1, 2)).mean()
    counts = np.random.default_rng(43).poisson(intensity).astype(np.uint32)
    return Exposures(counts=counts, positions_px=positions, probe_guess=pair.probe[None, None])


if __name__ == "__main__":
    main()
