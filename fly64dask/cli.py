"""Command line -> one call into the package, text for people or JSON for scripts, an exit code."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fly64dask import __version__
from fly64dask.errors import Fly64Error, InputError
from fly64dask.interrupt import EXIT_INTERRUPTED, stoppable
from fly64dask.study import Filters, Frozen, Recipe, Study, cells, skip_reasons
from fly64dask.study_toml import parse_study

if TYPE_CHECKING:
    from fly64dask.cluster import Placement
    from fly64dask.layout import RunLayout
    from fly64dask.verify import Damage

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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="fly64dask")
@click.option("-v", "--verbose", is_flag=True, help="Log each change of state to standard error.")
def cli(verbose: bool) -> None:
    r"""Run the dose x view x split matrix of a ptychography study.

    \b
    Exit codes: 0 all cells done, 1 a cell failed, 2 bad input, disk or cluster, 130 interrupted.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(asctime)s %(name)s %(message)s")


@cli.command(epilog=example("fly64dask run data/demo.toml --out runs/demo --view sparse --dry-run"))
@click.argument("study_file", metavar="STUDY", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    required=True,
    metavar="RUN",
    type=click.Path(file_okay=False, path_type=Path),
    help="Run directory: made, or continued.",
)
@click.option("--dose", multiple=True, type=DoseType(), help="Only this dose; repeatable.")
@click.option("--view", multiple=True, help="Only this view; repeatable.")
@click.option("--split", multiple=True, type=click.Choice(["train", "test"]), help="Only this split; repeatable.")
@click.option("--gridsize", multiple=True, type=int, help="1: baseline views, 2: spacing views; repeatable.")
@click.option("--dry-run", is_flag=True, help="Select and predict, run nothing.")
@click.option("--allow-missing", is_flag=True, help="Cells that cannot be selected do not turn the exit code.")
@click.option("--workers", type=click.IntRange(min=1), help="Local worker processes [default: one a GPU, or a core].")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Instead of the recipe's.")
@click.option("--cluster", default="local", show_default=True, metavar="local|ADDRESS", help="Where cells run.")
@click.option(
    "--listen",
    default="127.0.0.1",
    show_default=True,
    metavar="HOST",
    help="Where the local cluster listens; beyond loopback with TLS, for workers of other machines.",
)
@click.option(
    "--tls",
    "tls_directory",
    metavar="DIRECTORY",
    type=click.Path(path_type=Path),
    help="Certificates (ca.pem, cert.pem, key.pem) for a tls:// address, or of the local cluster.",
)
@click.option(
    "--insecure",
    is_flag=True,
    help="No TLS beyond loopback either: who reaches the cluster runs code as you and reads all of it.",
)
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one JSON document on standard output.")
def run(
    study_file: Path,
    out: Path,
    dose: tuple[Any, ...],
    view: tuple[str, ...],
    split: tuple[str, ...],
    gridsize: tuple[int, ...],
    dry_run: bool,
    allow_missing: bool,
    workers: int | None,
    device: str | None,
    cluster: str,
    as_json: bool,
    **access: Any,
) -> None:
    """Run a study's cells and write RUN/reconstruction_manifest.json.

    Run again to continue: cells whose record is committed are not run twice.
    """
    study = load_study(study_file)
    if device is not None:
        recipe = Recipe.model_validate(study.recipe.model_dump() | {"device": device})
        study = study.model_copy(update={"recipe": recipe})
    filters = Filters(dose=dose, view=view, split=split, gridsize=gridsize)
    if dry_run:
        _show_plan(study, filters, as_json=as_json)
        return
    if as_json:
        raise InputError("run --json goes with --dry-run", remedy="read the manifest, or use `status --json`")
    from fly64dask.access import Access
    from fly64dask.cluster import Placement

    placement = Placement(where=cluster, n_workers=workers, access=Access(**access))
    _run(study, filters, _without_links(out), placement, allow_missing=allow_missing)


