"""The command `ingest`: a scan file of another program becomes a store."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.cli.options import SectionedCommand, example, json_option, print_json, without_links
from fly64dask.cli.scans.orient import ignore_trial, print_advice, print_trial, trials_document, try_store
from fly64dask.cli.scans.reading import FORMATS, SECTIONS, reading_options
from fly64dask.cli.scans.summary import scan_lines
from fly64dask.cli.scans.treatment import treatment_options

if TYPE_CHECKING:
    from fly64dask.datasets.ingest import IngestOptions


@click.command(
    cls=SectionedCommand,
    sections=SECTIONS | {"What is done with the scan": [treatment_options]},
    epilog=FORMATS + example("fly64dask ingest patterns.h5 --positions product.h5 --out runs/scan.zarr"),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, metavar="STORE", type=click.Path(path_type=Path), help="Zarr store to make.")
@reading_options
@treatment_options
@click.option(
    "--check-orientation", is_flag=True, help="Then try the eight orientations of the scan's axes, as `orient` does."
)
@json_option
def ingest(
    file: Path,
    out: Path,
    treatment: IngestOptions,
    check_orientation: bool,
    as_json: bool,
    beamline: Path | None,
    **reading: Any,
) -> None:
    """Read a scan from FILE into a Zarr store.

    The format is recognised by the content of the file. If patterns and positions are in two files, give either one
    as FILE and the other with --positions. The patterns are read in blocks. All problems of the scan are reported
    together, with what to do about each, and then nothing is written.
    """
    from fly64dask.cli.terminal import IngestDisplay, make_console
    from fly64dask.datasets.formats import read_options
    from fly64dask.datasets.ingest import ingest_file

    with IngestDisplay(make_console(stderr=True)) as display:
        stored = ingest_file(
            file, without_links(out), read_options(beamline, reading), treatment, on_progress=display.show
        )
    if as_json:
        document = stored.model_dump(mode="json", exclude={"legacy_metadata"}, exclude_none=True)
        if check_orientation:
            document["orientation"] = trials_document(try_store(without_links(out), notify=ignore_trial))
        print_json({"store": str(out), **document})
        return
    click.echo("\n  ".join([f"{click.format_filename(out)}:", *scan_lines(stored)]))
    if check_orientation:
        print_advice(try_store(without_links(out), notify=print_trial))
    click.echo(f"next: fly64dask new mine.toml --scan {shlex.quote(click.format_filename(out))}")
