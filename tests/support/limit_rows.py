"""Rows of runs whose phase errors are given, as limits and their curves are found in them."""

from __future__ import annotations

import math

import numpy as np
from manifest_rows import row_of_cell
from tiny import tiny_study

from fly64dask.metrics import TruthMetrics
from fly64dask.report.answer import RunTotals
from fly64dask.study import BaselineView, Cell, Target

DOSES = (1e3, 1e4, 1e5)
TARGET = Target(phase_error_rad=0.1)
OVERLAPS = {"loose": 0.2, "close": 0.6}
# A fluence of a hundredth of the dose.
PX2 = 100.0


def study_of(*views, doses=DOSES, repeats=3, **changes):
    named = tuple(BaselineView(name=view, rule="baseline") for view in views or ("close",))
    return tiny_study(doses_photons=doses, repeats=repeats, split="none", views=named, **changes)


def row_of(error_rad, dose, repeat=0, *, view="close", **fields):
    metrics = None
    if error_rad is not None:
        metrics = TruthMetrics.model_construct(
            phase_rmse_rad=error_rad, empty_phase_rmse_rad=0.5, n_pixels=900, frc=None
        )
    cell = Cell(dose=dose, view=view, split="whole", repeat=repeat)
    light = {"dose_photons": dose, "fluence_photons_per_px2": dose / PX2, "total_photons": 50 * dose}
    seen = {"n_kept": 50, "linear_overlap": OVERLAPS.get(view)} | light
    return row_of_cell(cell, metrics=metrics, **seen | fields)


def rows_of(errors, *, view="close"):
    """Rows of the errors of each dose's repeats."""
    return [
        row_of(error, dose, repeat, view=view)
        for dose, of_dose in errors.items()
        for repeat, error in enumerate(of_dose)
    ]


def shot_noise_errors(doses, *, spread=0.0, repeats=3, seed=0):
    """Errors 0.1 rad (dose / 5e3)^-0.5 with a spread of their logarithms."""
    rng = np.random.default_rng(seed)
    return {
        dose: [0.1 * math.sqrt(5e3 / dose) * math.exp(spread * rng.standard_normal()) for _ in range(repeats)]
        for dose in doses
    }


def totals_of(study, rows):
    """The totals of a run with these rows, of which none runs."""
    totals = RunTotals(study)
    for row in rows:
        totals.add(row)
    return totals
