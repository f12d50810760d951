"""A measured study's cells beside its reference: measured once, kept, and made anew where either has changed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from faulty_engine import ENGINE
from measured import measured_study, write_scan
from one_cell import run_one

from fly64dask.base import InputError
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.records import read_completed_rows, renew_manifest, write_run_study
from fly64dask.runs import CellView, compare_run, repair_run, verify_run
from fly64dask.runs.comparisons import compare_with_references
from fly64dask.runs.comparisons.references import References, illuminated_frame
from fly64dask.store import RunLayout, held_run
from fly64dask.study import Cell, CellReference, FileReference, cells, parse_study

REFERENCE = 'reference = {dose = "measured", view = "all"}'
OTHER = Cell(dose=50.0, view="all", split="train")


def no_line(line: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def made(engine_faults, tmp_path_factory):
    """A measured run of views that keep all and few, at two doses, by an engine whose objects are of one value."""
    folder = tmp_path_factory.mktemp("references")
    counts = np.random.default_rng(2).poisson(2.0, (40, 8, 8)).astype(np.uint16)
    write_scan(folder / "scan.zarr", counts)
    study, layout = measured_study(folder / "scan.zarr", '["measured", 50.0]', REFERENCE), RunLayout(folder / "run")
    study = study.model_copy(update={"views": study.views[:2]})
    prepare_scan(study, layout)
    for split in study.splits:
        for dose in study.doses_photons:
            expose_split(study, dose, split, layout)
        for view in study.views:
            select_view(study, view.name, split, layout)
    write_run_study(layout, study)
    for cell in cells(study):
        assert run_one(study, cell, layout, engine=ENGINE).failure is None
    compare_with_references(study, layout, read_completed_rows(study, layout), no_line)
    return study, layout


def test_each_cell_but_the_reference_has_its_difference(made):
    study, layout = made
    found = {row.cell: row.reference for row in read_completed_rows(study, layout)}
    for cell, reference in found.items():
        is_reference = (cell.dose, cell.view) == ("measured", "all")
        assert (reference is None) == is_reference
        assert is_reference or reference.name == f"dose_measured/all/{cell.split}"


def test_the_comparison_is_of_objects_of_another_dose(made):
    # The engine's objects are of one value, and phases of that are the same after alignment.
    found = CellView(*made, OTHER).row.reference
    assert (found.missing, found.phase_rmse_rad) == (None, pytest.approx(0, abs=1e-6))


def test_a_comparison_is_kept_until_the_reference_changes(made):
    study, layout = made
    lines: list[str] = []
    compare_with_references(study, layout, read_completed_rows(study, layout), lines.append)
    assert lines == []
    other = study.model_copy(update={"reference": CellReference(dose=50.0, view="all")})
    assert CellView(other, layout, Cell(dose=50.0, view="few", split="train")).row.reference is None


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("{}")], ids=["lost", "damaged"])
def test_a_comparison_that_a_finished_run_has_lost_is_named_and_made_again(made, tmp_path, harm):
    study, layout = made[0], RunLayout(tmp_path / "run")
    shutil.copytree(made[1].root, layout.root)
    with held_run(layout):
        renew_manifest(study, layout)
    assert verify_run(study, layout) == ()
    path = layout.reference_file(OTHER)
    before = path.read_bytes()
    harm(path)
    damages = verify_run(study, layout)
    assert [damage.path for damage in damages] == ["reference/dose_50/all/train.json"]
    repair_run(study, layout, damages)
    assert verify_run(study, layout) == ()
    assert path.read_bytes() == before


def test_compare_run_takes_another_reference_than_the_studys(made):
    study, layout = made
    found = compare_run(study, layout, {"same": layout.root}, [OTHER], reference=CellReference(dose=50.0, view="few"))
    ours, same = found.cells[0].scores
    assert found.reference == "dose_50/few"
    assert ours.reference == same.reference
    assert ours.reference.name == "dose_50/few/train"
    assert ours.metrics is None


def test_compare_run_marks_the_reference_itself_and_gives_it_no_numbers(made):
    study, layout = made
    reference = Cell(dose="measured", view="all", split="test")
    found = compare_run(study, layout, {"same": layout.root}, [reference, OTHER])
    (itself, same), (other, _) = (row.scores for row in found.cells)
    assert (itself.is_reference, itself.reference, itself.problem) == (True, None, None)
    assert (same.is_reference, same.reference.name) == (False, reference.name)
    assert (other.is_reference, other.reference.name) == (False, "dose_measured/all/train")


def test_a_reference_of_other_pixels_is_refused_with_both_sizes(made, tmp_path):
    study, layout = made
    frame = replace(illuminated_frame(study, layout, OTHER), pixel_nm=(8.0, 8.0))
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file["object"] = np.ones(frame.illuminated.shape, np.complex64)
        file["object"].attrs.update(pixel_height_m=9e-9, pixel_width_m=9e-9, center_y_m=0.0, center_x_m=0.0)
        file["origin_px"] = frame.origin_px
    references = References(study, layout, FileReference(path=str(tmp_path / "o.h5")))
    with pytest.raises(InputError, match=r"pixels of 9 x 9 nm, those of the run are 8 x 8 nm"):
        references.in_frame(OTHER, frame)


def test_compare_run_names_a_reference_that_was_not_run(made):
    study, layout = made
    found = compare_run(study, layout, {}, [OTHER], reference=CellReference(dose=7.0, view="all"))
    assert "the reference dose_7/all/train is not committed" in found.cells[0].scores[0].problem


def test_compare_run_of_a_measured_study_has_no_truth_for_the_original_metrics(made):
    study, layout = made
    with pytest.raises(InputError, match="against a truth, which a measured scan has not"):
        compare_run(study, layout, {}, [OTHER], "original")


def measured_text(*lines: str) -> str:
    return "\n".join(
        (
            'schema_version = 1\nname = "m"\ndoses_photons = ["measured", 10.0]',
            *lines,
            'views = [{name = "all", rule = "baseline"}]\n[source]\nkind = "measured"\npath = "scan.zarr"',
        )
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('{dose = 11.0, view = "all"}', "reference has dose '11', and the study has measured, 10"),
        ('{view = "none"}', "reference has view 'none', and the study has all"),
        ('{dose = "measured", veiw = "all"}', "veiw"),
    ],
)
def test_a_reference_that_the_study_has_not_is_refused(written, said):
    with pytest.raises(InputError, match=said):
        parse_study(measured_text(f"reference = {written}"), origin="m.toml")


def test_recipes_of_a_measured_study_reconstruct_half_sets_unless_they_say_otherwise():
    assert parse_study(measured_text(), origin="m.toml").recipe.halves == "counts"
    assert parse_study(measured_text('recipe = {halves = "none"}'), origin="m.toml").recipe.halves == "none"
