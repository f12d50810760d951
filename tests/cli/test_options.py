"""Groups of options arrive at their command as one value each."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, strategies as st

from fly64dask.cli.compare import ReferenceType
from fly64dask.cli.options import cluster_options, filter_options, filter_words, recipe_options
from fly64dask.study import CellReference, FileReference, Filters

words = st.text(st.characters(categories=("L", "N")), min_size=1)
FILTERS = st.builds(
    Filters,
    dose=st.lists(st.one_of(st.just("measured"), st.floats(1, 1e9)), max_size=3).map(tuple),
    view=st.lists(words, max_size=3).map(tuple),
    split=st.lists(st.sampled_from(["train", "test"]), max_size=2).map(tuple),
    gridsize=st.lists(st.integers(1, 2), max_size=2).map(tuple),
    repeat=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    recipe=st.lists(words, max_size=3).map(tuple),
    object=st.lists(st.integers(0, 2**40), max_size=3).map(tuple),
)


def received(decorator, words: list[str]) -> dict:
    """What a command of a group of options gets for some words."""
    got: dict = {}

    @click.command()
    @decorator
    @click.option("--other", default="kept")
    def command(**values):
        got.update(values)

    done = CliRunner().invoke(command, words, standalone_mode=False)
    assert done.exception is None, done.exception
    return got


@given(FILTERS)
def test_filters_written_as_words_are_read_as_the_same(filters):
    assert received(filter_options, filter_words(filters)) == {"filters": filters, "other": "kept"}


def test_no_filter_leaves_all():
    assert received(filter_options, [])["filters"] == Filters()


@pytest.mark.parametrize(
    ("line", "settings"),
    [("", {}), ("--device cpu", {"device": "cpu"}), ("--threads 3 --other x", {"threads": 3})],
)
def test_settings_hold_what_was_given_and_nothing_else(line, settings):
    assert received(recipe_options, line.split())["settings"] == settings


def test_cluster_options_name_where_cells_run():
    cluster = received(cluster_options, ["--cluster", "tls://host:1", "--workers", "2"])["cluster"]
    assert (cluster.where, cluster.n_workers, cluster.slots_per_gpu) == ("tls://host:1", 2, 1)


def test_a_reference_is_a_dose_and_a_view_or_a_file_that_is_there(tmp_path):
    read = ReferenceType().convert
    assert read("measured/baseline", None, None) == CellReference(dose="measured", view="baseline")
    assert read("1e4/dense", None, None) == CellReference(dose=1e4, view="dense")
    (tmp_path / "object.npz").touch()
    assert read(str(tmp_path / "object.npz"), None, None) == FileReference(path=str(tmp_path / "object.npz"))
    with pytest.raises(click.BadParameter, match="is neither a file nor DOSE/VIEW"):
        read("object", None, None)
