"""The command `merge`: joins the cells of several runs of one study in a new run."""

from __future__ import annotations

from pathlib import Path

import click

from fly64dask.cli.options import DirectoryType, example, from_here, places_argument


@click.command(epilog=example("fly64dask merge runs/low runs/high --out runs/both && fly64dask report runs/both"))
@places_argument
@click.option(
    "--out",
    required=True,
    metavar="NEW",
    type=DirectoryType(file_okay=False, path_type=Path),
    help="The new run directory; it must not exist, or be empty.",
)
@click.option("--first-wins", is_flag=True, help="If a cell has different results, take those of the run named first.")
def merge(places: tuple[Path | str, ...], out: Path, first_wins: bool) -> None:
    """Join several runs of one study into a new run.

    The runs have other doses, or are from other machines. The studies may differ in doses, number of repeats and
    device, and in the places of their files. Any other difference is named and refused, and so are cells with different
    results in several runs: a cell's key and the digests of its arrays must agree. If a cell failed in one run and was
    completed in another, the completed one is taken. Everything is copied, and every byte is checked. The runs stay as
    they are. None of them may be running, except those at an object store, of which the cells committed by then are
    taken.
    """
    from fly64dask.runs import merge_runs

    run = merge_runs(places, out, first_wins=first_wins, say=click.echo)
    counts = ", ".join(f"{number} {state}" for state, number in run.counts.items())
    click.echo(f"merged: {from_here(run.layout.root)}, {counts}")
