"""Arguments and options that several commands have."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.base import InputError, kept_for_good
from fly64dask.cli.options.groups import Decorator, options_as
from fly64dask.cli.options.output import without_links
from fly64dask.store import RunLayout, is_url
from fly64dask.study import DOSE_WORDS, SPLIT_NAMES, Filters

if TYPE_CHECKING:
    from fly64dask.deploy import Placement


class DoseType(click.ParamType["float | str"]):
    """The type of a dose: a number of photons, `measured` or `noise_free`."""

    name = "photons"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Parse one --dose."""
        if value in DOSE_WORDS:
            return str(value)
        try:
            return float(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither a number of photons nor {' or '.join(DOSE_WORDS)}", param, ctx)


study_argument = click.argument(
    "study_file", metavar="STUDY", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)


class PlaceType(click.Path):
    """The type of a run's place: a directory (Path), or the URL of a run at an object store (str)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse one place."""
        return str(value) if is_url(value) else super().convert(value, param, ctx)


class DirectoryType(click.Path):
    """The type of a run directory where no URL can stand for it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse one directory."""
        if is_url(value):
            copied = f"copy the run into one with `fly64dask pull {value} RUN`"
            given = f"give one, and copy it there with `fly64dask push RUN {value}`"
            self.fail(
                f"{value} is the URL of an object store, and this command works in a directory: "
                f"{copied if self.exists else given}",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


def read_run(run: Path | str, *, files: bool) -> RunLayout:
    """Return the layout of a run to be read; of a URL that of its cache, with the records or with all `files`."""
    if not isinstance(run, str):
        return RunLayout(without_links(run))
    from fly64dask.runs import read_place

    return read_place(run, files=files, say=warn)


def _named_layouts(places: Sequence[Path | str], *, files: bool) -> list[tuple[str, RunLayout]]:
    return [(str(place), read_run(place, files=files)) for place in places]


def warn(line: str) -> None:
    """Write a warning to standard error."""
    click.secho(line, fg="yellow", err=True)


_of_run: Mapping[str, Any] = {"exists": True, "file_okay": False, "path_type": Path}
# Passes `run`: a path, or the URL of a run at an object store.
place_argument = click.argument("run", metavar="RUN", type=PlaceType(**_of_run))
# Pass `layout`, with an absolute root: of a run directory alone, or of a URL's cache with all that is to be read.
run_argument = options_as(
    "layout",
    lambda run: RunLayout(without_links(run)),
    click.argument("run", metavar="RUN", type=DirectoryType(**_of_run)),
)
readable_argument = options_as("layout", lambda run: read_run(run, files=True), place_argument)
# Passes `places`: each a path, or the URL of a run at an object store.
places_argument = click.argument("places", metavar="RUN...", nargs=-1, required=True, type=PlaceType(**_of_run))
# Pass `layouts`: of each run its name, as it is given, and its layout with all that is to be read, or its records.
readable_runs_argument = options_as("layouts", lambda places: _named_layouts(places, files=True), places_argument)
runs_records_argument = options_as("layouts", lambda places: _named_layouts(places, files=False), places_argument)
out_option = click.option(
    "--out",
    required=True,
    metavar="RUN",
    type=PlaceType(file_okay=False, path_type=Path),
    help="Run directory to make or to continue; or s3://BUCKET/FOLDER, for a run at an object store.",
)
out_directory_option = click.option(
    "--out",
    required=True,
    metavar="RUN",
    type=DirectoryType(file_okay=False, path_type=Path),
    help="Run directory to make or to continue.",
)


def file_option(name: str, *, help_text: str, required: bool = False) -> Decorator:
    """Make an option that names a file to write, together with `--force`.

    All commands that write a file where a person says have their option from here, so that one rule holds for all: a
    file that exists is replaced with `--force` alone, and is refused before the command does anything else.

    Parameters
    ----------
    name : str
        Of the option, such as `--out`.
    help_text : str
        What the file is, for the help page.
    required : bool
        Whether the command needs the file.

    Returns
    -------
    decorator
        Its command gets `out`: the absolute path, or None without the option.
    """

    def file_to_write(out: Path | None, force: bool) -> Path | None:
        if out is None:
            return None
        if os.path.lexists(out) and not force:
            raise InputError(
                f"write {out}: there is a file of this name already",
                remedy=f"give {name} another name, or add --force to replace the file",
            )
        return without_links(out)

    return options_as(
        "out",
        file_to_write,
        click.option(
            name,
            "out",
            metavar="FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            required=required,
            help=help_text,
        ),
        click.option("--force", is_flag=True, help="Replace FILE if it exists."),
    )


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
# Passes `filters`, of which none leaves all cells.
filter_options = options_as(
    "filters",
    Filters,
    click.option("--dose", multiple=True, type=DoseType(), help="Only this dose; repeatable."),
    click.option("--view", multiple=True, metavar="NAME", help="Only this view; repeatable."),
    click.option("--split", multiple=True, type=click.Choice(SPLIT_NAMES), help="Only this split; repeatable."),
    click.option(
        "--gridsize", multiple=True, type=int, help="Only views of this kind, 1: baseline, 2: any other; repeatable."
    ),
    click.option("--repeat", multiple=True, type=int, help="Only this noise realisation, from 0; repeatable."),
    click.option("--recipe", multiple=True, metavar="NAME", help="Only this recipe of several; repeatable."),
    click.option("--object", multiple=True, type=int, metavar="SEED", help="Only this object of several; repeatable."),
    click.option("--setup", multiple=True, metavar="NAME", help="Only this setup of several; repeatable."),
)


def filter_words(filters: Filters) -> list[str]:
    """Write filters as words of a command line, from which `filter_options` makes the same filters."""
    return [
        word
        for option in ("dose", "view", "split", "gridsize", "repeat", "recipe", "object", "setup")
        for value in getattr(filters, option)
        for word in (f"--{option}", str(value))
    ]


def _settings(device: str | None, threads: int | None) -> dict[str, object]:
    return {name: value for name, value in (("device", device), ("threads", threads)) if value is not None}


# Passes `settings`: those of the recipe that are given, for `Study.with_recipe`.
recipe_options = options_as(
    "settings",
    _settings,
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Device, instead of the recipe's."),
    click.option("--threads", type=click.IntRange(1, 256), help="Threads of one cell, instead of the recipe's."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """The options that say where cells are computed; they are made before Dask is loaded."""

    where: str
    n_workers: int | None
    slots_per_gpu: int
    listen: str
    tls_directory: Path | None
    insecure: bool

    def check_file(self) -> None:
        """Refuse an unusable cluster file in a command that opens no cluster."""
        from fly64dask.deploy.slurm import is_cluster_file, read_slurm_file

        if is_cluster_file(self.where):
            read_slurm_file(Path(self.where))

    @contextmanager
    def placement(self) -> Iterator[Placement]:
        """Give the placement; meanwhile local workers and their engine load, before the first cell needs them."""
        from fly64dask.cells import loading_engine
        from fly64dask.deploy import load_workers

        with loading_engine(self.where) as fork_server:
            if self.where == "local":
                load_workers()
            with kept_for_good():
                from fly64dask.deploy import Access, Placement  # Dask, a quarter of a second

            yield Placement(
                where=self.where,
                n_workers=self.n_workers,
                slots_per_gpu=self.slots_per_gpu,
                access=Access(listen=self.listen, tls_directory=self.tls_directory, insecure=self.insecure),
                fork_server=fork_server,
            )


# Passes `cluster`.
cluster_options = options_as(
    "cluster",
    ClusterOptions,
    click.option(
        "--workers",
        "n_workers",
        type=click.IntRange(min=1),
        help="Local worker processes [default: one for each slot of a GPU, or for each core].",
    ),
    click.option(
        "--slots-per-gpu",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Local workers that share one GPU.",
    ),
    click.option(
        "--cluster",
        "where",
        default="local",
        show_default=True,
        metavar="local|ADDRESS|FILE",
        help="Where cells run: on this machine, at a Dask scheduler, or in Slurm jobs as a cluster file says.",
    ),
    click.option(
        "--listen",
        default="127.0.0.1",
        show_default=True,
        metavar="HOST",
        help="Address on which the local cluster listens. Beyond loopback, for workers of other machines, it uses TLS.",
    ),
    click.option(
        "--tls",
        "tls_directory",
        metavar="DIRECTORY",
        type=click.Path(path_type=Path),
        help="Certificates (ca.pem, cert.pem, key.pem) for a tls:// address or for the local cluster.",
    ),
    click.option(
        "--insecure",
        is_flag=True,
        help="Use no TLS, even beyond loopback: whoever reaches the cluster can run code as you and read all data.",
    ),
)
