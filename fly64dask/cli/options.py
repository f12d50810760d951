"""What commands share: option types, groups of options, study files, JSON for scripts, exit codes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.study import Recipe, Study

if TYPE_CHECKING:
    from fly64dask.deploy import Placement

EXIT_FAILED_CELL, EXIT_BAD_INPUT = 1, 2


class DoseType(click.ParamType[Any]):
    """A number of photons, or `measured`."""

    name = "photons"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse one --dose."""
        if value == "measured":
            return value
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of photons nor `measured`", param, ctx)


def example(text: str) -> str:
    """Epilog of a help page; the mark keeps click from joining its lines."""
    return f"\b\nExample:\n  {text}"


# A group of options: decorates a command as its options would, one after the other.
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def options(*decorators: Decorator) -> Decorator:
    """Join options into one decorator; they appear in the help in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


study_argument = click.argument(
    "study_file", metavar="STUDY", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
run_argument = click.argument(
    "run_directory", metavar="RUN", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
out_option = click.option(
    "--out",
    required=True,
    metavar="RUN",
    type=click.Path(file_okay=False, path_type=Path),
    help="Run directory: made, or continued.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
# Instead of what the recipe says; the keywords are those of `with_recipe`.
recipe_options = options(
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Instead of the recipe's."),
    click.option("--threads", type=click.IntRange(1, 256), help="Of one cell, instead of the recipe's."),
)
# Which cells.
filter_options = options(
    click.option("--dose", multiple=True, type=DoseType(), help="Only this dose; repeatable."),
    click.option("--view", multiple=True, help="Only this view; repeatable."),
    click.option("--split", multiple=True, type=click.Choice(["train", "test"]), help="Only this split; repeatable."),
    click.option("--gridsize", multiple=True, type=int, help="1: baseline views, 2: spacing views; repeatable."),
    click.option("--repeat", multiple=True, type=int, help="Only this repeat, from 0; may be given several times."),
)
# Where cells are computed; the keywords are those of `placement`.
cluster_options = options(
    click.option(
        "--workers",
        "n_workers",
        type=click.IntRange(min=1),
        help="Local worker processes [default: one a slot of a GPU, or a core].",
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
        help="Where cells run: here, at a Dask scheduler, or in Slurm jobs as a cluster file says.",
    ),
    click.option(
        "--listen",
        default="127.0.0.1",
        show_default=True,
        metavar="HOST",
        help="Where the local cluster listens; beyond loopback with TLS, for workers of other machines.",
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
        help="No TLS beyond loopback either: who reaches the cluster runs code as you and reads all of it.",
    ),
)


@contextmanager
def placement(
    study: Study, *, where: str, n_workers: int | None, slots_per_gpu: int, **access: Any
) -> Iterator[Placement]:
    """Turn `cluster_options` into where a study's cells are computed.

    The engine of local CPU workers loads from here on, beside all that has to be done before the first cell.
    """
    from fly64dask.base import visible_gpus
    from fly64dask.cells import engine_modules
    from fly64dask.isolation import ForkServer
    from fly64dask.reconstruction import LSQML

    uses_cpu = where == "local" and (study.recipe.device == "cpu" or not visible_gpus())
    with ForkServer(engine_modules(LSQML)) if uses_cpu else nullcontext() as fork_server:
        # Dask takes a second to load.
        from fly64dask.deploy import Access, Placement

        yield Placement(
            where=where,
            n_workers=n_workers,
            slots_per_gpu=slots_per_gpu,
            access=Access(**access),
            fork_server=fork_server,
        )


def with_recipe(study: Study, **given: Any) -> Study:
    """The study with other settings in its recipe: those that are given."""
    settings = {name: value for name, value in given.items() if value is not None}
    if not settings:
        return study
    recipe = Recipe.model_validate(study.recipe.model_dump() | settings)
    return study.model_copy(update={"recipe": recipe})


def load_study(path: Path) -> Study:
    """Read a study file, with the source's path taken from the file's own directory.

    Parameters
    ----------
    path : Path
        TOML file; or the JSON file of a run directory.

    Returns
    -------
    Study

    Raises
    ------
    InputError
        If it cannot be read or is not a study.
    """
    if path.suffix == ".json":
        # As a run directory keeps it: checked, with its digest and absolute paths.
        from fly64dask.store import read_document

        return read_document(path, Study, remedy="give the study's TOML file")
    return Study.from_toml(path)


def without_links(path: Path) -> Path:
    """Absolute path; unlike Path.resolve, one of a loop of links too, for its opener to refuse."""
    return Path(os.path.realpath(path))


def from_here(path: Path) -> Path:
    """A path as people like to read it: relative where it lies below the directory that they are in."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def rows_json(rows: Any) -> list[dict[str, Any]]:
    """Records as JSON objects, without what they do not know."""
    return [row.model_dump(mode="json", exclude_none=True) for row in rows]


def print_json(document: object) -> None:
    """Print one JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))
