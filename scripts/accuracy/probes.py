"""Probes that an instrument can make: where their light lies, and how fast and how well LSQML converges by them.

Run it from the repository:

    python scripts/accuracy/probes.py [--probes NAME ...] [--epochs 200] [--json FILE]

Each probe illuminates the built-in speckle at 322 positions over the field of one split of the demo, 64 x 64 px. At 1e7
photons the table has the phase error after 25, 60 and 200 epochs of Gaussian noise with minibatches of 96: how fast
it converges. At 1e3, 1e4 and 1e5 photons it has the error after 25 epochs of the demo's Poisson noise, and at six
positions that do not overlap at 1e3. A probe takes about 30 s of one CPU thread.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from errors_by_epoch import EMPTY, errors_by_epoch
from scipy.special import ndtr

from fly64dask.reconstruction import Exposures
from fly64dask.reconstruction.lsqml import take_device
from fly64dask.scan import probe_diameters
from fly64dask.simulation import (
    Pair,
    expose,
    intensity_batches,
    make_object,
    measure_probe_light,
    phase_plate_probe,
    survey_brightness,
)
from fly64dask.study import Recipe

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from measuring import rows_table

SIDE_PX, OBJECT_PX, FIELD_PX = 64, (160, 244), (84, 168)
N_EXPOSURES, LOOKS = 322, (25, 60)
CONVERGED_PHOTONS, DEMO_DOSES, DEMO_EPOCHS = 1e7, (1e3, 1e4, 1e5), 25
NO_OVERLAP_PX = np.array([(y, x) for y in (40.0, 110.0) for x in (40.0, 120.0, 200.0)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """A lens: its soft round aperture, filled or annular, with defocus and a smooth random phase in it."""

    radius: float  # cycles per px
    edge: float = 2 / SIDE_PX  # standard deviation, cycles per px
    defocus_half_waves: float = 0.0  # at the rim
    stop: float = 0.0  # radius of the central stop, of the aperture's
    phase_rad: float = 0.0  # rms
    phase_scale_px: float = 3.0  # pixels of the detector

    def probe(self) -> np.ndarray:
        """(64, 64) complex64, sum |P|^2 = 1."""
        from scipy import ndimage

        frequency = np.hypot(np.fft.fftfreq(SIDE_PX)[:, None], np.fft.fftfreq(SIDE_PX))
        aperture = ndtr((self.radius - frequency) / self.edge)
        if self.stop:
            aperture *= ndtr((frequency - self.stop * self.radius) / self.edge)
        phase = np.pi * self.defocus_half_waves * (frequency / self.radius) ** 2
        rough = ndimage.gaussian_filter(
            np.random.default_rng(1).standard_normal(phase.shape), self.phase_scale_px, mode="wrap"
        )
        phase += self.phase_rad * rough / rough.std()
        return normalised(np.fft.fftshift(np.fft.ifft2(aperture * np.exp(1j * phase))))


def normalised(probe: np.ndarray) -> np.ndarray:
    """The same with a sum |P|^2 of 1."""
    scaled: np.ndarray = (probe / np.linalg.norm(probe)).astype(np.complex64)
    return scaled


def former_probe() -> np.ndarray:
    """The built-in probe of earlier versions: a soft disc whose phase turns by 0.5 cycles per px at its rim."""
    offset, rim_px = np.arange(SIDE_PX) - SIDE_PX // 2, 0.225 * SIDE_PX
    radius = np.hypot(offset[:, None], offset) / rim_px
    return normalised(np.exp(-np.log(2) * radius**4 + 2j * np.pi * 0.25 * rim_px * radius**2))


def in_pinhole(field: np.ndarray) -> np.ndarray:
    """A field that a pinhole of the built-in probe's size cuts out and a lens of its aperture images."""
    offset, edge = np.arange(SIDE_PX) - SIDE_PX // 2, 2 / SIDE_PX
    pinhole = ndtr((0.22 * SIDE_PX - np.hypot(offset[:, None], offset)) / (0.025 * SIDE_PX))
    frequency = np.hypot(np.fft.fftfreq(SIDE_PX)[:, None], np.fft.fftfreq(SIDE_PX))
    return normalised(np.fft.ifft2(np.fft.fft2(pinhole * field) * (5e-3 + ndtr((0.4 - 2.5 * edge - frequency) / edge))))


def speckle_field() -> np.ndarray:
    """Fully developed speckle: waves of random phase at all frequencies."""
    field: np.ndarray = np.fft.ifft2(np.exp(2j * np.pi * np.random.default_rng(1).random((SIDE_PX, SIDE_PX))))
    return field


def phase_plate(phase_rad: float, band_per_px: float) -> np.ndarray:
    """exp(i phase) of a smooth random phase; its rms, and the standard deviation of its frequencies."""
    frequency = np.hypot(np.fft.fftfreq(SIDE_PX)[:, None], np.fft.fftfreq(SIDE_PX))
    waves = np.exp(2j * np.pi * np.random.default_rng(1).random((SIDE_PX, SIDE_PX)))
    phase = np.fft.ifft2(waves * np.exp(-0.5 * (frequency / band_per_px) ** 2)).real
    turned: np.ndarray = np.exp(1j * phase_rad * phase / phase.std())
    return turned


