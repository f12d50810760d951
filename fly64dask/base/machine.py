"""The machine a process runs on: its GPUs and free memory, and the environment in which it computes fastest."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from fly64dask.base.errors import GpuMissingError

# One compute thread per process: two single-thread workers do 2.9 times the epochs of two
# workers with two threads each on two cores.
SINGLE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
# Dask starts workers with a trim threshold of 64 kB, which makes glibc hand every minibatch's
# arrays back to the kernel and fault them in again: epochs take 2.0 times as long (322 exposures
# of 64 x 64, one thread). 32 MB is the most that glibc takes for the mmap threshold.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**25)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU as NVIDIA's driver lists it, or one of the slices (MIG) into which it is cut."""

    index: str  # the device's number; a slice has none, and CUDA knows it by its UUID
    uuid: str
    name: str
    memory_bytes: int | None  # None where the driver does not know it

    @property
    def cuda_name(self) -> str:
        """The name of the GPU in `CUDA_VISIBLE_DEVICES`."""
        return self.index or self.uuid


def visible_gpus() -> tuple[str, ...]:
    """List the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them, without importing torch.

    Returns
    -------
    tuple of str
        Names as that variable has them; if it is not set, those of all that the driver lists: indices, and UUIDs of
        the slices of a device that is cut into some.

    Raises
    ------
    GpuMissingError
        If there is a driver, and it fails.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1"))
    return tuple(gpu.cuda_name for gpu in installed_gpus())


def gpu_memory_bytes(gpus: Sequence[str]) -> dict[str, int]:
    """Look up the memory of GPUs.

    Parameters
    ----------
    gpus : sequence of str
        From `visible_gpus`: indices or UUIDs.

    Returns
    -------
    dict of str to int
        Bytes by the given name, of those that the driver lists and whose memory it knows.

    Raises
    ------
    GpuMissingError
        If there is a driver, and it fails.
    """
    return {
        name: gpu.memory_bytes
        for gpu in installed_gpus()
        for name in gpus
        if gpu.memory_bytes is not None and (name == gpu.index or gpu.uuid.startswith(name))
    }


@functools.cache
def installed_gpus() -> tuple[Gpu, ...]:
    """Ask NVIDIA's driver about this machine's GPUs, once in a process, so that all of it uses one answer.

    Returns
    -------
    tuple of Gpu
        In the driver's order, slices in the place of a device that is cut; none where there is no driver.

    Raises
    ------
    GpuMissingError
        If there is a driver, and it fails; cells would otherwise run on the CPU without notice.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
        try:
            handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
            return tuple(
                gpu
                for index, handle in enumerate(handles)
                for gpu in [_gpu("", each) for each in _slices(handle)] or [_gpu(str(index), handle)]
            )
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError_LibraryNotFound:
        return ()
    except pynvml.NVMLError as error:
        raise GpuMissingError(
            f"gpu: NVIDIA's driver is installed and does not answer ({error})",
            remedy="see what `nvidia-smi` says, or give --device cpu",
        ) from error


def _gpu(index: str, handle: Any) -> Gpu:
    import pynvml

    try:
        memory_bytes = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_NoPermission):
        memory_bytes = None  # for example where CPU and GPU share it
    return Gpu(
        index=index,
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        name=pynvml.nvmlDeviceGetName(handle),
        memory_bytes=memory_bytes,
    )


def _slices(handle: Any) -> list[Any]:
    """List the handles of a device's slices; none if it is not cut, or cannot be."""
    import pynvml

    try:
        is_cut = pynvml.nvmlDeviceGetMigMode(handle)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
        n_places = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle) if is_cut else 0
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return []
    slices = []
    for place in range(n_places):
        with contextlib.suppress(pynvml.NVMLError_NotFound):  # there is no slice at this index
            slices.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place))
    return slices


def leave_quickly() -> None:
    """Skip garbage collection at the end of this process: it takes 0.4 s once Dask is loaded, for nothing."""
    atexit.register(gc.freeze)


def leave_thoroughly() -> None:
    """Let this process end with a last search for garbage after all: else triton reports all that it has left."""
    atexit.unregister(gc.freeze)


def memory_left_bytes() -> int:
    """Measure the memory, in bytes, that is free on this machine or, if less, within this process's `ulimit -v`."""
    available_bytes = int(psutil.virtual_memory().available)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return available_bytes
    return max(0, min(available_bytes, limit - int(psutil.Process().memory_info().vms)))
