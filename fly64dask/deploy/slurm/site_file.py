"""The cluster file: a TOML file in which a site says how it wants its jobs, checked key by key."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    ByteSize,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from fly64dask.base import Frozen, InputError
from fly64dask.deploy.slurm.names import CONTROLLER
from fly64dask.study import parse_toml

# What becomes one word of an `#SBATCH` line, or one line of the job script.
Word = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\s\x00-\x1f]+$")]
Line = Annotated[str, Field(min_length=1, max_length=4095, pattern=r"^[^\x00-\x1f]+$")]
Directive = Annotated[str, Field(min_length=2, max_length=1023, pattern=r"^-[^\x00-\x1f]+$")]
# Options of sbatch with which a run would not find its jobs again, or would wait for them where it submits them.
OF_THE_RUN = ("--array", "--clusters", "--job-name", "--wait", "-J", "-M", "-W", "-a")
AbsolutePath = Annotated[str, Field(min_length=1, max_length=4095, pattern=r"^/[^\x00-\x1f]*$")]


def _walltime(text: str) -> str:
    if not re.fullmatch(r"(\d+-)?\d{1,2}:[0-5]\d:[0-5]\d", text):
        raise ValueError('needed is "HH:MM:SS" or "DAYS-HH:MM:SS", in quotes')
    return text


def _size(text: str) -> str:
    try:
        n_bytes = in_bytes(text)
    except ValidationError:
        n_bytes = 0
    if n_bytes < 10**8 or text.isdigit():
        raise ValueError('needed is a size of at least "100MB", with its unit')
    return text


Walltime = Annotated[str, AfterValidator(_walltime)]
Size = Annotated[str, AfterValidator(_size)]


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


System = Literal["slurm", "pbs"]


def _one_or_several(value: object) -> str:
    return "pools" if isinstance(value, list | tuple) else "pool"


class SlurmFile(Frozen):
    """The content of one cluster file.

    Parameters
    ----------
    schema_version : 1
        Version of this format; always 1.
    system : "slurm" or "pbs"
        Batch system of the site.
    workers : Workers or tuple of Workers
        The pool of worker jobs, or several, the one that is preferred first.
    controller : Controller
        The job that holds the scheduler.
    environment : Environment
        What jobs run before Python.
    network : Network
        How scheduler and workers reach each other.
    directories : Directories
        Where jobs write.
    patience : Patience
        When a run gives up.
    """

    schema_version: Literal[1]
    system: System = "slurm"
    workers: Annotated[
        Annotated[Workers, Tag("pool")] | Annotated[tuple[Workers, ...], Field(min_length=1), Tag("pools")],
        Discriminator(_one_or_several),
    ]
    controller: Controller = Controller()
    environment: Environment = Environment()
    network: Network = Network()
    directories: Directories = Directories()
    patience: Patience = Patience()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [pool.name for pool in self.pools]
        for name in names:
            if name == CONTROLLER or names.count(name) > 1:
                raise ValueError(f"workers: {names.count(name)} pools are called {name!r}; give each a name of its own")
        return self

    @model_validator(mode="after")
    def _check_arrays(self) -> Self:
        for pool in self.pools:
            if self.system == "pbs" and pool.submit == "array":
                raise ValueError(f"{self.section(pool)}: arrays are for Slurm; set submit = 'jobs'")
        return self

    @model_validator(mode="after")
    def _check_directives(self) -> Self:
        if self.system != "slurm":
            return self
        tables = [(self.section(pool), pool.extra_directives) for pool in self.pools]
        for section, directives in (*tables, ("[controller]", self.controller.extra_directives)):
            for line in directives:
                option = re.split(r"[=\s]", line)[0] if line.startswith("--") else line[:2]
                if option in OF_THE_RUN:
                    raise ValueError(
                        f"{section}: extra_directives has {line!r}, but a run names its jobs, and finds them on the "
                        "cluster where it was started; leave it out"
                    )
        return self

    @property
    def pools(self) -> tuple[Workers, ...]:
        """The pools of worker jobs, the one that is preferred first; most files have one."""
        return self.workers if isinstance(self.workers, tuple) else (self.workers,)

    def section(self, pool: Workers) -> str:
        """Name the table of a pool as the file has it."""
        return f"[[workers]] {pool.name}" if isinstance(self.workers, tuple) else "[workers]"


def parse_slurm_file(text: str, *, origin: str) -> SlurmFile:
    """Read the TOML text of a cluster file; raises InputError, which names each wrong key, its value and a remedy."""
    return parse_toml(text, SlurmFile, what="cluster file", origin=origin, keys="cluster/slurm.toml")


def read_slurm_file(path: Path) -> SlurmFile:
    """Read a cluster file from disk; raises InputError if it cannot be read, or a key is unknown or wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"read cluster file {path}: {error}", remedy="give a TOML file in UTF-8") from error
    return parse_slurm_file(text, origin=str(path))


def in_bytes(size: str) -> int:
    """Read a size such as "16GB"."""
    return int(TypeAdapter(ByteSize).validate_python(size))


def in_seconds(walltime: str) -> int:
    """Read a wall time such as "1-12:00:00"."""
    days, _, clock = walltime.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def is_cluster_file(where: str) -> bool:
    """Say whether `--cluster` names a file; an address has a scheme, and `local` no suffix."""
    return PurePath(where).suffix == ".toml" and "://" not in where