# Defocus that spreads a lens's spot over 0.44 of the array.
WIDE = {"radius": 0.32, "defocus_half_waves": 4.5}
PROBES: dict[str, Callable[[], np.ndarray]] = {
    "before: soft disc with a quadratic phase": former_probe,
    "lens of half the detector's radius, 6 half-waves": Lens(radius=0.25, defocus_half_waves=6).probe,
    "lens, 4.5 half-waves": Lens(**WIDE).probe,
    "annulus of 0.4": Lens(stop=0.4, **WIDE).probe,
    "annulus of 0.6": Lens(stop=0.6, **WIDE).probe,
    "annulus of 0.75": Lens(stop=0.75, **WIDE).probe,
    "lens with a phase of 1 rad in it": Lens(radius=0.32, defocus_half_waves=3.7, phase_rad=1).probe,
    "lens with a phase of 2 rad in it": Lens(radius=0.32, defocus_half_waves=2.5, phase_rad=2).probe,
    "annulus of 0.6 with a phase of 2 rad in it": Lens(
        radius=0.32, defocus_half_waves=2.5, phase_rad=2, stop=0.6
    ).probe,
    "diffuser in a pinhole": lambda: in_pinhole(speckle_field()),
    "phase plate in a pinhole, 1.5 rad, 0.1 cycles per px": lambda: in_pinhole(phase_plate(1.5, 0.1)),
    "phase plate in a pinhole, 2.5 rad, 0.1 cycles per px": lambda: in_pinhole(phase_plate(2.5, 0.1)),
    "built in: phase plate in a pinhole, 2.5 rad, 0.06 cycles per px": lambda: phase_plate_probe((SIDE_PX, SIDE_PX)),
}


def main() -> None:
    """Measure the probes and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probes", nargs="+", choices=PROBES, default=list(PROBES))
    parser.add_argument("--epochs", type=int, default=200, help="at 1e7 photons (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    take_device("cpu")
    rows = []
    for name in arguments.probes:
        rows.append({"probe": name} | light_of(PROBES[name]()) | errors_with(PROBES[name](), arguments.epochs))
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1))
        print(rows[-1], flush=True)
    print(rows_table(rows))


def light_of(probe: np.ndarray) -> dict[str, float]:
    """Say where a probe's light lies, and how wide it is."""
    intensity, diameters = np.abs(probe.astype(complex)) ** 2, asdict(probe_diameters(probe))
    rim = max(intensity[0].max(), intensity[-1].max(), intensity[:, 0].max(), intensity[:, -1].max())
    return {
        "beyond 0.8 Nyquist": float(f"{measure_probe_light(probe).beyond_band:.1e}"),
        "brightest at the rim": float(f"{rim / intensity.max():.1e}"),
        "FWHM (px)": round(diameters["fwhm_px"], 1),
        "D90 (px)": round(diameters["d90_px"], 1),
    }


def errors_with(probe: np.ndarray, n_epochs: int) -> dict[str, float]:
    """Phase errors in rad of reconstructions with a probe."""
    pair = Pair(object_truth=make_object("speckle", OBJECT_PX, seed=7, probe_size_px=SIDE_PX), probe=probe)
    low = SIDE_PX / 2 + 4
    positions = np.random.default_rng(0).uniform((low, low), (low + FIELD_PX[0], low + FIELD_PX[1]), (N_EXPOSURES, 2))
    looks = sorted({*(look for look in LOOKS if look < n_epochs), n_epochs})
    by_epoch = errors(pair, positions, CONVERGED_PHOTONS, Recipe(n_epochs=n_epochs, device="cpu"), looks)
    found = {f"1e7, {epoch} epochs": by_epoch[str(epoch)] for epoch in looks}
    recipe = Recipe(n_epochs=DEMO_EPOCHS, noise_model="poisson", device="cpu")
    for dose in DEMO_DOSES:
        found[f"{dose:.0e}".replace("e+0", "e")] = errors(pair, positions, dose, recipe, [DEMO_EPOCHS])[
            str(DEMO_EPOCHS)
        ]
    sparse = errors(pair, NO_OVERLAP_PX, DEMO_DOSES[0], recipe, [DEMO_EPOCHS])
    return found | {"1e3, no overlap": sparse[str(DEMO_EPOCHS)], "empty": by_epoch[EMPTY]}


def errors(pair: Pair, positions: np.ndarray, dose: float, recipe: Recipe, looks: list[int]) -> dict[str, float]:
    """Reconstruct simulated photons and look at the truth after some epochs."""
    scale = dose / survey_brightness(pair, positions).mean_total
    rng = np.random.default_rng(42)
    counts = np.concatenate([expose(part, scale, rng=rng) for part in intensity_batches(pair, positions)])
    exposures = Exposures(counts=counts.astype(np.uint32), positions_px=positions, probe_guess=pair.probe[None, None])
    return {epoch: round(error, 4) for epoch, error in errors_by_epoch(pair, exposures, recipe, looks).items()}


if __name__ == "__main__":
    main()
