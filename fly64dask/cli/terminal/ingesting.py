"""Shows the progress of reading a file: a bar with the rate on a terminal, nothing elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class IngestDisplay:
    """Draws a bar of the exposures that are done, on standard error, apart from results."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("exposures", total=None, rate="")

    def __enter__(self) -> IngestDisplay:
        """Start drawing."""
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop drawing."""
        self._bar.stop()

    def show(self, n_done: int, n_all: int, n_bytes: int) -> None:
        """Draw how many exposures are done, and how fast their values are read; a second pass starts from 0."""
        seconds = self._bar.tasks[0].elapsed or 0.0
        rate = f"{n_bytes / seconds / 1e6:.0f} MB/s" if seconds > 0.2 else ""
        self._bar.update(self._task, completed=n_done, total=n_all, rate=rate)
