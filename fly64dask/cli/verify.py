"""The command `verify`: reads every byte of a run, and repairs what is damaged."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fly64dask.base import InputError
from fly64dask.cli.options import EXIT_FAILED, example, json_option, place_argument, print_json, without_links
from fly64dask.cli.signals import stoppable
from fly64dask.store import RunLayout
from fly64dask.study import Study

if TYPE_CHECKING:
    from rich.console import Console

    from fly64dask.runs import Damage


@click.command(epilog=example("fly64dask verify runs/demo"))
@place_argument
@click.option("--repair", is_flag=True, help="Make damaged parts again, and nothing else.")
@click.option("--workers", type=click.IntRange(min=1), help="With --repair: number of local worker processes.")
@json_option
def verify(run: Path | str, repair: bool, workers: int | None, as_json: bool) -> None:
    """Check every stored byte of a run or of an ingested store.

    Every array, record and table is read. The exit code is 1 if anything is damaged. Cells that do not belong to the
    study as it is now are named too. They are not damage; run the study to renew them.
    """
    from fly64dask.records import read_run_study
    from fly64dask.runs import verify_run

    if isinstance(run, str):
        _verify_at_store(run, repair=repair, workers=workers, as_json=as_json)
        return
    layout = RunLayout(without_links(run))
    if _is_ingested(layout):
        _verify_store(layout.root, repair=repair, as_json=as_json)
        return
    study = read_run_study(layout)
    damages = verify_run(study, layout)
    if damages and repair:
        damages = _repair(study, layout, damages, workers)
    _show_damages(study, layout, damages, as_json=as_json)


def _show_damages(
    study: Study, layout: RunLayout, damages: Sequence[Damage], url: str | None = None, *, as_json: bool
) -> None:
    """Say what is damaged, and end with exit code 1 if anything is."""
    from fly64dask.records import each_completed_row, read_cleaned

    outdated = {row.cell.name: row.outdated for row in each_completed_row(study, layout) if row.outdated}
    cleaned = read_cleaned(layout)
    if as_json:
        of_clean = {"cleaned": cleaned.model_dump(mode="json")} if cleaned else {}
        print_json({"damaged": [damage.model_dump() for damage in damages], "outdated": outdated, **of_clean})
    else:
        for damage in damages:
            click.secho(f"damaged {damage.path}: {damage.problem}", fg="red")
        for name, words in outdated.items():
            click.secho(f"not of the study as it is now, {name}: {words}", fg="yellow")
        if cleaned:
            click.echo(cleaned.words(layout, url))
        click.echo(f"{len(damages)} damaged" + (f", {len(outdated)} not of the study as it is now" if outdated else ""))
    if damages:
        sys.exit(EXIT_FAILED)


def _is_ingested(layout: RunLayout) -> bool:
    """Tell whether the path is a Zarr group and not a run."""
    return not layout.store.is_dir() and (layout.root / "zarr.json").is_file()


def _verify_store(store: Path, *, repair: bool, as_json: bool) -> None:
    """Check an ingested store, which can only be made again from its file."""
    from fly64dask.datasets.ingest import damages_of_store

    if repair:
        raise InputError(
            f"verify {store}: an ingested store cannot be repaired here",
            remedy="ingest its file again, without --repair",
        )
    damages = [*damages_of_store(store)]
    if as_json:
        print_json({"damaged": [{"path": path, "problem": problem} for path, problem in damages], "outdated": {}})
    else:
        for path, problem in damages:
            click.secho(f"damaged {path}: {problem}", fg="red")
        click.echo(f"{len(damages)} damaged")
    if damages:
        sys.exit(EXIT_FAILED)


def _verify_at_store(url: str, *, repair: bool, workers: int | None, as_json: bool) -> None:
    """Check all objects of a run, and check again after a repair."""
    from fly64dask.records import read_run_study
    from fly64dask.runs import fetched_run

    with fetched_run(url) as (layout, damages):
        study = read_run_study(layout)
        if not (damages and repair):
            _show_damages(study, layout, damages, url, as_json=as_json)
            return
        _repair_at_store(study, url, layout, damages, workers)
    with fetched_run(url) as (layout, damages):
        _show_damages(study, layout, damages, url, as_json=as_json)


def _repair_at_store(study: Study, url: str, layout: RunLayout, damages: Sequence[Damage], workers: int | None) -> None:
    from fly64dask.cli.terminal import RunDisplay
    from fly64dask.deploy import Placement
    from fly64dask.runs import damaged_cells, repair_at_store

    console = _list_damages(damages)
    with stoppable(), RunDisplay(console, len(damaged_cells(study, layout, damages))) as display:
        placement = Placement(n_workers=workers)
        repair_at_store(study, url, layout, damages, placement, notify=display.show, say=display.say)


def _list_damages(damages: Sequence[Damage]) -> Console:
    """List on standard error what is to be repaired; returns the console for it."""
    from fly64dask.cli.terminal import make_console

    console = make_console(stderr=True)
    for damage in damages:
        console.print(f"damaged {damage.path}: {damage.problem}", style="yellow", soft_wrap=True, markup=False)
    return console


def _repair(study: Study, layout: RunLayout, damages: Sequence[Damage], workers: int | None) -> tuple[Damage, ...]:
    """Repair a run; returns what is still damaged."""
    from fly64dask.cli.terminal import RunDisplay
    from fly64dask.deploy import Placement
    from fly64dask.runs import damaged_cells, repair_run, verify_run

    console = _list_damages(damages)
    with stoppable(), RunDisplay(console, len(damaged_cells(study, layout, damages))) as display:
        repair_run(study, layout, damages, Placement(n_workers=workers), notify=display.show, say=display.say)
    return verify_run(study, layout)
