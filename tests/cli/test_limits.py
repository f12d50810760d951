"""What a run says at its end of how low its doses can go."""

from __future__ import annotations

import math

from several import several_study
from tiny import tiny_study

from fly64dask.cli.terminal.limits import closing_lines
from fly64dask.metrics import TruthMetrics
from fly64dask.records import ManifestRow
from fly64dask.study import Target, cells

STUDY = tiny_study(doses_photons=(1e3, 1e4), targets=(Target(phase_error_rad=0.1),))


def lines_of(study):
    """What a run says whose errors fall as shot noise, to 0.1 rad at 4e3 photons."""
    rows = [
        ManifestRow(
            dose=cell.dose,
            dose_photons=cell.dose,
            view=cell.view,
            split=cell.split,
            recipe_name=cell.recipe_name,
            object_seed=cell.object_seed,
            state="completed",
            returncode=0,
            log_path="x",
        ).model_copy(
            update={
                "metrics": TruthMetrics.model_construct(
                    phase_rmse_rad=0.1 * math.sqrt(4e3 / cell.dose), empty_phase_rmse_rad=0.5, frc=None
                )
            }
        )
        for cell in cells(study)
    ]
    return [line.plain for line in closing_lines(study, rows, "runs/mine")]


def test_a_run_with_a_target_ends_with_a_sentence_for_each_view_and_split_and_the_command():
    *sentences, command = lines_of(STUDY)
    assert sentences == [
        f"In {view.name}, {split}, 0.1 rad need 4e3 photons per exposure (1e3 misses, 1e4 reaches; no interval)."
        for view in STUDY.views
        for split in STUDY.splits
    ]
    assert command == "limits: fly64dask limits runs/mine"


def test_a_run_with_several_recipes_ends_with_the_command_alone():
    assert lines_of(several_study(targets=STUDY.targets)) == ["limits: fly64dask limits runs/mine"]


def test_a_run_without_targets_says_nothing_of_limits():
    assert lines_of(STUDY.model_copy(update={"targets": ()})) == []
