"""How often the interval of a limit holds the truth through a whole run: Dask, cells, metrics and records.

The engine gives phases whose error is known, empty_rad (30 dose^-0.5 + 1.05) with a spread of 5 %, empty_rad that of an
empty object. Repeats of one run are dealt into studies of five, again and again, each with a target of its own, and
`limits` is asked for each. Repeats serve in several studies, so that the share is less certain than of as many runs.

    python scripts/accuracy/limits/limit_coverage.py runs/known               # 500 cells, 400 studies
    python scripts/accuracy/limits/limit_coverage.py runs/known --repeats 20  # 100 cells
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from known_limit_engine import EMPTY_RAD, ENGINE, typical_error
from limits import STUDY

from fly64dask.deploy import Placement
from fly64dask.records import ManifestRow, answer_of
from fly64dask.runs import run_study
from fly64dask.study import Filters, Study, Target, parse_study

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
from measuring import rows_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

DOSES = (160.0, 500.0, 1600.0, 5000.0, 16000.0)
OF_STUDY = 5  # repeats


def measured_rows(out: Path, study: Study, n_workers: int) -> tuple[list[ManifestRow], float]:
    """The rows of a run, and the phase error of an empty object, which one cell tells beforehand."""
    placement = Placement(n_workers=n_workers)
    here = str(Path(__file__).resolve().parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ[EMPTY_RAD] = "0.1"
    one = run_study(
        study, out.with_name(f"{out.name}-empty"), engine=ENGINE, filters=Filters(dose=(DOSES[-1],), repeat=(0,))
    )
    metrics = one.rows[0].metrics
    assert metrics is not None, "the cell is compared with the truth"
    os.environ[EMPTY_RAD] = repr(metrics.empty_phase_rmse_rad)
    run = run_study(study, out, engine=ENGINE, placement=placement, progress=True)
    return list(run.rows), metrics.empty_phase_rmse_rad


def main() -> None:
    """Print how many intervals hold the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="run directory")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    study = parse_study(STUDY, origin="known-limit.toml")
    study = study.model_copy(update={"doses_photons": DOSES, "repeats": options.repeats})
    rows, empty_rad = measured_rows(options.out, study, options.workers)
    of_dose = {dose: [row for row in rows if row.dose == dose and row.state == "completed"] for dose in DOSES}
    small = study.model_copy(update={"repeats": OF_STUDY})
    rng = np.random.default_rng(0)
    n_held, widths, ratios = 0, [], []
    n_groups = min(map(len, of_dose.values())) // OF_STUDY
    orders: list[NDArray[np.int64]] = []
    for number in range(options.studies):
        if number % n_groups == 0:
            orders = [
                rng.permutation(len(of_dose[dose]))[: n_groups * OF_STUDY].reshape(n_groups, -1) for dose in DOSES
            ]
        dealt = [
            of_dose[dose][k].model_copy(update={"repeat": repeat})
            for dose, order in zip(DOSES, orders, strict=True)
            for repeat, k in enumerate(order[number % n_groups])
        ]
        # The limit lies anywhere between the two doses around the middle one.
        limit = DOSES[2] * (DOSES[3] / DOSES[2]) ** rng.uniform(-0.5, 0.5)
        target = Target(phase_error_rad=typical_error(limit, empty_rad))
        found = answer_of(small, dealt, [target]).targets[0].doses[0]
        ends = found.interval.doses if found.interval else (None, None)
        low, high = ends[0] or 0.0, ends[1] or math.inf
        n_held += found.interval is not None and low <= limit <= high
        if found.lowest is not None and low:
            widths.append(high / low)
            ratios.append(found.lowest.dose / limit)
    summary = {
        "cells": len(rows),
        "completed": sum(map(len, of_dose.values())),
        f"studies of {OF_STUDY}": options.studies,
        "intervals that hold the limit": f"{100 * n_held / options.studies:.1f} %",
        "median width": f"{np.median(widths):.2f}",
        "median limit over the true one": f"{np.median(ratios):.2f}",
    }
    print(rows_table([summary]))
    medians = {
        dose: np.median([row.metrics.phase_rmse_rad for row in some if row.metrics]) for dose, some in of_dose.items()
    }
    ratio = "median error over the formula's"
    print(rows_table([{"dose": f"{dose:g}", ratio: medians[dose] / typical_error(dose, empty_rad)} for dose in DOSES]))


if __name__ == "__main__":
    main()