@cli.command(epilog=example("fly64dask status runs/demo"))
@click.argument("run_directory", metavar="RUN", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def status(run_directory: Path, as_json: bool) -> None:
    """Show a run's matrix from its records on disk."""
    from fly64dask.layout import RunLayout
    from fly64dask.manifest import count_states
    from fly64dask.runs import read_rows, read_run_study

    layout = RunLayout(_without_links(run_directory))
    study = read_run_study(layout)
    rows = read_rows(layout, cells(study))
    if as_json:
        _print_json({"study": study.name, "states": count_states(study, rows), "cells": _rows_json(rows)})
        return
    from fly64dask.terminal import failure_lines, make_console, matrix_table

    console = make_console()
    console.print(matrix_table(study, rows))
    for line in failure_lines(rows):
        console.print(line, soft_wrap=True)


@cli.command(epilog=example("fly64dask verify runs/demo"))
@click.argument("run_directory", metavar="RUN", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--repair", is_flag=True, help="Make again what is damaged, and nothing else.")
@click.option("--workers", type=click.IntRange(min=1), help="With --repair: local worker processes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def verify(run_directory: Path, repair: bool, workers: int | None, as_json: bool) -> None:
    """Read every stored array, record and table; exit 1 if anything is damaged and stays so."""
    from fly64dask.layout import RunLayout
    from fly64dask.runs import read_run_study
    from fly64dask.verify import verify_run

    layout = RunLayout(_without_links(run_directory))
    study = read_run_study(layout)
    damages = verify_run(study, layout)
    if damages and repair:
        damages = _repair(study, layout, damages, workers)
    if as_json:
        _print_json({"damaged": [damage.model_dump() for damage in damages]})
    else:
        for damage in damages:
            click.secho(f"damaged {damage.path}: {damage.problem}", fg="red")
        click.echo(f"{len(damages)} damaged")
    if damages:
        sys.exit(EXIT_FAILED_CELL)


@cli.command(epilog=example("fly64dask ingest scan.npz --out runs/scan.zarr --quantity amplitude"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, metavar="STORE", type=click.Path(path_type=Path), help="Zarr store to make.")
@click.option("--layout", type=click.Choice(["nhw", "hwn"]), help="Order of the patterns' axes.")
@click.option("--quantity", type=click.Choice(["amplitude", "intensity"]), help="What a pixel holds.")
@click.option("--zero-frequency", type=click.Choice(["centre", "corner"]), help="Where the direct beam is.")
@click.option("--photons-per-intensity", type=click.FloatRange(min=0, min_open=True), help="Scale to photon counts.")
@click.option("--allow-pickle", is_flag=True, help="Read pickled arrays, which runs code from the file.")
def ingest(file: Path, out: Path, **options: Any) -> None:
    """Read a scan file (DATA-001 or tike NPZ, also inside bzip2) into a Zarr store."""
    from fly64dask.formats.raw import ReadOptions
    from fly64dask.formats.store import ingest as read_into

    found = read_into(file, _without_links(out), ReadOptions(**options))
    click.echo(
        f"{click.format_filename(out)}: {found.n_exposures} exposures, "
        f"{found.mean_counts_photons:.6g} photons per exposure, brightest pixel {found.brightest_count_photons}"
    )


@cli.command(epilog=example("fly64dask export runs/demo --dose 1000 --split train --view dense --out dense.npz"))
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="NPZ to make."
)
@click.option("--dose", type=DoseType(), help="Dose of a run.")
@click.option("--split", type=click.Choice(["train", "test"]), help="Split of a run.")
@click.option("--view", help="Keep this view's exposures only.")
@click.option("--with-truth", is_flag=True, help="objectGuess is the simulation's true object, not a flat one.")
def export(store: Path, out: Path, dose: Any, split: str | None, view: str | None, with_truth: bool) -> None:
    """Write a DATA-001 NPZ from an ingested STORE, or from one dose and split of a run."""
    from fly64dask.formats.store import export as write_npz
    from fly64dask.layout import RunLayout

    layout = RunLayout(_without_links(store))
    is_run = layout.store.is_dir()
    if is_run and (dose is None or split is None):
        raise InputError(f"export {store}: a run holds several scans", remedy="give --dose and --split")
    if not is_run and (dose is not None or split or view or with_truth):
        raise InputError(
            f"export {store}: --dose, --split, --view and --with-truth choose from a run, and this is none",
            remedy="give a run directory, or an ingested store without them",
        )
    n_exposures = write_npz(
        layout.exposure_group(dose, split) if is_run and split else layout.root,
        _without_links(out),
        view_group=layout.view_group(view, split) if view and split else None,
        truth_group=layout.truth_group if with_truth else None,
    )
    click.echo(f"{click.format_filename(out)}: {n_exposures} exposures")


@cli.command(epilog=example("fly64dask schema manifest > manifest.schema.json"))
@click.argument("document", type=click.Choice(["study", "manifest", "skip-summary", "record"]), default="study")
def schema(document: str) -> None:
    """Print the JSON schema of a study file or of a file in a run directory."""
    from fly64dask.documents import document_schema
    from fly64dask.manifest import Manifest, SkipSummary
    from fly64dask.record import CellRecord

    written: dict[str, type[Frozen]] = {"manifest": Manifest, "skip-summary": SkipSummary, "record": CellRecord}
    _print_json(document_schema(written[document]) if document in written else Study.model_json_schema())


@cli.command(epilog=example("fly64dask doctor --json"))
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def doctor(as_json: bool) -> None:
    """Check that this machine can run studies: versions, torch, GPU, pty-chi, Zarr, ports."""
    from fly64dask.doctor import examine

    checks = examine()
    if as_json:
        _print_json({"checks": [check.model_dump() for check in checks]})
    else:
        for check in checks:
            click.secho(f"{check.state:<7}", fg="green" if check.state == "ok" else "red", nl=False)
            click.echo(f"{check.name}: {check.found}")
    if any(check.state == "failed" for check in checks):
        sys.exit(EXIT_FAILED_CELL)


def load_study(path: Path) -> Study:
    """Read a study file, with the source's path taken from the file's own directory.

    Parameters
    ----------
    path : Path
        TOML file.

    Returns
    -------
    Study

    Raises
    ------
    InputError
        If it cannot be read or is not a study.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"read study {path}: {error}", remedy="give a TOML file in UTF-8") from error
    study = parse_study(text, origin=str(path))
    if study.source.kind == "synthetic":
        return study
    source = study.source.model_copy(update={"path": str(_without_links(path.parent / study.source.path))})
    return study.model_copy(update={"source": source})


def main() -> NoReturn:
    """Run the command line; the only place that turns errors into exit codes."""
    try:
        cli(standalone_mode=False)
    except Fly64Error as error:
        click.secho(f"fly64dask: {error}", fg="red", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        click.secho("fly64dask: interrupted; run the same command again to continue", fg="yellow", err=True)
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)


def _run(study: Study, filters: Filters, out: Path, placement: Placement, *, allow_missing: bool) -> None:
    from fly64dask.driver import run_study
    from fly64dask.layout import RunLayout
    from fly64dask.terminal import RunDisplay, failure_lines, make_console, matrix_table

    console = make_console(stderr=True)
    layout = RunLayout(out)
    left_out = skip_reasons(study, filters)
    n_wanted = len(cells(study)) - len(left_out)
    with stoppable(), _counted_when_stopped(study, layout), RunDisplay(console, n_wanted) as display:
        report = run_study(study, layout, filters, left_out, placement, notify=display.show, say=display.say)
    console.print(matrix_table(study, report.manifest.execution_results))
    for line in failure_lines(report.manifest.execution_results):
        console.print(line, soft_wrap=True)
    click.echo(f"manifest: {layout.manifest_file}")
    if report.n_failed(allow_missing=allow_missing):
        sys.exit(EXIT_FAILED_CELL)


@contextmanager
def _counted_when_stopped(study: Study, layout: RunLayout) -> Iterator[None]:
    """Say at an interrupt what is safe."""
    from fly64dask.manifest import count_states
    from fly64dask.runs import read_rows

    try:
        yield
    except KeyboardInterrupt:
        states = count_states(study, read_rows(layout, cells(study)))
        click.echo(f"on disk: {', '.join(f'{n} {state}' for state, n in states.items())}", err=True)
        raise


def _repair(study: Study, layout: RunLayout, damages: Sequence[Damage], workers: int | None) -> tuple[Damage, ...]:
    """Repair a run, and see what is damaged then."""
    from fly64dask.cluster import Placement
    from fly64dask.repair import damaged_cells, repair_run
    from fly64dask.terminal import RunDisplay, make_console
    from fly64dask.verify import verify_run

    console = make_console(stderr=True)
    for damage in damages:
        console.print(f"damaged {damage.path}: {damage.problem}", style="yellow", soft_wrap=True, markup=False)
    with stoppable(), RunDisplay(console, len(damaged_cells(study, layout, damages))) as display:
        repair_run(study, layout, damages, Placement(n_workers=workers), notify=display.show, say=display.say)
    return verify_run(study, layout)


def _show_plan(study: Study, filters: Filters, *, as_json: bool) -> None:
    from fly64dask.inputs import read_inputs
    from fly64dask.plan import plan_cells

    reasons = skip_reasons(study, filters)
    plan = plan_cells(study, read_inputs(study), [cell for cell in cells(study) if cell not in reasons])
    if as_json:
        _print_json({"study": study.name, "cells": _rows_json(plan)})
        return
    from fly64dask.terminal import make_console, plan_table

    make_console().print(plan_table(plan))


def _without_links(path: Path) -> Path:
    """Absolute path; unlike Path.resolve, one of a loop of links too, for its opener to refuse."""
    return Path(os.path.realpath(path))


def _rows_json(rows: Any) -> list[dict[str, Any]]:
    return [row.model_dump(mode="json", exclude_none=True) for row in rows]


def _print_json(document: object) -> None:
    click.echo(json.dumps(document, indent=2, allow_nan=False))
