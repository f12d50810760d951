"""The command `new`: writes a study file, from a template or for a measured scan."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from fly64dask.base import InputError
from fly64dask.cli.options import example, from_here
from fly64dask.cli.scans.summary import scan_lines
from fly64dask.runs.new_study import TEMPLATES
from fly64dask.study import Study


@click.command(epilog=example("fly64dask new mine.toml --scan scan.zarr"))
@click.argument("study_file", metavar="STUDY", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--template", type=click.Choice(TEMPLATES), help="Study to start from [default: demo].")
@click.option(
    "--scan",
    metavar="STORE",
    type=click.Path(exists=True, path_type=Path),
    help="An ingested scan, instead of a template: doses, views, split and batch size are computed from it.",
)
def new(study_file: Path, template: str | None, scan: Path | None) -> None:
    """Write a study file with comments to start from. An existing file is never replaced.

    The templates are studies of simulated scans, except `star`, which is a study of a measured one. A study made with
    --scan has lower doses as fractions of the measured photons, and views whose spacings suit the step and the probe of
    the scan.
    """
    from fly64dask.runs.new_study import new_study, new_study_of_scan

    if scan is None:
        study = new_study(study_file, template or "demo")
    elif template is None:
        study = new_study_of_scan(study_file, scan, about=_about(scan))
    else:
        raise InputError(
            "new: found both --template and --scan, and each alone makes a study", remedy="give one of them"
        )
    click.echo(f"study: {from_here(study_file)}")
    for step in _next_steps(study_file, study):
        click.echo(step)


def _about(scan: Path) -> list[str]:
    from fly64dask.store import ExposureAttributes, open_group

    return [*scan_lines(open_group(scan, ExposureAttributes).attributes)] if scan.is_dir() else []


def _next_steps(study_file: Path, study: Study) -> list[str]:
    """Give the commands that come next."""
    run = shlex.join(["fly64dask", "run", str(study_file), "--out", f"runs/{study.name}"])
    steps = [f"look:  {run} --dry-run", f"run:   {run} --report"]
    if study.source.kind == "measured" and not Path(study.source.path).exists():
        steps.insert(0, f"first: fly64dask ingest FILE --out {shlex.quote(str(from_here(Path(study.source.path))))}")
    return steps
