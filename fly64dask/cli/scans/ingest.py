"""The command `ingest`: a scan file of another program becomes a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.cli.options import example, json_option, print_json, without_links
from fly64dask.cli.scans.summary import scan_lines
from fly64dask.cli.scans.wishes import wish_options

if TYPE_CHECKING:
    from fly64dask.datasets.ingest import IngestOptions


@click.command(epilog=example("fly64dask ingest scan.npz --out runs/scan.zarr --quantity amplitude"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, metavar="STORE", type=click.Path(path_type=Path), help="Zarr store to make.")
@click.option("--layout", type=click.Choice(["nhw", "hwn"]), help="Order of the patterns' axes.")
@click.option("--quantity", type=click.Choice(["amplitude", "intensity"]), help="What a pixel holds.")
@click.option("--zero-frequency", type=click.Choice(["centre", "corner"]), help="Where the direct beam is.")
@click.option("--photons-per-intensity", type=click.FloatRange(min=0, min_open=True), help="Scale to photon counts.")
@click.option("--allow-pickle", is_flag=True, help="Read pickled arrays, which runs code from the file.")
@wish_options
@json_option
def ingest(file: Path, out: Path, wishes: IngestOptions, as_json: bool, **options: Any) -> None:
    """Read a scan file (DATA-001 or tike NPZ, also inside bzip2) into a Zarr store.

    The patterns are read in blocks. All that is against the scan is said at once, with what to do; then nothing is
    written.
    """
    from fly64dask.cli.terminal.console import make_console
    from fly64dask.cli.terminal.ingesting import IngestDisplay
    from fly64dask.datasets.formats import ReadOptions
    from fly64dask.datasets.ingest import ingest as read_into

    with IngestDisplay(make_console(stderr=True)) as display:
        stored = read_into(file, without_links(out), ReadOptions(**options), wishes, on_progress=display.show)
    if as_json:
        print_json(
            {"store": str(out), **stored.model_dump(mode="json", exclude={"legacy_metadata"}, exclude_none=True)}
        )
        return
    click.echo("\n  ".join([f"{click.format_filename(out)}:", *scan_lines(stored)]))
