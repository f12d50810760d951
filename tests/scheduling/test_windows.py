"""A study in windows: each cell once, in order, little of it at a time; the manifest's bytes are those of the whole."""

from __future__ import annotations

import hashlib
import math

import pytest
from hypothesis import given, strategies as st
from hypothesis.strategies import composite
from manifest_rows import row_of_cell
from tiny import tiny_study

from fly64dask.base import Frozen
from fly64dask.cells import new_run_id
from fly64dask.deploy import connect
from fly64dask.records import RowFiles, read_record, read_rows
from fly64dask.scheduling import GraphBuilder, GraphOptions, external_workers, run_windows
from fly64dask.store import RunLayout, read_document, write_document
from fly64dask.study import Cell, cells

# 24 cells that are refused before the engine, as each keeps one exposure.
REFUSED = tiny_study(doses_photons=(1e3, 1e4, 1e5), views=tiny_study().views[2:], repeats=4)
WINDOW = 5


class Item(Frozen):
    """Something of which there are many."""

    name: str
    number: float
    absent: int | None = None


class PageHead(Frozen):
    """A document but for its long lists."""

    title: str
    ending: dict[str, int] | None = None


class Page(PageHead):
    """A document with two lists, whose order is not that of the alphabet."""

    second: tuple[Item, ...] = ()
    first: tuple[Item, ...] = ()


@composite
def items(draw):
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    made = st.builds(Item, name=st.text(), number=numbers, absent=st.none() | st.integers())
    return tuple(draw(st.lists(made, max_size=4)))


@given(items(), items(), st.text(), st.none() | st.dictionaries(st.text(), st.integers(), max_size=2))
def test_read_document_reads_lists_that_were_written_item_by_item(tmp_path_factory, first, second, title, ending):
    path = tmp_path_factory.mktemp("documents") / "page"
    write_document(
        path, PageHead(title=title, ending=ending), long_lists={"second": iter(second), "first": iter(first)}
    )
    assert read_document(path, Page, remedy="") == Page(title=title, first=first, second=second, ending=ending)


def test_write_document_ends_with_the_sha256_of_all_that_stands_before_it(tmp_path):
    write_document(tmp_path / "page", PageHead(title="a"), long_lists={"first": [Item(name="b", number=1.0)]})
    before, ending = (tmp_path / "page").read_bytes().split(b'  "sha256": ')
    assert ending == b'"%s"\n}\n' % hashlib.sha256(before).hexdigest().encode()


def test_write_document_refuses_a_number_that_is_not_finite_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_document(tmp_path / "page", PageHead(title="a"), long_lists={"first": [Item(name="b", number=math.nan)]})
    assert list(tmp_path.iterdir()) == []


def row(dose):
    return row_of_cell(Cell(dose=dose, view="all", split="train"), final_loss=0.1 + 0.2, versions={"zarr": "3"})


def test_row_files_gives_rows_back_in_the_order_of_their_parts(tmp_path):
    row_files = RowFiles(RunLayout(tmp_path))
    row_files.keep(1, [row(3.0)])
    row_files.keep(0, [row(1.0), row(2.0)])
    assert list(row_files) == [row(1.0), row(2.0), row(3.0)] == list(row_files)


def builder_of(layout, wanted=None):
    wanted = cells(REFUSED) if wanted is None else wanted
    options = GraphOptions(use_gpu=False)
    return GraphBuilder(REFUSED, wanted, new_run_id(layout), options, window_cells=WINDOW)


def test_windows_covers_each_cell_once_in_the_studys_order(tmp_path):
    found = list(builder_of(RunLayout(tmp_path)).windows())
    assert [cell for graph in found for cell in graph.covered] == list(cells(REFUSED))
    assert [cell for graph in found for cell in graph.cell_tasks] == list(cells(REFUSED))
    assert max(len(graph.covered) for graph in found) == WINDOW


def test_windows_reads_the_records_of_cells_that_do_not_run(tmp_path):
    wanted = cells(REFUSED)[:2]
    found = list(builder_of(RunLayout(tmp_path), wanted).windows())
    assert [cell for graph in found for cell in graph.cell_tasks] == list(wanted)
    assert sum(len(graph.covered) for graph in found) == 24


def test_windows_publishes_each_group_once(tmp_path):
    found = list(builder_of(RunLayout(tmp_path)).windows())
    kinds = [str(task.key).split("-")[0] for graph in found for task in graph.group_tasks.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"prepare": 1, "expose": 24, "select": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All windows of the study, two at a time at most; how much the scheduler knew meanwhile, and afterwards."""
    layout = RunLayout(tmp_path_factory.mktemp("windows") / "run")
    layout.root.mkdir()
    row_files = RowFiles(layout)
    known = []
    with connect("local", device="cpu", n_workers=2, n_cells=24) as client, external_workers(client, 60) as supply:

        def count_tasks(event):
            tasks = client.cluster.scheduler.tasks
            known.append(sum(str(key).startswith("reconstruct") for key in list(tasks)))

        outcomes = run_windows(
            client,
            builder_of(layout),
            notify=count_tasks,
            keep=row_files.keep,
            supply=supply,
            refill_cells=WINDOW,
        )
    return layout, outcomes, tuple(row_files), known


@pytest.mark.cluster
def test_run_windows_gives_an_outcome_for_every_cell(run):
    assert set(run[1]) == set(cells(REFUSED))
    assert {outcome.failure.kind for outcome in run[1].values()} == {"degenerate_scan"}


@pytest.mark.cluster
def test_run_windows_keeps_the_rows_that_the_records_give(run):
    assert run[2] == read_rows(run[0], cells(REFUSED))
    assert [row.cell for row in run[2]] == list(cells(REFUSED))


@pytest.mark.cluster
def test_run_windows_runs_each_cell_once(run):
    assert {read_record(run[0], cell).attempt for cell in cells(REFUSED)} == {1}
    assert not (run[0].root / "history").exists()


@pytest.mark.cluster
def test_run_windows_gives_the_scheduler_few_cells_at_a_time(run):
    # Those of two windows, and ended ones of a third of which the reducer has not read all records.
    assert 0 < max(run[3]) <= 3 * WINDOW < 24
