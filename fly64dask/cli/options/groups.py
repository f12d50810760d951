"""Groups of options, which a command gets as one value, or which its help lists under a heading."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click


def example(*commands: str) -> str:
    """Write the epilog of a help page; the backspace keeps click from joining its lines."""
    return "\n  ".join((f"\b\nExample{'s' if len(commands) > 1 else ''}:", *commands))


Command = Callable[..., None]
Decorator = Callable[[Command], Command]


def options_as(keyword: str, make: Callable[..., object], *options: Decorator) -> Decorator:
    """Join options, in the order of the help, to one decorator; its command gets one value made of them, by keyword.

    The parameters of `make` have the names of the options.
    """
    names = tuple(inspect.signature(make).parameters)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_one_value(**values: Any) -> None:
            value = make(**{name: values.pop(name) for name in names})
            command(**values, **{keyword: value})

        decorated: Command = with_one_value
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


class SectionedCommand(click.Command):
    """A command whose help lists its options under headings.

    Parameters
    ----------
    sections : dict of str to sequence of decorators
        Options by heading; all others come before them.
    """

    def __init__(self, *arguments: Any, sections: Mapping[str, Sequence[Decorator]], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._heading_of = {name: heading for heading, options in sections.items() for name in _names_of(options)}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, under their headings."""
        rows: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if row is not None:
                rows.setdefault(self._heading_of.get(str(parameter.name), "Options"), []).append(row)
        for heading, options in rows.items():
            with formatter.section(heading):
                formatter.write_dl(options)


class SectionedGroup(click.Group):
    """A group of commands whose help lists them under headings, each with its whole first sentence.

    Parameters
    ----------
    sections : dict of str to sequence of commands
        Commands by heading.
    """

    def __init__(self, *arguments: Any, sections: Mapping[str, Sequence[click.Command]], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._sections = sections
        for command in (command for commands in sections.values() for command in commands):
            self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, under their headings."""
        width = max(map(len, self.commands))
        for heading, commands in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(f"{command.name:<{width}}", command.get_short_help_str(limit=1000)) for command in commands]
                )


def _names_of(options: Sequence[Decorator]) -> list[str]:
    """Name the parameters that decorators add to a command."""

    def command() -> None: ...

    decorated: Command = command
    for option in options:
        decorated = option(decorated)
    return [str(parameter.name) for parameter in click.command()(decorated).params]
