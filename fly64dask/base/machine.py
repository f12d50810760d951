"""The machine -> its GPUs, and the environment that computes best on it."""

from __future__ import annotations

import atexit
import functools
import gc
import os
import resource
import shutil
import subprocess
from collections.abc import Sequence

import psutil

# One compute thread per process: two single-thread workers do 2.9 times the epochs of two
# workers with two threads each on two cores.
SINGLE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
# Dask starts workers with a trim threshold of 64 kB, which makes glibc hand every minibatch's
# arrays back to the kernel and fault them in again: epochs take 2.0 times as long (322 exposures
# of 64 x 64, one thread). 32 MB is the most that glibc takes for the mmap threshold.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**25)}


def visible_gpus() -> tuple[str, ...]:
    """GPUs this process may use, as `CUDA_VISIBLE_DEVICES` names them, without importing torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1"))
    return ask_driver("index")


def gpu_memory_bytes(gpus: Sequence[str]) -> dict[str, int]:
    """Memory of GPUs.

    Parameters
    ----------
    gpus : sequence of str
        From `visible_gpus`: indices or UUIDs.

    Returns
    -------
    dict of str to int
        Bytes by the given name, of those that the driver lists: not of parts of a device.
    """
    found: dict[str, int] = {}
    for line in ask_driver("index,uuid,memory.total", "nounits"):
        index, uuid, mebibytes = (word.strip() for word in line.split(","))
        found |= {gpu: int(mebibytes) * 2**20 for gpu in gpus if gpu == index or uuid.startswith(gpu)}
    return found


@functools.cache
def ask_driver(fields: str, *options: str) -> tuple[str, ...]:
    """Ask NVIDIA's tool about this machine's GPUs, once in a process: all of it goes by one answer.

    Parameters
    ----------
    fields : str
        Of `nvidia-smi --query-gpu`, separated by commas.
    *options : str
        Of its format, beside `csv` and `noheader`.

    Returns
    -------
    tuple of str
        A line for each GPU; none where there is no such tool, or it fails.
    """
    if shutil.which("nvidia-smi") is None:
        return ()
    try:
        listing = subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", f"--format={','.join(['csv', 'noheader', *options])}"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(listing.stdout.splitlines())


def leave_quickly() -> None:
    """Let this process end without a last search for garbage, 0.4 s once Dask is loaded: all of it goes anyway."""
    atexit.register(gc.freeze)


def memory_left_bytes() -> int:
    """Memory that is free on this machine, or within this process's own limit (`ulimit -v`) if that is less."""
    left = int(psutil.virtual_memory().available)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return left
    return max(0, min(left, limit - int(psutil.Process().memory_info().vms)))
