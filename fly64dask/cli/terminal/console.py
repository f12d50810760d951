"""The console on which commands draw, and lines for it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text


def make_console(*, stderr: bool = False) -> Console:
    """Make the console of this terminal; without a terminal it has 120 columns, so that tables stay whole."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=120)


def print_lines(console: Console, lines: Iterable[str | Text]) -> None:
    """Print whole lines, of which long ones go on in the next row; in a str nothing is taken for markup."""
    for line in lines:
        console.print(Text(line) if isinstance(line, str) else line, soft_wrap=True)


def line_about(name: str, *parts: str | tuple[str, str]) -> Text:
    """Make a line that begins with a name in bold; each part is text, or text and its style."""
    return Text.assemble((f"{name} ", "bold"), *parts)


def number_text(value: float | None, form: str) -> str:
    """Format a number; a dash for None."""
    return "-" if value is None else format(value, form)
