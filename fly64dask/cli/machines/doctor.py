"""The command `doctor`: checks that this machine can run studies."""

from __future__ import annotations

import sys

import click

from fly64dask.base import leave_thoroughly
from fly64dask.cli.options import EXIT_FAILED, example, json_option, print_json


@click.command(epilog=example("fly64dask doctor --json"))
@json_option
def doctor(as_json: bool) -> None:
    """Check that this machine can run studies.

    It looks at versions, torch, the GPU, pty-chi, Zarr and ports.
    """
    from fly64dask.deploy import examine

    leave_thoroughly()  # torch is loaded here, and triton with it
    checks = examine()
    if as_json:
        print_json({"checks": [check.model_dump() for check in checks]})
    else:
        for check in checks:
            click.secho(f"{check.state:<7}", fg="green" if check.state == "ok" else "red", nl=False)
            click.echo(f"{check.name}: {check.found}")
    if any(check.state == "failed" for check in checks):
        sys.exit(EXIT_FAILED)
