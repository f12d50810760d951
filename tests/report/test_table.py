"""A table of very many rows: what it holds after it was packed piece by piece, and the memory that a row takes."""

from __future__ import annotations

import csv
import io
import tracemalloc
from itertools import chain

from limit_rows import TARGET, row_of, study_of, totals_of

from fly64dask.report.table import TableColumns, csv_bytes, gathered
from fly64dask.report.table.gathering import PACKED_ROWS
from fly64dask.study import Target

N_ROWS = 2 * PACKED_ROWS + 5


def values_of(rows, name):
    return list(chain.from_iterable(gathered(rows).pieces(name)))


def test_rows_of_several_pieces_come_back_in_their_order():
    rows = gathered({"n": number, "x": number / 8} for number in range(N_ROWS)).rows()
    assert list(rows) == [(number, number / 8) for number in range(N_ROWS)]


def test_a_column_of_later_rows_is_null_in_the_first_pieces():
    rows = [{"n": 0}] * (N_ROWS - 1) + [{"late": "word"}]
    assert values_of(rows, "late") == [None] * (N_ROWS - 1) + ["word"]


def test_whole_numbers_and_fractions_of_different_pieces_share_a_column_of_fractions():
    rows = [{"n": 1}] * PACKED_ROWS + [{"n": 0.5}]
    assert [repr(value) for value in values_of(rows, "n")] == ["1.0"] * PACKED_ROWS + ["0.5"]


def test_numbers_and_words_of_different_pieces_share_a_column_of_text():
    rows = [{"dose": 1e3}] * PACKED_ROWS + [{"dose": "measured"}]
    assert values_of(rows, "dose") == ["1000.0"] * PACKED_ROWS + ["measured"]


def test_csv_has_a_line_for_each_row_of_every_piece():
    lines = csv.DictReader(io.StringIO(csv_bytes(gathered({"n": number} for number in range(N_ROWS))).decode()))
    assert [int(line["n"]) for line in lines] == list(range(N_ROWS))


def test_a_packed_row_takes_no_more_than_its_numbers():
    """100 numbers of 8 bytes each."""
    columns = TableColumns()
    tracemalloc.start()
    for row in range(4 * PACKED_ROWS):
        columns.add({f"x{column}": row + column / 8 for column in range(100)})
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken / (4 * PACKED_ROWS) < 1.1 * 100 * 8


def test_totals_of_a_run_keep_a_kilobyte_of_a_row():
    """A row itself takes 20: 100 000 of them do not fit in memory."""
    repeats = 1000
    study = study_of(repeats=repeats, targets=(TARGET, Target(phase_error_rad=0.2)))
    rows = (row_of(100 / dose, dose, repeat) for dose in study.doses_photons for repeat in range(repeats))
    tracemalloc.start()
    totals = totals_of(study, rows)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert totals.states == {"completed": 3 * repeats}
    assert taken / (3 * repeats) < 1500
