"""The command `worker`: lets this machine compute cells of a run on another one."""

from __future__ import annotations

from pathlib import Path

import click

from fly64dask.cli.options import example


@click.command(epilog=example("fly64dask worker tls://192.0.2.17:40123 --tls /data/runs/fly64/.tls"))
@click.argument("address")
@click.option(
    "--tls",
    "tls_directory",
    metavar="DIRECTORY",
    type=click.Path(path_type=Path),
    help="Certificates (ca.pem, cert.pem, key.pem) for a tls:// address.",
)
@click.option("--insecure", is_flag=True, help="Connect without TLS to a scheduler on another machine.")
@click.option(
    "--workers",
    "n_workers",
    type=click.IntRange(min=1),
    help="Worker processes [default: one for each GPU, or for each core].",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu"]),
    default="auto",
    show_default=True,
    help="`cpu` leaves GPUs of this machine alone.",
)
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a scheduler that does not answer.",
)
def worker(
    address: str, tls_directory: Path | None, insecure: bool, n_workers: int | None, device: str, patience_s: float
) -> None:
    """Compute cells of runs at the scheduler ADDRESS.

    `run --listen` prints this command with an address. The worker ends when the scheduler ends. If the link is lost,
    the worker connects again as soon as the scheduler answers.
    """
    from fly64dask.deploy import Access, work_for

    work_for(
        address,
        access=Access(tls_directory=tls_directory, insecure=insecure),
        n_workers=n_workers,
        device=device,
        patience_s=patience_s,
        say=lambda line: click.echo(line, err=True),
    )
