"""The demo study, whole: 18 cells on a real cluster, a sanity bound on their quality, and what the pages say of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_line import run_command

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.cluster]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    demo = ("run", ROOT / "data" / "demo.toml", "--out", "runs/demo", "--report")
    done = run_command(*demo, cwd=folder, timeout=900)
    assert done.returncode == 0, done.stderr
    return folder, done.stderr[done.stderr.index("demo: 18 ") :] + done.stdout


@pytest.fixture(scope="module")
def demo(done):
    return done[0] / "runs" / "demo"


@pytest.fixture(scope="module")
def rows(demo):
    manifest = json.loads((demo / "reconstruction_manifest.json").read_text())
    return {(r["dose"], r["view"], r["split"]): r for r in manifest["execution_results"]}


def test_demo_ends_with_18_completed_cells(rows):
    assert len(rows) == 18
    assert {row["state"] for row in rows.values()} == {"completed"}


def over_empty(row):
    return row["metrics"]["phase_rmse_rad"] / row["metrics"]["empty_phase_rmse_rad"]


def test_demo_has_a_best_cell_below_30_mrad(rows):
    assert min(row["metrics"]["phase_rmse_rad"] for row in rows.values()) < 0.03


def test_demo_has_a_worst_cell_that_is_no_better_than_an_empty_object(rows):
    assert max(over_empty(row) for row in rows.values()) >= 1


@pytest.mark.parametrize("split", ["train", "test"])
def test_demo_baseline_at_1e3_photons_is_clearly_better_than_an_empty_object(rows, split):
    assert over_empty(rows[1e3, "baseline", split]) < 0.75


@pytest.mark.parametrize("split", ["train", "test"])
def test_demo_baseline_at_1e5_photons_has_less_than_a_quarter_of_the_error_of_an_empty_object(rows, split):
    assert over_empty(rows[1e5, "baseline", split]) < 0.25


def test_demo_error_falls_with_dose_on_the_baseline(rows):
    errors = [rows[dose, "baseline", "train"]["metrics"]["phase_rmse_rad"] for dose in (1e3, 1e4, 1e5)]
    assert errors == sorted(errors, reverse=True)


def test_demo_error_grows_with_spacing_at_1e5_photons(rows):
    errors = [rows[1e5, view, "train"]["metrics"]["phase_rmse_rad"] for view in ("baseline", "dense", "sparse")]
    assert errors == sorted(errors)


def test_demo_counts_are_integers_with_the_asked_dose_on_average(demo):
    for dose in (1000, 10000, 100000):
        totals = [
            zarr.open_group(str(demo / "exposures.zarr" / f"dose_{dose}" / split), mode="r")["counts"][:].sum(
                axis=(1, 2)
            )
            for split in ("train", "test")
        ]
        mean = float(np.concatenate(totals).mean())
        assert mean == pytest.approx(dose, abs=6 * np.sqrt(dose / 640))


def test_demo_counts_are_stored_in_16_bits_by_chunks_of_256(demo):
    counts = zarr.open_group(str(demo / "exposures.zarr" / "dose_1000" / "train"), mode="r")["counts"]
    assert (counts.dtype, counts.chunks) == (np.dtype("uint16"), (256, 64, 64))


def test_demo_views_hold_indices_and_no_second_copy_of_the_patterns(demo):
    names = {path.parent.name for path in (demo / "exposures.zarr" / "views").rglob("c.*")} | {
        path.name for path in (demo / "exposures.zarr" / "views" / "dense" / "train").iterdir() if path.is_dir()
    }
    assert names == {"kept_indices"}


NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e\d+)?")


def words_of(line):
    """A line without its numbers, and without what widens a table where one has a digit more."""
    return re.sub(r"([ ━─])\1+", r"\1", NUMBER.sub("#", line)).strip()


def test_demo_page_shows_what_the_demo_prints(done):
    page = (ROOT / "docs" / "tutorials" / "demo.md").read_text()
    (shown,) = re.findall(r"```text\n(demo: 18 .*?)```", page, re.DOTALL)
    printed = done[1]
    assert list(map(words_of, shown.splitlines())) == list(map(words_of, printed.splitlines()))
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (shown, printed)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.05)  # the last digits depend on the processor


def test_demo_page_quotes_sentences_of_its_limits(demo):
    page = (ROOT / "docs" / "tutorials" / "demo.md").read_text()
    (quoted,) = re.findall(r"```output\n(At .*?)```", page, re.DOTALL)
    printed = run_command("limits", demo, cwd=demo).stdout.splitlines()
    assert set(map(words_of, quoted.splitlines())) <= set(map(words_of, printed))
    for sentence in quoted.splitlines():
        numbers = [float(number) for number in NUMBER.findall(sentence)]
        alike = [line for line in printed if words_of(line) == words_of(sentence)]
        found = [[float(number) for number in NUMBER.findall(line)] for line in alike]
        assert any(numbers == pytest.approx(each, rel=0.05) for each in found)
