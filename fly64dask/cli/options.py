"""Arguments and options that commands share, each group of options as one value, JSON for scripts, exit codes."""

from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.store import RunLayout
from fly64dask.study import DOSE_WORDS, SPLIT_NAMES, Filters

if TYPE_CHECKING:
    from pydantic import BaseModel

    from fly64dask.deploy import Placement

EXIT_FAILED_CELL, EXIT_BAD_INPUT = 1, 2


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
            self.fail(f"{value!r} is no number of photons, nor {' or '.join(DOSE_WORDS)}", param, ctx)


def example(text: str) -> str:
    """Write the epilog of a help page; the mark keeps click from joining its lines."""
    return f"\b\nExample:\n  {text}"


Command = Callable[..., None]
Decorator = Callable[[Command], Command]


def options_as(keyword: str, make: Callable[..., object], *options: Decorator) -> Decorator:
    """Join options, in the order of the help, to one decorator whose command gets one value made of them, as a keyword.

    The parameters of `make` are named as the options.
    """
    names = tuple(inspect.signature(make).parameters)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_one_value(**values: Any) -> None:
            value = make(**{name: values.pop(name) for name in names})
            command(**values, **{keyword: value})

        decorated: Command = with_one_value
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


class SectionedCommand(click.Command):
    """A command whose help lists its options under headings.

    Parameters
    ----------
    sections : dict of str to sequence of decorators
        Options by heading; all others come before them.
    """

    def __init__(self, *arguments: Any, sections: Mapping[str, Sequence[Decorator]], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._heading_of = {name: heading for heading, options in sections.items() for name in _names_of(options)}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, under their headings."""
        rows: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if row is not None:
                rows.setdefault(self._heading_of.get(str(parameter.name), "Options"), []).append(row)
        for heading, options in rows.items():
            with formatter.section(heading):
                formatter.write_dl(options)


def _names_of(options: Sequence[Decorator]) -> list[str]:
    """Name the parameters that decorators add to a command."""

    def command() -> None: ...

    decorated: Command = command
    for option in options:
        decorated = option(decorated)
    return [str(parameter.name) for parameter in click.command()(decorated).params]


study_argument = click.argument(
    "study_file", metavar="STUDY", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
# Passes `layout`, with an absolute root.
run_argument = options_as(
    "layout",
    lambda run_directory: RunLayout(without_links(run_directory)),
    click.argument("run_directory", metavar="RUN", type=click.Path(exists=True, file_okay=False, path_type=Path)),
)
out_option = click.option(
    "--out",
    required=True,
    metavar="RUN",
    type=click.Path(file_okay=False, path_type=Path),
    help="Run directory: made, or continued.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
# Passes `filters`, of which none leaves all cells.
filter_options = options_as(
    "filters",
    Filters,
    click.option("--dose", multiple=True, type=DoseType(), help="Only this dose; repeatable."),
    click.option("--view", multiple=True, help="Only this view; repeatable."),
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
    """Write filters as the words of a command line that `filter_options` reads as the same."""
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
    """The place where a command's cells are computed, as options before Dask is loaded."""

    where: str
    n_workers: int | None
    slots_per_gpu: int
    listen: str
    tls_directory: Path | None
    insecure: bool

    @contextmanager
    def placement(self) -> Iterator[Placement]:
        """Give the placement, while the engine of local workers loads beside all that comes before the first cell."""
        from fly64dask.cells import loading_engine

        with loading_engine(self.where) as fork_server:
            # Dask takes a second to load.
            from fly64dask.deploy import Access, Placement

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
        help="Address on which the local cluster listens; beyond loopback with TLS, for workers of other machines.",
    ),
    click.option(
        "--tls",
        "tls_directory",
        metavar="DIRECTORY",
        type=click.Path(path_type=Path),
        help="Certificates (ca.pem, cert.pem, key.pem) for a tls:// address, or of the local cluster.",
    ),
    click.option(
        "--insecure",
        is_flag=True,
        help="Use no TLS beyond loopback either: whoever reaches the cluster can run code as you and read all of it.",
    ),
)


def without_links(path: Path) -> Path:
    """Give the absolute path; unlike Path.resolve, one of a loop of links too, for its opener to refuse."""
    return Path(os.path.realpath(path))


def from_here(path: Path) -> Path:
    """Give a path as people like to read it: relative where it lies below the directory that they are in."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def rows_json(rows: Iterable[BaseModel]) -> list[dict[str, Any]]:
    """Turn records into JSON objects, without what they do not know."""
    return [row.model_dump(mode="json", exclude_none=True) for row in rows]


def print_json(document: object) -> None:
    """Print one JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))
