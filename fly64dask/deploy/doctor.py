"""Tries what a run needs on this machine, and reports what works and what does not."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from fly64dask.base import Frozen, GpuMissingError, IntegrityError, counted, software_versions, utc_now, visible_gpus
from fly64dask.deploy.local import DASHBOARD_PORT, free_dashboard_port
from fly64dask.store import TruthAttributes, open_group, whole_array, write_group


class Check(Frozen):
    """The result of one trial."""

    name: str
    state: Literal["ok", "failed"]
    found: str


def examine() -> tuple[Check, ...]:
    """Try what a run needs: imports, devices, storage and ports.

    Returns
    -------
    tuple of Check
        In a fixed order; a failed one says what was found.
    """
    trials: list[tuple[str, Callable[[], str]]] = [
        ("versions", lambda: ", ".join(f"{name} {version}" for name, version in software_versions().items())),
        ("torch", _try_torch),
        ("gpu", _try_gpu),
        ("pty-chi", _try_ptychi),
        ("zarr", _try_zarr),
        ("dashboard port", _try_port),
    ]
    return tuple(_try(name, trial) for name, trial in trials)


def _try(name: str, trial: Callable[[], str]) -> Check:
    try:
        return Check(name=name, state="ok", found=trial())
    except (ImportError, OSError, RuntimeError, ValueError, GpuMissingError, IntegrityError) as error:
        return Check(name=name, state="failed", found=f"{type(error).__name__}: {error}")


def _try_torch() -> str:
    import torch

    return f"torch {torch.__version__}, {counted(torch.get_num_threads(), 'thread')} by default"


def _try_gpu() -> str:
    import torch

    visible, usable = visible_gpus(), torch.cuda.is_available()
    if visible and not usable:
        raise GpuMissingError(
            f"driver lists GPUs {', '.join(visible)}, torch cannot use them", remedy="check the driver"
        )
    return torch.cuda.get_device_name() if usable else "none: cells run on the CPU"


def _try_ptychi() -> str:
    if importlib.util.find_spec("torchvision") is None:
        # Loaded as in an engine's process, so that only what a reconstruction uses is needed.
        importlib.import_module("fly64dask.reconstruction.lsqml.lazy_imports")
    from fly64dask.reconstruction.lsqml import take_device

    return f"imports, device auto is {take_device('auto')}"


def _try_zarr() -> str:
    values = np.arange(12, dtype=np.uint16).reshape(3, 4)
    with tempfile.TemporaryDirectory() as directory:
        group = Path(directory, "group")
        group.mkdir()
        write_group(
            group,
            TruthAttributes(created_at=utc_now(), software={}, source_digest=""),
            [whole_array("values", values, dims=("y", "x"))],
        )
        open_group(group, TruthAttributes).read("values")
    return "a group was written, read back and checked"


def _try_port() -> str:
    return f"{DASHBOARD_PORT} is free" if free_dashboard_port() else f"{DASHBOARD_PORT} is taken: a run picks another"
