"""The command `completion`: the script by which a shell completes commands, options and paths."""

from __future__ import annotations

import click

from fly64dask.cli.options import example

PROGRAM = "fly64dask"


@click.command(epilog=example('eval "$(fly64dask completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets a SHELL complete commands.

    It completes options, their values and paths as well.

    \b
    For each new shell, put this into its start file:
      bash   ~/.bashrc                    eval "$(fly64dask completion bash)"
      zsh    ~/.zshrc, after compinit     eval "$(fly64dask completion zsh)"
      fish   ~/.config/fish/config.fish   fly64dask completion fish | source
    """  # noqa: D301
    from click.shell_completion import get_completion_class

    completes = get_completion_class(shell)
    assert completes is not None, "click knows each of the choices"
    click.echo(completes(ctx.find_root().command, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source())
