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
    """A pool of worker jobs: each has one GPU, or none, and computes as many cells at once as it has slots."""

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
    """The job that holds scheduler and driver of a submitted run."""

    queue: Word | None = None
    account: Word | None = None
    walltime: Walltime = "1-00:00:00"
    memory: Size = "4GB"
    cpus: int = Field(default=1, ge=1, le=1024)
    extra_directives: tuple[Directive, ...] = ()
    skip_directives: tuple[Directive, ...] = ()
    template: Line = "controller.sbatch"


class Environment(Frozen):
    """The commands that a job's shell runs before Python starts."""

    setup: tuple[Line, ...] = ()
    python: AbsolutePath | None = None
    unset_proxies: bool = False


class Network(Frozen):
    """The addresses and certificates by which scheduler and workers find and trust each other."""

    interface: Word | None = None
    tls_directory: AbsolutePath | None = None


class Directories(Frozen):
    """The directories in which jobs write beside the run directory."""

    logs: AbsolutePath | None = None
    scratch: Line | None = None


class Patience(Frozen):
    """When a run gives its jobs up."""

    first_worker_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    failures_in_a_row: int = Field(default=5, ge=1, le=1000)
    retry_s: float = Field(default=10.0, gt=0, allow_inf_nan=False)


System = Literal["slurm", "pbs"]


def _one_or_several(value: object) -> str:
    return "pools" if isinstance(value, list | tuple) else "pool"


class SlurmFile(Frozen):
    """The content of one cluster file."""

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
