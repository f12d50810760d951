"""The command `export`: an ingested store, or exposures of a run, become an NPZ file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import click

from fly64dask.base import InputError
from fly64dask.cli.options import DoseType, example, without_links
from fly64dask.study import SPLIT_NAMES, Cell, Dose, Split, realisation_of

Axis = TypeVar("Axis", bound=str | int | None)


@click.command(epilog=example("fly64dask export runs/demo --dose 1000 --split train --view dense --out dense.npz"))
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="NPZ to make."
)
@click.option("--dose", type=DoseType(), help="Dose of a run.")
@click.option("--split", type=click.Choice(SPLIT_NAMES), help="Split of a run that has several.")
@click.option("--view", help="Keep this view's exposures only.")
@click.option("--repeat", type=click.IntRange(min=0), help="Repeat of a run, from 0 [default: 0].")
@click.option("--recipe", metavar="NAME", help="Recipe of a run that has several, with --view.")
@click.option("--object", "object_seed", type=int, metavar="SEED", help="Object of a run that has several.")
@click.option("--with-truth", is_flag=True, help="objectGuess is the simulation's true object, not an empty one.")
def export(
    store: Path,
    out: Path,
    dose: Dose | None,
    split: Split | None,
    view: str | None,
    repeat: int | None,
    recipe: str | None,
    object_seed: int | None,
    with_truth: bool,
) -> None:
    """Write a DATA-001 NPZ from an ingested STORE, or from one dose and split of a run."""
    from fly64dask.datasets.export import export_scan
    from fly64dask.records import read_kept_group, read_run_study
    from fly64dask.store import RunLayout

    layout, npz = RunLayout(without_links(store)), without_links(out)
    if not layout.store.is_dir():
        if with_truth or any(value is not None for value in (dose, split, view, repeat, recipe, object_seed)):
            raise InputError(
                f"export {store}: --dose, --split, --view, --repeat, --recipe, --object, --with-truth choose from a "
                "run; this is none",
                remedy="give a run directory, or an ingested store without them",
            )
        n_exposures = export_scan(layout.root, npz)
    elif dose is None:
        raise InputError(f"export {store}: a run holds several scans", remedy="give --dose and --split")
    else:
        study = read_run_study(layout)
        if study.dose_by != "exposure" and not view:
            raise InputError(
                f"export {store}: doses count by {study.dose_by}, so that exposures are for one view",
                remedy="give --view",
            )
        cell = Cell(
            dose=dose,
            view=view or study.views[0].name,
            split=_one_of(study.splits, split, "split", is_needed=True),
            repeat=repeat or 0,
            recipe_name=_one_of(study.recipe_names, recipe, "recipe", is_needed=view is not None),
            object_seed=_one_of(study.object_seeds, object_seed, "object", is_needed=True),
        )
        n_exposures = export_scan(
            layout.exposure_group(*realisation_of(study, cell)),
            npz,
            # As the cell's reconstruction had them, if a remedy changed the spacing.
            view_group=read_kept_group(layout, cell) if view else None,
            truth_group=layout.truth_group(cell.object_seed) if with_truth else None,
        )
    click.echo(f"{click.format_filename(out)}: {n_exposures} exposures")


def _one_of(several: Sequence[Axis], chosen: str | int | None, axis: str, *, is_needed: bool) -> Axis:
    """Take the chosen split, recipe or object of a run, or its only one; the first where it does not matter."""
    wanted = [each for each in several if each == chosen]
    if wanted:
        return wanted[0]
    if chosen is None and (len(several) == 1 or not is_needed):
        return several[0]
    there = ", ".join(str(each) for each in several if each is not None) or f"one {axis} alone"
    raise InputError(
        f"export: the run has {there}, found {'no ' if chosen is None else ''}--{axis} {chosen or ''}".rstrip(),
        remedy=f"give --{axis} with one of them" if several[0] is not None else f"leave --{axis} out",
    )
