"""Maps of numbers for papers: what stands in their places."""

from __future__ import annotations

import numpy as np
import pytest
from manifest_rows import row_of_cell
from tiny import tiny_study

from fly64dask.metrics import TruthMetrics
from fly64dask.metrics.results import RingMetrics
from fly64dask.metrics.ring_correlation import Crossing
from fly64dask.report.content import Scale
from fly64dask.report.figure_parts import three_digits
from fly64dask.report.figures import draw_map, draw_phases
from fly64dask.report.images import Image
from fly64dask.study import cells

STUDY = tiny_study(doses_photons=(1e4,))
COLUMN = "n_kept"


def drawn(**of_first):
    """What a map of the kept exposures has as text: in its places, and below them."""
    rows = [row_of_cell(cell) for cell in cells(STUDY)]
    rows[0] = rows[0].model_copy(update=of_first)
    figure = draw_map(STUDY, rows, {row.cell: {COLUMN: number} for number, row in enumerate(rows)}, COLUMN)
    places = [text.get_text().strip() for axis in figure.axes for text in axis.texts]
    return [text for text in places if text], figure.get_supxlabel()


def test_phase_of_a_place_has_the_caption_of_the_repeat_that_is_drawn():
    study = tiny_study(doses_photons=(1e4,), repeats=2)
    first, second = (cell for cell in cells(study) if (cell.view, cell.split) == ("all", "train"))
    rows = [row_of_cell(first, failure_kind="interrupted"), row_of_cell(second, n_kept=7)]
    values = np.zeros((4, 4))
    image = Image(
        key="phase", values=values, scale=Scale(low=-1, high=1, colours="viridis", unit="rad"), origin_px=(0, 0)
    )
    figure = draw_phases(study, rows, {second: (image, values)})
    captions = [axis.get_xlabel() for axis in figure.axes if axis.images]
    assert captions[0].startswith("n = 7")


def test_map_has_a_number_in_each_place_and_no_mark_where_there_is_none():
    places, below = drawn()
    assert sorted(places) == [str(number) for number in range(len(cells(STUDY)))]
    assert below == ""


def test_map_marks_a_cell_as_the_matrix_does_and_says_what_it_means():
    places, below = drawn(outdated="of other data", underdetermined=True)
    assert "? ≠ study" in places
    assert [line.split("  ")[0] for line in below.splitlines()] == ["?", "≠ study"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.13, "0.130"),
        (12.02, "12.0"),
        (300.0, "300"),
        (123.4, "123"),
        (0.0, "0"),
        (2345.6, "2.35e+03"),
        (float("nan"), "–"),
    ],
)
def test_numbers_of_maps_have_three_digits_and_counts_all_of_them(value, text):
    assert three_digits(value) == text


def test_map_gives_images_that_agree_up_to_nyquist_the_resolution_of_a_pixel():
    column = "metrics.frc.half_bit.resolution_px"
    coarse = Crossing(shell=3, frequency_per_px=0.1, resolution_px=5)
    rows = [
        row_of_cell(
            cell,
            metrics=TruthMetrics.model_construct(
                phase_rmse_rad=0.1,
                empty_phase_rmse_rad=0.5,
                no_better_than_empty=False,
                frc=RingMetrics(half_bit=crossing, one_bit=coarse, half=coarse),
            ),
        )
        for cell, crossing in zip(cells(STUDY), [None] + [coarse] * 5, strict=True)
    ]
    numbers = {row.cell: {} if row.metrics.frc.half_bit is None else {column: 5.0} for row in rows}
    figure = draw_map(STUDY, rows, numbers, column)
    places = [text.get_text().strip() for axis in figure.axes for text in axis.texts]
    assert sorted(text for text in places if text) == ["5"] * 5 + ["≤ 1"]
