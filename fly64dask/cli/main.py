"""The command line: its commands, logging and exit codes."""

from __future__ import annotations

import gc
import logging
import sys
from contextlib import suppress
from typing import NoReturn

import click

from fly64dask import __version__
from fly64dask.base import BAD_DEVICE, NO_SPACE, Fly64Error, how_to_install, leave_quickly
from fly64dask.cli.compare import compare
from fly64dask.cli.completion import completion
from fly64dask.cli.limits import limits
from fly64dask.cli.machines.doctor import doctor
from fly64dask.cli.machines.worker import worker
from fly64dask.cli.new import new
from fly64dask.cli.options import EXIT_BAD_INPUT, SectionedGroup, print_in_any_encoding
from fly64dask.cli.report import report, table
from fly64dask.cli.rerun import rerun
from fly64dask.cli.run import run
from fly64dask.cli.scans.export import export
from fly64dask.cli.scans.ingest import ingest
from fly64dask.cli.scans.orient import orient
from fly64dask.cli.scans.probe import probe
from fly64dask.cli.schema import glossary, schema
from fly64dask.cli.several.clean import clean
from fly64dask.cli.several.merge import merge
from fly64dask.cli.several.objects import pull, push
from fly64dask.cli.several.runs import runs
from fly64dask.cli.signals import EXIT_INTERRUPTED
from fly64dask.cli.slurm import attach, cancel, submit
from fly64dask.cli.status import status
from fly64dask.cli.verify import verify

# Commands by what a person wants to do, in the order of the help.
COMMANDS = {
    "A study and its run": (new, run, status, limits, report, table),
    "Cells to try again, check or compare": (rerun, verify, compare),
    "Measured scans and other programs": (ingest, orient, probe, export),
    "Many runs": (runs, clean, merge, push, pull),
    "Clusters and other machines": (submit, attach, cancel, worker),
    "This program": (doctor, glossary, schema, completion),
}


@click.group(
    cls=SectionedGroup,
    sections=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="`fly64dask glossary` explains cell, view, split, dose and the other terms.",
)
@click.version_option(__version__, prog_name="fly64dask")
@click.option("-v", "--verbose", is_flag=True, help="Log each change of state to standard error.")
def cli(verbose: bool) -> None:
    """Run a matrix of ptychographic reconstructions over dose, view and split, to find how low dose and overlap can go.

    \b
    Exit codes: 0 all cells done, 1 a cell failed, 2 bad input, disk or cluster, 130 interrupted.
    """  # noqa: D301
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(asctime)s %(name)s %(message)s")


# Objects made until Python looks for garbage. With its own 700 it looks for 0.2 s while Dask and the like are loaded.
OBJECTS_BETWEEN_COLLECTIONS = 20_000


def main() -> NoReturn:
    """Run the command line and end the process; the only place that turns errors into exit codes."""
    leave_quickly()
    print_in_any_encoding()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    try:
        cli(standalone_mode=False)
    except Fly64Error as error:
        click.secho(f"fly64dask: {error}", fg="red", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except ModuleNotFoundError as error:
        missing = how_to_install(error)
        if missing is None:
            raise
        click.secho(f"fly64dask: {missing}", fg="red", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_BAD_INPUT)
    except OSError as error:
        if error.filename is not None or error.errno not in NO_SPACE | BAD_DEVICE:
            raise
        # Errors of the disk are named where they occur: this is one of the output, such as a log on a full disk.
        sys.stdout = None
        with suppress(OSError):
            remedy = "make space where the output goes, or print elsewhere"
            click.secho(f"fly64dask: print: {error.strerror}; {remedy}", fg="red", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        click.secho("fly64dask: interrupted; run the same command again to continue", fg="yellow", err=True)
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)
