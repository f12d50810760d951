"""The benchmarks' own logic: turns, ratios, bars, tables; ways that claim the same result have it. Nothing is timed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[2] / "scripts" / "bench"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.syspath_prepend(str(BENCH / "peers"))


def test_in_turns_goes_through_the_ways_forth_and_back():
    from measuring import in_turns

    done = []
    found = in_turns({name: lambda name=name: done.append(name) or len(done) for name in "abc"}, 2)
    assert done == ["a", "b", "c", "c", "b", "a"]
    assert found == {"a": [1, 6], "b": [2, 5], "c": [3, 4]}


def test_in_turns_leaves_a_way_out_once_it_has_done_its_rounds():
    from measuring import in_turns

    done = []
    in_turns({name: lambda name=name: done.append(name) or 0 for name in "ab"}, {"a": 3, "b": 1})
    assert done == ["a", "b", "a", "a"]


def test_warm_ratio_leaves_the_first_round_out_unless_it_is_the_only_one():
    import matrix

    seconds = {"fly64dask": [9.0, 1.0, 2.0, 1.0], "thrice": [9.0, 3.0, 6.0], "once": [18.0]}
    assert matrix.warm_ratio(seconds, "thrice") == (3.0, 2)
    assert matrix.warm_ratio(seconds, "once") == (2.0, 0)


def test_compared_are_cells_of_enough_photons_and_after_many_epochs_those_of_the_first_view_alone(prepared):
    import matrix

    few, many = (matrix.compared(prepared.study.with_recipe(n_epochs=n)) for n in (10, 50))
    assert {cell.dose for cell in few} == {1e4, 1e5}
    assert {cell.view for cell in few} == {"baseline", "dense", "sparse"}
    assert {cell.view for cell in many} == {"baseline"}


def test_median_ratio_is_that_of_the_rounds_and_not_of_the_medians():
    from measuring import median_ratio

    # A slow second round doubles both: the ratios are 3, 3 and 2.
    assert median_ratio({"slow": [3, 6, 2], "fast": [1, 2, 1]}, "slow", "fast") == 3


@pytest.mark.parametrize(("value", "at_least", "is_met"), [(4, True, True), (3.9, True, False), (4.1, False, False)])
def test_bars_table_says_what_is_missed(value, at_least, is_met):
    from measuring import Bar, bars_table

    row = bars_table([Bar(name="this", value=value, needed=4, at_least=at_least)]).splitlines()[-1]
    assert row.endswith("| met |" if is_met else "| **missed** |")


def test_all_forms_of_the_definition_keep_what_greedy_selection_keeps():
    import selection as bench

    positions = bench.scan(700, 90.0)
    kept = bench.keep_spaced(positions, 7.0)
    assert 50 < len(kept) < 300
    for keep in (bench.keep_by_pairs, bench.keep_by_rows, bench.keep_by_matrix):
        np.testing.assert_array_equal(keep(positions, 7.0), kept)


@pytest.fixture
def prepared(tmp_path):
    import matrix

    return matrix.prepare(tmp_path, matrix.QUICK | {"n_exposures": 120, "n_epochs": 2}, None)


@pytest.mark.process
@pytest.mark.engine
def test_other_ways_get_what_our_cells_keep_and_reconstruct_the_same(prepared, tmp_path):
    import matrix
    from reconstruct_cell import reconstruct

    from fly64dask.cells import open_inputs
    from fly64dask.reconstruction.lsqml import reconstruct as ours
    from fly64dask.study import Cell

    cell = Cell(dose=1e5, view="baseline", split="train")
    inputs = open_inputs(prepared.study, prepared.template, cell)
    found = ours(inputs.read(), prepared.study.recipe, seed=123, progress=lambda epoch, loss: None)
    reconstruct(prepared.peer_cells / matrix.npz_name(cell), tmp_path / "theirs.npz")
    with np.load(tmp_path / "theirs.npz") as theirs:
        assert matrix.apart(found.object_recon, theirs["object"], 1.0) < matrix.TOLERANCE
        assert matrix.apart(found.loss, theirs["loss"], float(found.loss.min())) < matrix.TOLERANCE


def test_summary_is_json_and_names_every_bar():
    import all_parts

    seconds = {"fly64dask": [10.0, 20.0], "plain loop": [30.0, 40.0]}
    ours = {"first_cell_s": 6.0, "busy_percent": 80.0}
    study = {"cells": 18, "compared": 12, "exposures": 4092, "epochs": 10}
    differences = {"plain loop": {"largest": 1e-5, "cell": "dose_10000/sparse/test"}}
    found = {"processor": "p", "study": study, "seconds": seconds, "differences": differences, "ours": ours}
    found |= {"help_s": 0.2, "status_s": 0.4}
    long = found | {
        "study": study | {"epochs": 50, "compared": 4},
        "seconds": {"fly64dask": [20.0], "plain loop": [150.0]},
    }
    facts = {"processor": "p", "cores": 2, "memory_bytes": 2**34, "gpus": [], "load_average": 0.1}
    facts["versions"] = dict.fromkeys(("ptychi", "torch", "zarr", "dask"), "1")
    text, document = all_parts.summary(facts, {"matrix": {"epochs_10": found, "epochs_50": long}}, quick=False)
    bars = {bar["name"]: (bar["value"], bar["is_met"]) for bar in json.loads(json.dumps(document))["bars"]}
    assert bars["matrix of 10 epochs against plain loop"] == (2.0, False)
    assert bars["matrix of 50 epochs against plain loop"] == (7.5, True)
    assert bars["workers busy, first cell to last"] == (80.0, False)
    table = [line for line in text.splitlines() if line.startswith(("| 10 |", "| 50 |"))]
    assert [line.split(" | ")[1] for line in table] == ["fly64dask", "plain loop"] * 2
    assert all(name in text for name in bars)
