"""The command `ingest`: a scan file of another program becomes a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fly64dask.cli.options import example, without_links


@click.command(epilog=example("fly64dask ingest scan.npz --out runs/scan.zarr --quantity amplitude"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, metavar="STORE", type=click.Path(path_type=Path), help="Zarr store to make.")
@click.option("--layout", type=click.Choice(["nhw", "hwn"]), help="Order of the patterns' axes.")
@click.option("--quantity", type=click.Choice(["amplitude", "intensity"]), help="What a pixel holds.")
@click.option("--zero-frequency", type=click.Choice(["centre", "corner"]), help="Where the direct beam is.")
@click.option("--photons-per-intensity", type=click.FloatRange(min=0, min_open=True), help="Scale to photon counts.")
@click.option("--allow-pickle", is_flag=True, help="Read pickled arrays, which runs code from the file.")
def ingest(file: Path, out: Path, **options: Any) -> None:
    """Read a scan file (DATA-001 or tike NPZ, also inside bzip2) into a Zarr store."""
    from fly64dask.datasets.formats import ReadOptions
    from fly64dask.datasets.ingest import ingest as read_into

    stored = read_into(file, without_links(out), ReadOptions(**options))
    click.echo(
        f"{click.format_filename(out)}: {stored.n_exposures} exposures, "
        f"{stored.mean_counts_photons:.6g} photons per exposure, brightest pixel {stored.brightest_count_photons}"
    )
