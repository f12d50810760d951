"""An engine without pty-chi that fails, or waits, as a table on disk says, and counts its calls there."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import signal
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fly64dask.reconstruction import Reconstruction
from fly64dask.scan import object_frame

FOLDER = "FLY64DASK_TEST_FAULTS"  # environment variable: holds faults.json and a file of calls for each cell
ENGINE = "faulty_engine:reconstruct"
EPOCH_S = "FLY64DASK_TEST_EPOCH_S"  # how long an epoch takes
# What a page must show as text: as markup each part of it would change the title.
MARKUP = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
EXPECTED = {
    "raise": "crashed",
    "singular": "singular_matrix",
    "hang": "timed_out",
    "grow": "out_of_memory",
    "segfault": "crashed",
    "kill_worker": "worker_lost",
    "kill_worker_once": None,
}


def tell(folder: Path, faults: Mapping[str, str | int | None]) -> None:
    """Say in one step what is to happen to cells from now on, those under way too.

    A word is a fault, with which a cell ends. A number is an epoch after which it waits, until it is told otherwise.
    `*` stands for all cells that are not named.
    """
    draft = folder / "faults.json.new"
    draft.write_text(json.dumps(dict(faults)))
    draft.replace(folder / "faults.json")


def told(folder: Path, name: str) -> str | int | None:
    """What is to happen to a cell."""
    faults = json.loads((folder / "faults.json").read_text())
    return faults.get(name, faults.get("*"))


def await_leave(folder: Path, name: str, epoch: int) -> None:
    """Wait for as long as a cell may do no more epochs than these."""
    while isinstance(most := told(folder, name), int) and epoch >= most:
        time.sleep(0.02)


def reconstruct(exposures, recipe, *, seed, progress, checkpoint=None):
    """Count the call, report the epochs that are missing, fail as told; else an object that only these counts give."""
    folder = Path(os.environ[FOLDER])
    name = "-".join(checkpoint.path.with_suffix("").parts[-3:])
    with (folder / name).open("a") as stream:
        stream.write(f"call {os.environ.get('SLURM_JOB_NAME', '-')}\n")
    n_calls = len((folder / name).read_text().splitlines())
    epoch = int(checkpoint.load() or 0)
    while epoch < recipe.n_epochs:
        await_leave(folder, name, epoch)
        epoch += 1
        time.sleep(float(os.environ.get(EPOCH_S, "0")))
        progress(epoch, 1.0)
        if checkpoint.is_due(epoch):
            checkpoint.save(functools.partial(str.encode, str(epoch)))
    fail(told(folder, name), n_calls)
    shape, origin = object_frame(exposures.positions_px, exposures.counts.shape[1:])
    return Reconstruction(
        object_recon=np.full((1, *shape), 1 + 1j * exposures.counts.mean(), np.complex64),
        probe_recon=exposures.probe_guess,
        loss=np.ones(recipe.n_epochs),
        object_origin_px=origin,
        device="cpu",
        guarded=False,
        acceleration="unmodified: this engine has none",
    )


def fail(fault, n_calls):
    if fault == "raise":
        raise ValueError("this engine was told to raise")
    if fault == "markup":
        raise ValueError(MARKUP)
    if fault == "singular":
        raise np.linalg.LinAlgError("the input matrix is singular")
    if fault == "hang" or (fault == "hang_once" and n_calls == 1):
        time.sleep(600)
    if fault == "grow":
        # Well past the limit of the tests, and no further: whoever watches may be slow on a busy machine.
        kept = np.ones(2**27)
        time.sleep(600)
        kept.fill(0)
    if fault == "segfault":
        ctypes.string_at(0)
    if fault == "kill_worker" or (fault == "kill_worker_once" and n_calls == 1):
        os.kill(pid_of_worker(), signal.SIGKILL)
        time.sleep(600)


def pid_of_worker():
    """Who made the only pipe that this process did not make itself; its parent forks for all workers."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as ours:
            maker, _, _ = struct.unpack("3i", ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if ours.family == socket.AF_UNIX and maker != os.getpid():
                return maker
    raise AssertionError("no pipe to a worker")
