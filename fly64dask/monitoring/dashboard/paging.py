"""Cuts the matrix of a run into pages of whole lines, so that a browser gets a few hundred cells at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from fly64dask.study import Cell, Study, cells, dose_name, doses_of, section_of, sections

# Cells of one page (our choice): less than a MB with loss curves and failures, and as many as a person can look at.
PAGE_CELLS = 480


class Line(NamedTuple):
    """A line of the matrix; its cells differ only in their view."""

    dose: str
    split: str
    section: str
    repeat: int


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive lines of the matrix, and their cells in the order of the lines."""

    lines: tuple[Line, ...]
    cells: tuple[Cell, ...]


def pages_of(study: Study) -> tuple[Page, ...]:
    """Cut the matrix of a study into pages, in the order of its doses, splits, sections and repeats."""
    pages: list[tuple[list[Line], list[Cell]]] = []
    for line, of_line in groupby(_in_lines(study), key=_line_of):
        members = list(of_line)
        if not pages or len(pages[-1][1]) + len(members) > PAGE_CELLS:
            pages.append(([], []))
        pages[-1][0].append(line)
        pages[-1][1].extend(members)
    return tuple(Page(tuple(lines), tuple(members)) for lines, members in pages)


def _line_of(cell: Cell) -> Line:
    return Line(dose_name(cell.dose), cell.split, section_of(cell).label, cell.repeat)


def _in_lines(study: Study) -> Iterable[Cell]:
    """Sort the cells of a study line by line."""
    doses = {dose: place for place, dose in enumerate(doses_of(study))}
    splits = {split: place for place, split in enumerate(study.splits)}
    of_sections = {section: place for place, section in enumerate(sections(study))}

    def place(cell: Cell) -> tuple[int, ...]:
        return doses[cell.dose], splits[cell.split], of_sections[section_of(cell)], cell.repeat

    return sorted(cells(study), key=place)
