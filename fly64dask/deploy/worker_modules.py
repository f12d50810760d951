"""Loads what local workers need; imported by the process that forks them, and by nobody else."""

from __future__ import annotations

from fly64dask.base import load_for_good

# SciPy is for simulating and selecting: each worker would import it by itself, while the first cells wait for that.
LOADED = (
    "distributed.nanny",
    "fly64dask.deploy.local_worker",
    "fly64dask.scheduling.tasks",
    "scipy.fft",
    "scipy.spatial",
)

load_for_good(LOADED)
