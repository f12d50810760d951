"""How far a limit depends on the distance of a study's doses, and a resolution on its criterion, on the demo.

Two views of the demo run with five repeats at nine doses. Limits of some phase errors are then found with all of them,
with those half a decade apart, and with those a decade apart; nothing else differs. The second table compares the same
cells with themselves, by doses a decade apart and by those in between: a difference is one of the interpolation alone.
The third has the resolution of the same cells by each criterion, against the truth and between half sets.

    python scripts/accuracy/limits/dose_steps.py runs/dose_steps   # 180 cells: some minutes on two cores
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from fly64dask.metrics import Crossing
from fly64dask.records import DoseLimit, ManifestRow, answer_of, factor_words, interval_words, p_words, verdict_words
from fly64dask.runs import run_study
from fly64dask.study import BaselineView, Filters, Study, Target

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
from measuring import rows_table

DEMO = Path(__file__).resolve().parents[3] / "data" / "demo.toml"
DECADES = (1e2, 1e3, 1e4, 1e5)
BETWEEN = (3.16e2, 3.16e3, 3.16e4)
HALF_DECADES = (1e2, 3.16e2, 1e3, 3.16e3, 1e4, 3.16e4, 1e5)
DOSES = tuple(sorted({*HALF_DECADES, 1.78e3, 5.62e3}))
VIEWS, REPEATS = ("baseline", "dense"), 5
TARGETS_RAD = (0.2, 0.15, 0.12, 0.1, 0.05)
RESOLUTION_DOSES = (1e3, 1e4)


def limits_of(
    study: Study, rows: Sequence[ManifestRow], doses: Sequence[float], goal_rad: float
) -> Sequence[DoseLimit]:
    """The limits of all views and splits with some of the doses."""
    few = study.model_copy(update={"doses_photons": doses})
    some = [row for row in rows if row.dose in doses]
    return answer_of(few, some, [Target(phase_error_rad=goal_rad)]).targets[0].doses


def step_rows(study: Study, rows: Sequence[ManifestRow]) -> list[dict[str, object]]:
    """Limits that are reached with each set of doses, by view, split and target."""
    table: list[dict[str, object]] = []
    for goal_rad in TARGETS_RAD:
        by_step = zip(
            *(limits_of(study, rows, doses, goal_rad) for doses in (DECADES, HALF_DECADES, DOSES)), strict=True
        )
        for found in by_step:
            lowest = [each.lowest for each in found]
            intervals = [each.interval for each in found]
            if any(each is None for each in lowest):
                continue
            words = [
                interval_words(light.dose, ends.doses if ends else None)
                for light, ends in zip(lowest, intervals, strict=True)
                if light is not None
            ]
            heads = ("a decade apart", "half a decade apart", f"all {len(DOSES)}")
            where = {"view": found[0].view, "split": found[0].split, "target": f"{goal_rad:g} rad"}
            table.append(where | dict(zip(heads, words, strict=True)))
    return table


def offset_rows(study: Study, rows: Sequence[ManifestRow]) -> list[dict[str, object]]:
    """What is said of two views that are the same cells at doses half a decade apart, by view, split and target.

    A dose is what a grid calls it; the fluences are those that fell on the sample.
    """
    grids = {"decades": DECADES, "between": BETWEEN}
    views = tuple(BaselineView(name=name, rule="baseline") for name in grids)
    table: list[dict[str, object]] = []
    for view in VIEWS:
        of_both = [
            row.model_copy(update={"view": name, "dose": DECADES[doses.index(row.dose)]})
            for name, doses in grids.items()
            for row in rows
            if row.view == view and row.dose in doses
        ]
        alike = study.model_copy(update={"doses_photons": DECADES, "views": views})
        for goal_rad in TARGETS_RAD:
            compared = answer_of(alike, of_both, [Target(phase_error_rad=goal_rad)]).targets[0].differences
            for each in compared:
                where: dict[str, object] = {"view": view, "split": each.place, "target": f"{goal_rad:g} rad"}
                words = {"factor": factor_words(each), "p": p_words(each.p_corrected), "said": verdict_words(each)}
                if each.verdict != "unknown":
                    table.append(where | words)
    return table


def criterion_rows(rows: Sequence[ManifestRow]) -> list[dict[str, object]]:
    """Median resolutions of the baseline by criterion, px; those up to Nyquist count as 1."""
    table: list[dict[str, object]] = []
    for dose in RESOLUTION_DOSES:
        for split in ("train", "test"):
            some = [row for row in rows if (row.dose, row.view, row.split) == (dose, "baseline", split)]
            of_truth = [row.metrics.frc for row in some if row.metrics and row.metrics.frc]
            of_halves = [row.half_sets for row in some if row.half_sets]
            places = {
                "truth: `half_bit`": [each.half_bit for each in of_truth],
                "truth: `half`": [each.half for each in of_truth],
                "half sets: `half_bit`": [each.half_bit for each in of_halves],
                "half sets: `against_truth`": [each.against_truth for each in of_halves],
            }
            where: dict[str, object] = {"photons per exposure": f"{dose:g}", "split": split}
            table.append(where | {head: _median_px(found) for head, found in places.items()})
    return table


def _median_px(places: Sequence[Crossing | None]) -> str:
    return f"{median(1.0 if place is None else place.resolution_px for place in places):.2f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="run directory")
    options = parser.parse_args()
    demo = Study.from_toml(DEMO)
    study = demo.model_copy(update={"name": "dose-steps", "doses_photons": DOSES, "repeats": REPEATS})
    run = run_study(study, options.out, filters=Filters(view=VIEWS), progress=True)
    rows = [row for row in run.rows if row.state == "completed"]
    print(rows_table(step_rows(study, rows)))
    print(rows_table(offset_rows(study, rows)))
    print(rows_table(criterion_rows(rows)))


if __name__ == "__main__":
    main()
