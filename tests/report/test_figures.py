"""Maps of numbers for papers: what stands in their places."""

from __future__ import annotations

from tiny import tiny_study

from fly64dask.records import ManifestRow
from fly64dask.report.figures import draw_map
from fly64dask.study import cells

STUDY = tiny_study(doses_photons=(1e4,))
COLUMN = "n_kept"


def drawn(**of_first):
    """What a map of the kept exposures has as text: in its places, and below them."""
    rows = [
        ManifestRow(dose=cell.dose, view=cell.view, split=cell.split, state="completed", returncode=0, log_path="x")
        for cell in cells(STUDY)
    ]
    rows[0] = rows[0].model_copy(update=of_first)
    figure = draw_map(STUDY, rows, {row.cell: {COLUMN: number} for number, row in enumerate(rows)}, COLUMN)
    places = [text.get_text().strip() for axis in figure.axes for text in axis.texts]
    return [text for text in places if text], figure.get_supxlabel()


def test_map_has_a_number_in_each_place_and_no_mark_where_there_is_none():
    places, below = drawn()
    assert sorted(places) == [str(number) for number in range(len(cells(STUDY)))]
    assert below == ""


def test_map_marks_a_cell_as_the_matrix_does_and_says_what_it_means():
    places, below = drawn(outdated="of other data", underdetermined=True)
    assert "? ≠ study" in places
    assert [line.split("  ")[0] for line in below.splitlines()] == ["?", "≠ study"]
