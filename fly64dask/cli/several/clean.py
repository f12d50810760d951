"""The command `clean`: deletes files of runs that can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.base import InputError, counted
from fly64dask.cli.options import (
    bytes_words,
    example,
    from_here,
    json_option,
    places_argument,
    print_json,
    without_links,
)
from fly64dask.store import RunLayout, holder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fly64dask.runs import CleanedKind, Cleaning

KINDS: tuple[CleanedKind, ...] = ("exposures", "checkpoints", "history")


@click.command(epilog=example("fly64dask clean runs/demo runs/old --only exposures --yes"))
@places_argument
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
    places: tuple[Path | str, ...], kinds: tuple[CleanedKind, ...], unfinished: bool, yes: bool, as_json: bool
) -> None:
    """Delete files of runs that can be made again or are not needed any more. A running run is refused.

    \b
    exposures    photon counts that the study draws or thins again, byte for byte
    checkpoints  states from which killed cells of an earlier study would continue
    history      arrays and logs of attempts that later ones have replaced; their records stay

    Exposures are kept if the source's file is gone, if the study would draw others, or if cells have not ended.
    Reconstructions, records and tables always stay, so that `status`, `table` and `limits` give the same as before.
    `report` lacks the pictures of objects, and `verify` says what was freed, until `fly64dask run` on the directory has
    made the exposures again; it runs no finished cell again. Of a run at an object store, its cache on this machine is
    cleaned too.
    """  # noqa: D301
    documents = []
    for place in _checked(places):
        for run, cleanings in _cleaned(place, kinds or KINDS, unfinished=unfinished, yes=yes):
            documents.append(_document(run, cleanings, is_freed=yes))
            if not as_json:
                _print_cleanings(run, cleanings, is_freed=yes)
    if as_json:
        print_json({"runs": documents})
    elif not yes:
        click.echo("nothing was changed; add --yes to free it")


def _checked(places: Sequence[Path | str]) -> list[RunLayout | str]:
    """Refuse what is no run or damaged, before any is cleaned."""
    from fly64dask.records import read_run_study
    from fly64dask.runs import cached_study

    found: list[RunLayout | str] = []
    for place in places:
        layout = RunLayout(without_links(place)) if isinstance(place, Path) else cached_study(place)
        read_run_study(layout)
        found.append(layout if isinstance(place, Path) else place)
    return found


def _cleaned(
    place: RunLayout | str, kinds: Sequence[CleanedKind], *, unfinished: bool, yes: bool
) -> list[tuple[Path | str, Sequence[Cleaning]]]:
    """Clean a run, or say what that would do; gives it for its directory, or for its URL and its cache."""
    from fly64dask.records import read_run_study
    from fly64dask.runs import clean_at_store, clean_run, plan_cleaning, plan_cleaning_at_store

    if isinstance(place, str):
        done = (clean_at_store if yes else plan_cleaning_at_store)(place, kinds, unfinished=unfinished)
        return [(place, done.at_store), (done.cache.root, done.in_cache)]
    holder = holder_of(place)
    if holder is not None:
        raise InputError(
            f"clean {place.root}: another run is using it ({holder})", remedy="wait for it, or stop that process"
        )
    act = clean_run if yes else plan_cleaning
    return [(place.root, act(read_run_study(place), place, kinds, unfinished=unfinished))]


def _print_cleanings(run: Path | str, cleanings: Sequence[Cleaning], *, is_freed: bool) -> None:
    click.echo(f"{from_here(run) if isinstance(run, Path) else run}:")
    verb = "freed" if is_freed else "to free"
    for cleaning in cleanings:
        freed = cleaning.freed
        click.echo(f"  {cleaning.kind:<12}{verb} {bytes_words(freed.n_bytes)} in {counted(freed.n_files, 'file')}")
        for reason, usage in cleaning.kept.items():
            click.echo(f"  {'':<12}kept {bytes_words(usage.n_bytes)}: {reason}")


def _document(run: Path | str, cleanings: Sequence[Cleaning], *, is_freed: bool) -> dict[str, Any]:
    return {
        "run": str(run),
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
