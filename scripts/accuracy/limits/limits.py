"""How often the interval of a limit holds the truth: a table over repeats, steps of the doses, spreads and shares.

Errors are a fluence^-0.5 + floor with a normal spread of their logarithm, so that the limit is known; several objects
have a spread of 0.1 of their own beside it. They go as rows
of a run through the same code as `fly64dask limits`; no engine runs.

    python scripts/accuracy/limits/limits.py               # 400 seeds a line: a minute or two
    python scripts/accuracy/limits/limits.py --seeds 50
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from fly64dask.metrics import TruthMetrics
from fly64dask.records import ManifestRow, answer_of
from fly64dask.study import Study, Target, parse_study

FLOOR_RAD, GOAL_RAD = 0.01, 0.025
N_DOSES = 5
STUDY = """
schema_version = 1
name = "known-limit"
doses_photons = [1.0]
split = "none"
views = [{name = "all", rule = "baseline"}]
[source]
kind = "synthetic"
object_shape_px = [72, 72]
probe_shape_px = [24, 24]
seed_pair = 1
scan = {kind = "uniform", n_exposures = 60, low_px = 12, high_px = 60}
"""
# Of which only the phase error is looked at.
EMPTY_IMAGE = {"rmse": 1.0, "mae": 1.0, "peak": 1.0}
EMPTY_OBJECT = {"phase": EMPTY_IMAGE, "amplitude": EMPTY_IMAGE}
METRICS = TruthMetrics.model_validate(
    EMPTY_OBJECT
    | {"phase_rmse_rad": 1.0, "empty_phase_rmse_rad": 1.0, "no_better_than_empty": True, "n_pixels": 1}
    | {
        "empty": EMPTY_OBJECT,
        "alignment": {
            "shift_y_px": 0.0,
            "shift_x_px": 0.0,
            "shift_bound_px": 1.0,
            "shift_beyond_bound": False,
            "phase_offset_rad": 0.0,
            "ramp_y_rad_per_px": 0.0,
            "ramp_x_rad_per_px": 0.0,
            "amplitude_scale": 1.0,
            "illuminated_fraction": 0.1,
        },
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of the table."""

    repeats: int
    step: float
    spread: float
    share: float = 0.5
    objects: int = 1
    object_spread: float = 0.0

    @property
    def limit_photons(self) -> float:
        """Where the wanted share of all errors that could be drawn is at most the goal."""
        typical_rad = GOAL_RAD / math.exp(norm.ppf(self.share) * math.hypot(self.spread, self.object_spread))
        return float((typical_rad - FLOOR_RAD) ** -2)


CASES = (
    *(Case(repeats=repeats, step=10**0.5, spread=0.05) for repeats in (2, 3, 4, 5, 10)),
    *(Case(repeats=5, step=step, spread=0.05) for step in (2.0, 10.0)),
    *(Case(repeats=5, step=10**0.5, spread=spread) for spread in (0.02, 0.1, 0.2)),
    *(Case(repeats=repeats, step=10**0.5, spread=0.05, share=0.8) for repeats in (5, 10)),
    *(
        Case(repeats=repeats, step=10**0.5, spread=0.05, objects=objects, object_spread=0.1)
        for objects in (2, 3, 5)
        for repeats in (1, 3)
    ),
)


def rows_of(case: Case, doses: tuple[float, ...], rng: np.random.Generator) -> Iterator[ManifestRow]:
    """Rows of a run whose errors are drawn; an object's own factor is the same at all doses."""
    of_objects: list[int | None] = [None] if case.objects == 1 else list(range(case.objects))
    factors = [math.exp(case.object_spread * rng.standard_normal()) if case.objects > 1 else 1.0 for _ in of_objects]
    for dose, (seed, factor) in itertools.product(doses, zip(of_objects, factors, strict=True)):
        for repeat in range(case.repeats):
            error_rad = factor * (dose**-0.5 + FLOOR_RAD) * math.exp(case.spread * rng.standard_normal())
            row = ManifestRow.model_validate(
                {"dose": dose, "view": "all", "split": "whole", "repeat": repeat, "state": "completed"}
                | {
                    "object_seed": seed,
                    "returncode": 0,
                    "log_path": "log",
                    "dose_photons": dose,
                    "fluence_photons_per_px2": dose,
                }
            )
            yield row.model_copy(update={"metrics": METRICS.model_copy(update={"phase_rmse_rad": error_rad})})


def coverage(case: Case, study: Study, n_seeds: int) -> tuple[int, float, float]:
    """How many intervals hold the limit, their median width as a factor, and the median limit over the true one."""
    n_held, widths, ratios = 0, [], []
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        # The limit lies anywhere between the two doses in the middle.
        place = np.arange(N_DOSES) - (N_DOSES - 1) / 2 + rng.uniform(-0.5, 0.5)
        doses = tuple(float(dose) for dose in case.limit_photons * case.step**place)
        drawn = study.model_copy(update={"doses_photons": doses, "repeats": case.repeats})
        if case.objects > 1:
            source = drawn.source.model_copy(update={"seed_pair": tuple(range(case.objects))})
            drawn = drawn.model_copy(update={"source": source})
        target = Target(phase_error_rad=GOAL_RAD, share=case.share)
        found = answer_of(drawn, rows_of(case, doses, rng), [target]).targets[0].doses[0]
        ends = found.interval.doses if found.interval else (None, None)
        low, high = ends[0] or 0.0, ends[1] or math.inf
        n_held += found.interval is not None and low <= case.limit_photons <= high
        if found.lowest is not None:
            widths.append(high / low if low else math.inf)
            ratios.append(found.lowest.dose / case.limit_photons)
    return n_held, float(np.median(widths)), float(np.median(ratios))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=400, help="of each line (default: 400)")
    n_seeds = parser.parse_args().seeds
    study = parse_study(STUDY, origin="known-limit.toml")
    print(
        "| objects | repeats | doses apart by a factor of | spread | share | intervals that hold the limit "
        "| median width | median limit over the true one |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for case in CASES:
        n_held, width, ratio = coverage(case, study, n_seeds)
        print(
            f"| {case.objects} | {case.repeats} | {case.step:.3g} | {case.spread:g} | {case.share:g} | "
            f"{100 * n_held / n_seeds:.1f} % | {width:.2f} | {ratio:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
