"""An engine without pty-chi whose phase error falls as shot noise: no object, and normal phases."""

from __future__ import annotations

import math
import os
import time

import numpy as np

from fly64dask.reconstruction import Reconstruction
from fly64dask.scan import object_frame

ENGINE = "noisy_engine:reconstruct"
EPOCH_S = "FLY64DASK_TEST_EPOCH_S"  # how long a cell takes
DOSE_OF_A_RADIAN = 100.0  # photons per exposure at which the phases have an error of 1 rad


def reconstruct(exposures, recipe, *, seed, progress, checkpoint=None):
    """An empty object with normal phases of the width sqrt(100 / dose), drawn from the counts."""
    time.sleep(float(os.environ.get(EPOCH_S, "0")))
    progress(1, 1.0)
    shape, origin = object_frame(exposures.positions_px, exposures.counts.shape[1:])
    dose = float(exposures.counts.sum(axis=(1, 2)).mean())
    rng = np.random.default_rng(int(exposures.counts.sum()))
    phases = math.sqrt(DOSE_OF_A_RADIAN / dose) * rng.standard_normal((1, *shape))
    return Reconstruction(
        object_recon=np.exp(1j * phases).astype(np.complex64),
        probe_recon=exposures.probe_guess,
        loss=np.ones(1),
        object_origin_px=origin,
        device="cpu",
        guarded=False,
        acceleration="unmodified: this engine has none",
    )
