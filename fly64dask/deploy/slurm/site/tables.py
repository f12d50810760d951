"""The tables of a cluster file: workers, controller, environment, network, directories and patience."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fly64dask.base import Frozen
from fly64dask.deploy.slurm.site.values import AbsolutePath, Directive, Line, Size, Walltime, Word


class Workers(Frozen):
    """A pool of worker jobs: each has one GPU, or none, and computes as many cells at once as it has slots.

    Parameters
    ----------
    name : str
        Name of the pool in the queue and in messages.
    slots : int
        Cells that a job computes at once; they share its GPU, CPUs and memory.
    max_exposures : int, optional
        Cells that keep more exposures do not go to this pool.
    submit : "jobs" or "array"
        Whether jobs are submitted one by one or several as one array.
    queue : str, optional
        Partition of Slurm or queue of PBS; if omitted the site's default.
    account : str, optional
        Account that is charged.
    walltime : str
        Time after which the site ends a job, "HH:MM:SS" or "DAYS-HH:MM:SS"; a longer cell goes on in the next job.
    memory : str
        Memory of a job, all slots together, with its unit: "16GB".
    cpus : int
        CPUs of a job, all slots together.
    gpus : 0 or 1
        GPUs of a job.
    gpu_directive : str
        Directive by which the site is asked for a GPU.
    gpu_memory : str, optional
        Memory of the GPU, or of the slice of it that a job gets, "40GB"; cells that need more do not go to this pool.
    max_jobs : int
        Jobs of this pool at the same time, at most.
    extra_directives : tuple of str
        Further directives of the job script.
    skip_directives : tuple of str
        Directives that the job script leaves out.
    """

    name: str = Field(default="worker", pattern=r"^[a-z][a-z0-9_]{0,31}$")
    slots: int = Field(default=1, ge=1, le=256)
    max_exposures: int | None = Field(default=None, ge=1)
    submit: Literal["jobs", "array"] = "jobs"
    queue: Word | None = None
    account: Word | None = None
    walltime: Walltime
    memory: Size
    cpus: int = Field(default=1, ge=1, le=1024)
    gpus: Literal[0, 1] = 0
    gpu_directive: Directive = "--gres=gpu:1"
    gpu_memory: Size | None = None
    max_jobs: int = Field(ge=1, le=10_000)
    extra_directives: tuple[Directive, ...] = ()
    skip_directives: tuple[Directive, ...] = ()


class Controller(Frozen):
    """The job that holds scheduler and driver of a submitted run; it computes no cell.

    Parameters
    ----------
    queue, account : str, optional
        Those of the controller; if omitted those of the workers.
    walltime : str
        Time after which the site ends the job, "DAYS-HH:MM:SS"; shortly before it the controller queues itself again.
    memory : str
        Memory of the job, with its unit.
    cpus : int
        CPUs of the job.
    extra_directives : tuple of str
        Further directives of the job script.
    skip_directives : tuple of str
        Directives that the job script leaves out.
    template : str
        Job script, beside the cluster file.
    """

    queue: Word | None = None
    account: Word | None = None
    walltime: Walltime = "1-00:00:00"
    memory: Size = "4GB"
    cpus: int = Field(default=1, ge=1, le=1024)
    extra_directives: tuple[Directive, ...] = ()
    skip_directives: tuple[Directive, ...] = ()
    template: Line = "controller.sbatch"


class Environment(Frozen):
    """The commands that a job's shell runs before Python starts.

    Parameters
    ----------
    setup : tuple of str
        Lines of shell, such as "module load cuda/12.4".
    python : str, optional
        Python of the jobs, an absolute path; if omitted the one that submits.
    unset_proxies : bool
        Whether jobs forget http_proxy and its like, where nodes have no proxy.
    """

    setup: tuple[Line, ...] = ()
    python: AbsolutePath | None = None
    unset_proxies: bool = False


class Network(Frozen):
    """The addresses and certificates by which scheduler and workers find and trust each other.

    Parameters
    ----------
    interface : str, optional
        Network interface of the nodes, such as "ib0", for scheduler and workers.
    tls_directory : str, optional
        Directory with ca.pem, cert.pem and key.pem; if omitted certificates are made for each run.
    """

    interface: Word | None = None
    tls_directory: AbsolutePath | None = None


class Directories(Frozen):
    """The directories in which jobs write beside the run directory.

    Parameters
    ----------
    logs : str, optional
        Directory of the jobs' output; if omitted RUN/slurm/logs.
    scratch : str, optional
        Directory of Dask's own files on a node, as its shell reads it: "$TMPDIR".
    """

    logs: AbsolutePath | None = None
    scratch: Line | None = None


class Patience(Frozen):
    """The limits at which a run gives its jobs up.

    Parameters
    ----------
    first_worker_s : float, optional
        Time until the first worker must be there, s; if omitted a run waits in the queue for as long as it takes.
    failures_in_a_row : int
        Jobs that end before their worker has reached the run, while no other is there.
    retry_s : float
        Time until a job is replaced, s; it doubles with each further failure, up to 300 s.
    """

    first_worker_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    failures_in_a_row: int = Field(default=5, ge=1, le=1000)
    retry_s: float = Field(default=10.0, gt=0, allow_inf_nan=False)
