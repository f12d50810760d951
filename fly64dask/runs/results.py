"""A run directory opened from Python: its study, the state of its cells and what they gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fly64dask.records import Manifest, ManifestRow, read_rows
from fly64dask.store import RunLayout, read_document
from fly64dask.study import Cell, Study, cells

if TYPE_CHECKING:
    from fly64dask.monitoring import CellOutcome


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory.

    Parameters
    ----------
    study : Study
        The study as it ran.
    layout : RunLayout
        Paths of the run's files.
    wanted : tuple of Cell
        Cells that `run_study` was asked for.
    outcomes : mapping of Cell to CellOutcome
        How each of these ended.
    """

    study: Study
    layout: RunLayout
    wanted: tuple[Cell, ...] = ()
    outcomes: Mapping[Cell, CellOutcome] = field(default_factory=dict)

    @property
    def manifest(self) -> Manifest:
        """The manifest as the last run that ended wrote it."""
        return read_document(self.layout.manifest_file, Manifest, remedy="run the study again")

    @property
    def rows(self) -> tuple[ManifestRow, ...]:
        """The rows of all committed cells as their records are now, in the study's order."""
        return read_rows(self.layout, cells(self.study))

    def n_failed(self, *, allow_missing: bool = False) -> int:
        """Count the wanted cells without a reconstruction of this call of `run_study`.

        Parameters
        ----------
        allow_missing : bool
            Leave out cells whose view cannot be selected.

        Returns
        -------
        int
        """
        states = {row.cell: row.state for row in read_rows(self.layout, self.wanted)}
        fine = {"completed", "skipped"} if allow_missing else {"completed"}
        # An attempt that could not be committed leaves the record of an older one in its place.
        return sum(states.get(cell) not in fine or not self.outcomes[cell].committed for cell in self.wanted)
