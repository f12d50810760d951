"""Commits cells of a run at a store, each after the study and the exposures that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fly64dask.base import Fly64Error, IntegrityError
from fly64dask.records import read_record, read_run_study
from fly64dask.runs.groups import groups_of
from fly64dask.runs.remote.attempts import at_once
from fly64dask.runs.remote.push import Copy
from fly64dask.store import ExposureAttributes, GroupAttributes, ScanAttributes, TruthAttributes, ViewAttributes
from fly64dask.study import Cell, Study, cells, realisation_of


class Committing:
    """Puts parts of a run at a store, of a directory in which the run may be under way.

    `left` says why something could not be committed.
    """

    def __init__(self, copy: Copy) -> None:
        self.left: dict[str, Fly64Error] = {}
        self._copy, self._layout = copy, copy.layout
        self._put_before: set[Path] = set()  # groups
        self._study: Study | None = None
        self._study_bytes = b""

    def commit(self, ended: list[Cell]) -> None:
        """Commit cells, each after the study and the groups that it was made from."""
        if not ended:
            return
        study = self._put_study()
        groups: dict[Path, type[GroupAttributes]] = {}
        for cell in ended:
            groups |= self._inputs_of(study, cell)
        self._put_groups(groups)
        self._put_cells(ended)

    def commit_rest(self) -> None:
        """Commit all that is in the cache and not there, the manifest last."""
        if not self._layout.study_file.exists():
            return
        self.left.clear()  # it is tried again
        study = self._put_study()
        self._put_groups(groups_of(study, self._layout))
        self._put_cells(cells(study))
        self._copy.put_tables()

    def _put_study(self) -> Study:
        content = self._layout.study_file.read_bytes()
        if self._study is None or content != self._study_bytes:
            self._copy.put(self._layout.study_file)
            self._study, self._study_bytes = read_run_study(self._layout), content
        return self._study

    def _put_groups(self, groups: dict[Path, type[GroupAttributes]]) -> None:
        new = [item for item in groups.items() if item[0] not in self._put_before and item[0].exists()]
        at_once(lambda item: self._put_group(*item), new)

    def _put_group(self, group: Path, model: type[GroupAttributes]) -> None:
        try:
            self._copy.put_group(group, model)
            self._put_before.add(group)
        except IntegrityError as error:
            self.left[str(group)] = error

    def _put_cells(self, ended: Sequence[Cell]) -> None:
        for words in (words for of_cell in at_once(self._copy.put_cell, ended) for words in of_cell):
            if isinstance(words, str):
                self.left[words] = IntegrityError(
                    f"commit to {self._copy.place.url}: left out {words}",
                    remedy=f"find what is damaged with `fly64dask verify {self._layout.root}`",
                )

    def _inputs_of(self, study: Study, cell: Cell) -> dict[Path, type[GroupAttributes]]:
        """List the groups that a cell reads, and the truth that it was measured with."""
        layout = self._layout
        try:
            record = read_record(layout, cell)
        except IntegrityError:
            record = None
        groups: dict[Path, type[GroupAttributes]] = {
            layout.scan_group(cell.object_seed): ScanAttributes,
            layout.truth_group(cell.object_seed): TruthAttributes,
            layout.exposure_group(*realisation_of(study, cell)): ExposureAttributes,
            layout.kept_group(cell, None if record is None else record.remedy): ViewAttributes,
        }
        return groups
