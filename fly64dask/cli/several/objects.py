"""The commands `push` and `pull`: copy what a run has committed to an object store, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fly64dask.base import counted
from fly64dask.cli.options import example, from_here, run_argument

if TYPE_CHECKING:
    from fly64dask.runs import Copied
    from fly64dask.store import RunLayout


@click.command(epilog=example("fly64dask push runs/demo s3://my-bucket/runs/demo"))
@run_argument
@click.argument("url", metavar="URL")
def push(layout: RunLayout, url: str) -> None:
    """Copy the committed cells of a run to an object store.

    The same command again adds new ones or continues the copy. URL is s3://BUCKET/FOLDER of this run alone (gs:// and
    az:// as obstore has them). Exposures, cells and tables are copied, each as a whole, and every byte is checked
    before it is sent. The run may be running. Credentials and the place of the store come from the environment
    variables of the store, for S3 AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL.
    """
    from fly64dask.runs import push_run

    copied = push_run(layout.root, url, say=click.echo)
    _print_copied(copied, f"pushed to {url}")


@click.command(epilog=example("fly64dask pull s3://my-bucket/runs/demo runs/demo && fly64dask report runs/demo"))
@click.argument("url", metavar="URL")
@click.argument("directory", metavar="RUN", type=click.Path(file_okay=False, path_type=Path))
def pull(url: str, directory: Path) -> None:
    """Copy a run from an object store into a directory.

    Every byte is checked. The run can then be read or continued. RUN is a new directory, or one that has the same
    study's run: what is there stays, and what is new at the store is added. `fly64dask run` then continues the run as
    on the machine that pushed it; cells that had not ended start again.
    """
    from fly64dask.runs import pull_run

    copied = pull_run(url, directory, say=click.echo)
    _print_copied(copied, f"pulled into {from_here(directory.absolute())}")


def _print_copied(copied: Copied, done: str) -> None:
    for words in copied.left_out:
        click.secho(f"left out {words}", fg="yellow", err=True)
    click.echo(
        f"{done}: {counted(copied.n_attempts, 'new attempt')} at cells, "
        f"{counted(copied.n_attempts_there, 'was', 'were')} there"
    )
