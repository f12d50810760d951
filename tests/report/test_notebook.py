"""The matrix in a notebook shows every place of a study, tells values without colours, and escapes all text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import tiny
from faulty_engine import MARKUP
from manifest_rows import row_of_cell
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb
from several import several_study

from fly64dask.base import FailureKind
from fly64dask.metrics import TruthMetrics
from fly64dask.records import ManifestRow
from fly64dask.report import matrix_html
from fly64dask.study import Cell, cells, parse_study

RECIPES = ("gauss", "poisson")
STUDY = parse_study(tiny.TEXT, origin="tiny.toml")


class Texts(HTMLParser):
    """Texts and hover words of the places, in order, and every tag."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.words: list[str] = []
        self.tags: set[str] = set()
        self._inside = False
        self.feed(document)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._inside = tag == "td"
        if self._inside:
            self.texts.append("")
            self.words.append(dict(attributes)["title"] or "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


def row(cell: Cell, *, loss: float | None) -> ManifestRow:
    """A row with a last loss, or of a cell that failed."""
    failure = FailureKind.DEGENERATE_SCAN if loss is None else None
    return row_of_cell(cell, failure_kind=failure, final_loss=loss)


def test_matrix_shows_a_number_or_a_reason_at_every_place():
    some = cells(STUDY)
    shown = Texts(matrix_html(STUDY, [row(some[0], loss=0.12345), row(some[1], loss=None)], running=[some[2]]))
    assert len(shown.texts) == len(some) == 12
    assert sorted(shown.texts) == sorted(["0.123", "✘ degenerate_scan", "▶ running", *["· pending"] * 9])


def test_matrix_tells_mean_and_deviation_of_repeats():
    study = STUDY.model_copy(update={"repeats": 3})
    losses = dict(
        zip([c for c in cells(study) if (c.dose, c.view, c.split) == (1e4, "all", "train")], (1, 2, 6), strict=True)
    )
    shown = Texts(matrix_html(study, [row(cell, loss=loss) for cell, loss in losses.items()]))
    assert shown.texts[0] == "3 ± 2.6"
    assert "mean of 3 of 3 repeats" in shown.words[0]


def test_matrix_has_a_table_for_each_split_recipe_and_object():
    study = several_study()
    chosen = next(cell for cell in cells(study) if (cell.recipe_name, cell.object_seed) == ("poisson", 8))
    document = matrix_html(study, [row(chosen, loss=0.5)])
    titles = re.findall(r'px 6px">(\w+, \w+, object \d)<span', document)
    assert titles == [f"{split}, {name}, object {n}" for split in ("train", "test") for name in RECIPES for n in (7, 8)]
    shown = Texts(document)
    assert len(shown.texts) == 24
    (words,) = (words for text, words in zip(shown.texts, shown.words, strict=True) if text == "0.5")
    assert words.startswith(f"{chosen.name}: completed")


def test_matrix_marks_an_error_that_is_not_lower_than_an_empty_objects():
    lower, equal = cells(STUDY)[:2]
    rows = [
        row(cell, loss=1.0).model_copy(
            update={
                "metrics": TruthMetrics.model_construct(phase_rmse_rad=error, empty_phase_rmse_rad=0.25, n_pixels=9)
            }
        )
        for cell, error in ((lower, 0.2), (equal, 0.25))
    ]
    texts = Texts(matrix_html(STUDY, rows)).texts
    assert sorted(text for text in texts if "0." in text) == ["0.2", "0.25 ≥ empty"]


def test_matrix_counts_repeats_that_have_no_number():
    study = STUDY.model_copy(update={"repeats": 2})
    first, second = [c for c in cells(study) if (c.dose, c.view, c.split) == (1e4, "all", "train")]
    shown = Texts(matrix_html(study, [row(first, loss=1.0), row(second, loss=None)]))
    assert shown.texts[0] == "1 (1 missing)"
    assert f"{second.name}: failed (degenerate_scan)" in shown.words[0]


def test_matrix_gives_the_ends_of_the_scale_the_ends_of_the_map():
    some = cells(STUDY)
    document = matrix_html(STUDY, [row(cell, loss=loss) for cell, loss in zip(some, (1.0, 2.0, 3.0), strict=False)])
    grounds = re.findall(r"background: (#\w+)", document)
    assert {to_hex(colormaps["cividis"](at)) for at in (0.0, 1.0)} <= set(grounds)


def contrast(colour: str, other: str) -> float:
    """Contrast of two colours, as WCAG 2.2 defines it: 21 of black and white."""
    light, dark = sorted((float(luminance(one)) for one in (colour, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    srgb = np.array(to_rgb(colour))
    return np.array([0.2126, 0.7152, 0.0722]) @ np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def test_matrix_writes_numbers_that_stand_out_from_every_colour_of_its_scale():
    rows = [row(cell, loss=float(i)) for i, cell in enumerate(cells(STUDY))]
    styles = re.findall(r"background: (#\w+); color: (#\w+)", matrix_html(STUDY, rows, column="final_loss"))
    assert len(styles) == len(rows)
    assert min(contrast(ground, to_hex(ink)) for ground, ink in styles) >= 4.5


@pytest.mark.parametrize("name", [MARKUP, "a & b"])
def test_matrix_escapes_text_and_runs_nothing(name):
    document = matrix_html(STUDY.model_copy(update={"name": name}), [])
    assert name not in document
    assert Texts(document).tags <= {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "span"}
