"""Prints what the setups of a run gave, as the Markdown table of docs/reference/study/setups.md.

`fly64dask run data/setups.toml --out runs/setups`, then `python scripts/table_setups.py runs/setups`. Numbers are phase
errors in rad, those of the noise realisations of a place by their mean.
"""

from __future__ import annotations

import sys

from fly64dask import open_run
from fly64dask.records import number_words


def main() -> None:
    """Print a row for each setup: its phase error at each dose, and the lowest dose that reaches the run's target."""
    run = open_run(sys.argv[1])
    table = run.table()
    errors = table["metrics.phase_rmse_rad"].groupby(["setup_name", "dose"], sort=False).mean().unstack("dose")
    (answer,) = run.limits().targets
    doses = sorted(errors.columns)
    print(f"| setup | {' | '.join(f'{number_words(dose)} photons' for dose in doses)} | {answer.target.label} need |")
    print("|---" * (len(doses) + 2) + "|")
    for limit in answer.doses:
        numbers = [f"{errors.at[limit.setup_name, dose]:.3f}" for dose in doses]
        lowest = (
            limit.outcome.replace("_", " ") if limit.lowest is None else f"{number_words(limit.lowest.dose)} photons"
        )
        print(f"| `{limit.setup_name}` | {' | '.join(numbers)} | {lowest} |")
    for column in ("metrics.empty_phase_rmse_rad", "unmasked_share", "mean_background_photons"):
        print(f"{column}: {', '.join(f'{number:.3g}' for number in sorted(set(table[column].dropna())))}")
    reached = {limit.setup_name: limit.lowest.dose for limit in answer.doses if limit.lowest is not None}
    first = next(iter(reached))
    for name, dose in reached.items():
        print(f"{name} needs {dose / reached[first]:.2g} times the dose of {first}")


if __name__ == "__main__":
    main()
