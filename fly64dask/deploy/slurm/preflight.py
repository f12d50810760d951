"""What is refused before a job is queued or a cell runs: jobs too small, scripts that Slurm refuses, unfit workers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from distributed import Client

from fly64dask.base import InputError, ResourceError, counted
from fly64dask.deploy.slurm.batch import commands_of
from fly64dask.deploy.slurm.pools import GPU, computes_on_gpu, pool_uses
from fly64dask.deploy.slurm.site import SlurmFile, System, in_bytes
from fly64dask.scheduling import CONTEXT_BYTES, ENGINE_BYTES, PlannedCell, find_misfit
from fly64dask.study import Recipe

# Words in Slurm's refusal of a job, and the keys of the cluster file that it may be about; the first to occur counts.
COMPLAINTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Limits of an account or QOS that refuses what exceeds them, by their names, such as QOSMaxWallDurationPerJobLimit.
    ("maxwall", ("walltime",)),
    ("maxcpu", ("cpus",)),
    ("maxmem", ("memory",)),
    ("maxgres", ("gpu_directive",)),
    ("qos specification", ("extra_directives",)),
    ("accounting/qos policy", ("walltime", "memory", "cpus")),
    ("invalid account", ("account", "queue")),
    ("partition", ("queue",)),
    ("account", ("account",)),
    ("time limit", ("walltime",)),
    ("timelimit", ("walltime",)),
    ("generic resource", ("gpu_directive",)),
    ("gres", ("gpu_directive",)),
    ("memory", ("memory",)),
    ("node configuration", ("memory", "cpus", "gpu_directive")),
    ("cpu", ("cpus",)),
)


def refuse_small_jobs(site: SlurmFile, path: Path, plan: Sequence[PlannedCell], recipe: Recipe) -> None:
    """Compare what cells need with what jobs of a cluster file have, before anything is queued.

    Raises InputError if the recipe wants a GPU and jobs have none, or more threads than jobs have CPUs, and
    ResourceError if a cell needs more memory than a job, or its GPU, has.
    """
    if recipe.device == "cuda" and not any(pool.gpus for pool in site.pools):
        raise InputError(
            f"cluster file {path}: workers have no GPU, and the recipe's device is cuda",
            remedy="set gpus = 1 in [workers], or give --device cpu",
        )
    for pool in site.pools:
        if recipe.threads * pool.slots > pool.cpus:
            raise InputError(
                f"cluster file {path}: workers have {counted(pool.cpus, 'CPU')}, and the recipe's cells compute on "
                f"{counted(recipe.threads, 'thread')}" + (f" in each of {pool.slots} slots" if pool.slots > 1 else ""),
                remedy=f"set cpus = {recipe.threads * pool.slots} in {site.section(pool)}, or fewer threads",
            )
    if len(site.pools) > 1:
        pool_uses(site.pools, plan, recipe.device)
        return
    (pool,) = site.pools
    on_gpu = computes_on_gpu(pool, recipe.device)
    key, size, overhead_bytes = (
        ("gpu_memory", pool.gpu_memory, CONTEXT_BYTES) if on_gpu else ("memory", pool.memory, ENGINE_BYTES)
    )
    slot_bytes = None if size is None else in_bytes(size) // pool.slots
    misfit = None if slot_bytes is None else find_misfit(plan, slot_bytes, overhead_bytes=overhead_bytes)
    if slot_bytes is not None and misfit is not None:
        where = ("a slot of " if pool.slots > 1 else "") + ("the GPU of a job" if on_gpu else "a job")
        raise ResourceError(
            f"slurm: {misfit}, {where} has {slot_bytes / 1e9:.1f} GB",
            remedy=f"raise {key} in [workers] of {path}, or lower the recipe's batch_size",
        )


def refuse_bad_script(
    path: Path, script: Path, *, section: str, shown: str | None = None, system: System = "slurm"
) -> None:
    """Ask the batch system whether it would take a job script that was made from a section of the cluster file.

    Raises ResourceError with its words, the key to change and, as `shown` says, how to see the script.
    """
    complaint = commands_of(system).refusal(script)
    if complaint is None:
        return
    keys = next((keys for word, keys in COMPLAINTS if word in complaint.lower()), ())
    keys_and_section = f"{' or '.join(keys)} in {section}" if keys else section
    raise ResourceError(
        f"slurm: a job of {section} would be refused: {complaint}",
        remedy=f"correct {keys_and_section} of {path}; {shown or f'the script is {script}'}",
    )


def refuse_bad_worker(client: Client, path: Path, *, device: str) -> None:
    """Try on the first worker what a cell needs: imports, torch and, if it offers one to the recipe's device, a GPU.

    Raises ResourceError if something fails there; the path of the cluster file is for its message.
    """
    address, worker = next(iter(client.scheduler_info(n_workers=1)["workers"].items()))
    needs_gpu = device != "cpu" and worker["resources"].get(GPU, 0) >= 1
    (report,) = client.run(_doctor, workers=[address]).values()
    where, remedy = f"slurm: the first worker ({address})", f"correct [environment] of {path}"
    try:
        checks = json.loads(report)["checks"]
    except ValueError:
        raise ResourceError(f"{where} cannot run fly64dask: {report[-500:]}", remedy=remedy) from None
    failed = [
        f"{check['name']}: {check['found']}"
        for check in checks
        if check["state"] == "failed" and (needs_gpu or check["name"] != "gpu")
    ]
    if failed:
        raise ResourceError(f"{where}: {'; '.join(failed)}", remedy=remedy)
    gpu = next(check["found"] for check in checks if check["name"] == "gpu")
    if needs_gpu and gpu.startswith("none"):
        raise ResourceError(
            f"{where} has no GPU that torch can use, and the jobs ask for one",
            remedy=f"correct gpu_directive in [workers] or [environment] of {path}; or give --device cpu",
        )


def _doctor() -> str:
    """On a worker: in a process of its own, so that torch stays out of the worker's."""
    completed = subprocess.run(
        [sys.executable, "-m", "fly64dask", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    return completed.stdout or completed.stderr
