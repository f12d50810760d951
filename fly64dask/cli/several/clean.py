"""The command `clean`: deletes files of runs that can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.base import InputError, counted
from fly64dask.cli.options import bytes_words, example, from_here, json_option, print_json, runs_argument, without_links
from fly64dask.store import RunLayout, holder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fly64dask.runs import CleanedKind, Cleaning

KINDS: tuple[CleanedKind, ...] = ("exposures", "checkpoints", "history")


@click.command(epilog=example("fly64dask clean runs/demo runs/old --only exposures --yes"))
@runs_argument
@click.option(
    "--only",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    help="Only this kind; repeatable [default: all three].",
)
@click.option("--unfinished", is_flag=True, help="Free also what cells that have not ended need to continue.")
@click.option(
    "--yes",
    is_flag=True,
    help="Free the space. Without --yes the command lists what it would delete, and changes nothing.",
)
@json_option
def clean(
    directories: tuple[Path, ...], kinds: tuple[CleanedKind, ...], unfinished: bool, yes: bool, as_json: bool
) -> None:
    """Delete files of runs that can be made again or are not needed any more. A running run is refused.

    \b
    exposures    photon counts that the study draws or thins again, byte for byte
    checkpoints  states from which killed cells of an earlier study would continue
    history      arrays and logs of attempts that later ones have replaced; their records stay

    Exposures are kept if the source's file is gone, if the study would draw others, or if cells have not ended.
    Reconstructions, records and tables always stay, so that `status`, `table` and `limits` give the same as before.
    `report` lacks the pictures of objects, and `verify` says what was freed, until `fly64dask run` on the directory has
    made the exposures again; it runs no finished cell again.
    """  # noqa: D301
    from fly64dask.records import read_run_study
    from fly64dask.runs import clean_run, plan_cleaning

    layouts = [RunLayout(without_links(path)) for path in directories]
    studies = {layout: read_run_study(layout) for layout in layouts}
    documents = []
    for layout, study in studies.items():
        holder = holder_of(layout)
        if holder is not None:
            raise InputError(
                f"clean {layout.root}: another run is using it ({holder})", remedy="wait for it, or stop that process"
            )
        act = clean_run if yes else plan_cleaning
        cleanings = act(study, layout, kinds or KINDS, unfinished=unfinished)
        documents.append(_document(layout, cleanings, is_freed=yes))
        if not as_json:
            _print_cleanings(layout, cleanings, is_freed=yes)
    if as_json:
        print_json({"runs": documents})
    elif not yes:
        click.echo("nothing was changed; add --yes to free it")


def _print_cleanings(layout: RunLayout, cleanings: Sequence[Cleaning], *, is_freed: bool) -> None:
    click.echo(f"{from_here(layout.root)}:")
    verb = "freed" if is_freed else "to free"
    for cleaning in cleanings:
        freed = cleaning.freed
        click.echo(f"  {cleaning.kind:<12}{verb} {bytes_words(freed.n_bytes)} in {counted(freed.n_files, 'file')}")
        for reason, usage in cleaning.kept.items():
            click.echo(f"  {'':<12}kept {bytes_words(usage.n_bytes)}: {reason}")


def _document(layout: RunLayout, cleanings: Sequence[Cleaning], *, is_freed: bool) -> dict[str, Any]:
    return {
        "run": str(layout.root),
        "freed": is_freed,
        "kinds": [
            {
                "kind": cleaning.kind,
                "n_bytes": cleaning.freed.n_bytes,
                "n_files": cleaning.freed.n_files,
                "kept": [{"reason": reason, "n_bytes": usage.n_bytes} for reason, usage in cleaning.kept.items()],
            }
            for cleaning in cleanings
        ],
    }
