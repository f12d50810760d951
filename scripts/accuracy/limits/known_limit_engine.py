"""An engine without pty-chi whose phase error is a known function of the dose, with a known spread."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.reconstruction import Reconstruction
from fly64dask.scan import object_frame

if TYPE_CHECKING:
    from fly64dask.reconstruction import CheckpointFile, Exposures, Progress
    from fly64dask.study import Recipe

ENGINE = "known_limit_engine:reconstruct"
EMPTY_RAD = "FLY64DASK_TEST_EMPTY_RAD"  # the phase error of an empty object, which no phases without a truth go below
SLOPE, FLOOR, SPREAD = 30.0, 1.05, 0.05


def typical_error(dose_photons: float, empty_rad: float) -> float:
    """The median error at a dose: empty_rad (30 dose^-0.5 + 1.05), in rad."""
    return float(empty_rad * (SLOPE * dose_photons**-0.5 + FLOOR))


def reconstruct(
    exposures: Exposures, recipe: Recipe, *, seed: int, progress: Progress, checkpoint: CheckpointFile | None = None
) -> Reconstruction:
    """An object of normal phases, which add to the truth's as squares do, of the width that the error asks for."""
    progress(1, 1.0)
    shape, origin = object_frame(exposures.positions_px, exposures.counts.shape[1:])
    empty_rad = float(os.environ[EMPTY_RAD])
    dose = float(exposures.counts.sum(axis=(1, 2)).mean())
    rng = np.random.default_rng(int(exposures.counts.sum()))
    error = typical_error(dose, empty_rad) * math.exp(SPREAD * rng.standard_normal())
    phases = math.sqrt(error**2 - empty_rad**2) * rng.standard_normal((1, *shape))
    return Reconstruction(
        object_recon=np.exp(1j * phases).astype(np.complex64),
        probe_recon=exposures.probe_guess,
        loss=np.ones(1),
        object_origin_px=origin,
        device="cpu",
        guarded=False,
        acceleration="unmodified: this engine has none",
    )
