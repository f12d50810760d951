"""Keeps one small file in the run for each running cell, up to date while it runs and removed once it has ended."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError

from fly64dask.base import host_name, repeated
from fly64dask.monitoring.loss_curve import with_loss
from fly64dask.store import RunLayout, replaced_file
from fly64dask.study import Cell, CellCoordinates

log = logging.getLogger(__name__)
# Least time between two writes (our choice): frequent enough for a person, rare enough for a file system.
WRITE_S = 1.0
# Time between two writes by which the supervising process shows that it is alive.
BEAT_S = 5.0
# Without a write for this long (three beats) the cell counts as silent: its worker may be dead.
SILENT_S = 15.0

Loss = Annotated[float, Field(allow_inf_nan=False)]


class LiveCell(CellCoordinates):
    """The progress of a running cell. It is for people only: nothing is decided by it."""

    schema_version: Literal[1] = 1
    attempt: int = Field(ge=1)
    run: str
    epoch: int = Field(default=0, ge=0)
    n_epochs: int = Field(ge=1)
    loss: Loss | None = None
    points: tuple[tuple[int, Loss], ...] = ()
    worker: str
    host: str
    pid: int
    started_at: AwareDatetime
    epoch_at: AwareDatetime | None = None
    waits: str | None = None  # why it waits for disk space
    updated_at: AwareDatetime

    def silent_s(self, now: datetime) -> float | None:
        """Return the seconds since its worker last wrote, if they are too many for a living worker; else None."""
        seconds = (now - self.updated_at).total_seconds()
        return seconds if seconds > SILENT_S else None


class LiveFile:
    """The file of one attempt at one cell, as its supervising process keeps it.

    Parameters
    ----------
    path : Path
        The file.
    beginning : LiveCell
        What is known before the first epoch.

    Notes
    -----
    Monitoring must not fail a cell: an error of the file system is logged once and then ignored.
    """

    def __init__(self, path: Path, beginning: LiveCell) -> None:
        self._path = path
        self._state = beginning
        self._written_s = 0.0
        self._refused = False
        self._lock = threading.Lock()

    def report(self, epoch: int, loss: float) -> None:
        """Note an epoch.

        Parameters
        ----------
        epoch : int
            Epochs done.
        loss : float
            Of this epoch; one that is not finite is left out.
        """
        points = with_loss(self._state.points, epoch, loss)
        last = points[-1][1] if points and points[-1][0] == epoch else None
        with self._lock:
            self._state = self._state.model_copy(
                update={"epoch": epoch, "loss": last, "points": points, "epoch_at": datetime.now(UTC)}
            )
            if time.monotonic() - self._written_s >= WRITE_S:
                self._write()

    def beat(self) -> None:
        """Show that the cell is still supervised."""
        with self._lock:
            self._write()

    def remove(self) -> None:
        """Remove the file, unless another attempt has put its own there."""
        on_disk = _read(self._path)
        ours = self._state
        if on_disk is None or (on_disk.run, on_disk.host, on_disk.pid) == (ours.run, ours.host, ours.pid):
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        """Replace the file in one step, without syncing it: it is worth nothing after a power cut."""
        self._written_s = time.monotonic()
        state = self._state.model_copy(update={"updated_at": datetime.now(UTC)})
        try:
            with replaced_file(self._path) as draft:
                draft.write_text(state.model_dump_json(exclude_none=True), encoding="utf-8")
        except OSError as error:
            if not self._refused:
                log.warning("cell=%s live file cannot be written: %s", state.cell.name, error)
            self._refused = True


@contextmanager
def live_file(
    layout: RunLayout, cell: Cell, *, attempt: int, run: str, n_epochs: int, worker: str, waits: str | None = None
) -> Iterator[LiveFile]:
    """Keep a cell's live file for as long as the block lasts.

    Parameters
    ----------
    layout : RunLayout
        The run.
    cell : Cell
        One of its cells.
    attempt : int
        The attempt's number.
    run : str
        Token of the run.
    n_epochs : int
        Epochs that the recipe asks for.
    worker : str
        Name of the Dask worker.
    waits : str, optional
        Why the cell waits for disk space, if it does.

    Yields
    ------
    LiveFile
        The file, written at once and then regularly; its `report` is to be called with each epoch.

    Notes
    -----
    A thread writes it, because loading the engine, or hashing a large input, blocks the supervising thread for seconds.
    """
    now = datetime.now(UTC)
    file = LiveFile(
        layout.live_file(cell),
        LiveCell(
            **asdict(cell),
            attempt=attempt,
            run=run,
            n_epochs=n_epochs,
            worker=worker,
            host=host_name(),
            pid=os.getpid(),
            waits=waits,
            started_at=now,
            updated_at=now,
        ),
    )
    # The directory is made here alone, so that an abandoned cell does not bring back one that a new run has removed.
    with suppress(OSError):
        layout.live_file(cell).parent.mkdir(parents=True, exist_ok=True)
    file.beat()
    try:
        with repeated(file.beat, every_s=BEAT_S, name=f"live {cell.name}"):
            yield file
    finally:
        file.remove()


def forget_live(layout: RunLayout, cell: Cell) -> None:
    """Remove the live file that a lost worker left of a cell."""
    with suppress(OSError):
        layout.live_file(cell).unlink(missing_ok=True)


def read_live(layout: RunLayout, chosen_cells: Sequence[Cell]) -> dict[Cell, LiveCell]:
    """Read the progress of cells that run, or that ran when their worker died.

    Parameters
    ----------
    layout : RunLayout
        The run.
    chosen_cells : sequence of Cell
        Cells to look for.

    Returns
    -------
    dict of Cell to LiveCell
        In the given order. A file that cannot be read is left out. A cell whose record was
        committed for the same attempt has ended in between.
    """
    # The folder is listed once: few of a hundred thousand cells run.
    begin, end = len(f"{layout.live}{os.sep}"), -len(".json")
    names = {str(path)[begin:end] for path in layout.live.glob("*/*/*.json")}
    if not names:
        return {}
    live_cells = {cell: _read(layout.live_file(cell)) for cell in chosen_cells if cell.name in names}
    return {
        cell: _on_our_clock(live, layout.live_file(cell))
        for cell, live in live_cells.items()
        if live is not None and live.cell == cell
    }


def _on_our_clock(live: LiveCell, path: Path) -> LiveCell:
    """Give a live cell with times by the clock of this machine.

    Its host and the file server have clocks of their own, of which one may be minutes off. The time nearer to now is
    taken for that of the last write.
    """
    try:
        by_files = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return live  # it has ended in between
    now = datetime.now(UTC)
    written_at = min(by_files, live.updated_at, key=lambda time: abs(now - time))
    off = written_at - live.updated_at
    epoch_at = None if live.epoch_at is None else live.epoch_at + off
    return live.model_copy(update={"updated_at": written_at, "started_at": live.started_at + off, "epoch_at": epoch_at})


def _read(path: Path) -> LiveCell | None:
    try:
        return LiveCell.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
