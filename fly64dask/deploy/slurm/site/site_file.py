"""The cluster file: a TOML file in which a site says how it wants its jobs, checked key by key."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from fly64dask.base import Frozen, InputError, counted
from fly64dask.deploy.slurm.names import CONTROLLER
from fly64dask.deploy.slurm.site.tables import Controller, Directories, Environment, Network, Patience, Workers
from fly64dask.study import parse_toml

# Options of sbatch with which a run would not find its jobs again, or would wait for them where it submits them.
OF_THE_RUN = ("--array", "--clusters", "--job-name", "--wait", "-J", "-M", "-W", "-a")
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
                raise ValueError(
                    f"workers: {counted(names.count(name), 'pool is', 'pools are')} called {name!r}; "
                    "give each a name of its own"
                )
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


def is_cluster_file(where: str) -> bool:
    """Say whether `--cluster` names a file; an address has a scheme, and `local` no suffix."""
    return PurePath(where).suffix == ".toml" and "://" not in where
