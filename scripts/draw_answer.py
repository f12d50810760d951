"""Draw the answer of a run in one picture: the phases of its cells, which of them reach a target, and the limits.

python scripts/draw_answer.py runs/demo docs/pictures/answer.png

Rows are views and columns are doses, of one split and of the study's first target, which has to be a phase error.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import fly64dask
from fly64dask.report.cells import CellReader
from fly64dask.report.figure_parts import panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fly64dask.records import DoseLimit
    from fly64dask.report.images import Image

REACHED, MISSED = "#007d5b", "#b34700"  # green and orange of the report


def main() -> None:
    """Draw the picture that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="directory of a finished run of a simulated study with targets")
    parser.add_argument("picture", type=Path, help="file to write; its suffix says the format")
    parser.add_argument("--split", default="train", help="[%(default)s]")
    arguments = parser.parse_args()
    draw(fly64dask.open_run(arguments.run), arguments.split, arguments.picture)


def draw(run: fly64dask.Run, split: str, path: Path) -> None:
    """Draw a row of phases for each view, with its limit in words."""
    target = run.limits().targets[0]
    goal_rad = target.target.phase_error_rad
    assert goal_rad is not None, "the first target is a phase error"
    limits = [limit for limit in target.doses if limit.split == split]
    rows = {(row.view, row.dose): row for row in run.rows if row.split == split}
    reader = CellReader(run.study, run.layout, run.rows)
    doses = [float(dose) for dose in run.study.doses_photons]
    figure, axes = panels(len(limits), len(doses) + 1, 2.7, 2.0)
    figure.suptitle(f"How low can the dose go? The target is a phase error of {goal_rad:g} rad.", fontsize=12)
    for axis, dose in zip(axes[0], doses, strict=False):
        axis.set_title(f"{dose:,.0f} photons per exposure".replace(",", " "), fontsize=9)
    for axis_row, limit in zip(axes, limits, strict=True):
        for axis, dose in zip(axis_row, doses, strict=False):
            row = rows[limit.view, dose]
            assert row.metrics is not None, f"{row.cell.name} is completed"
            error_rad = row.metrics.phase_rmse_rad
            (phase,) = (image for image in reader.read(row).images if image.key == "phase")
            draw_cell(axis, phase, f"{error_rad:.3f} rad", reaches=error_rad <= goal_rad)
        axis_row[0].set_ylabel(f"{light_words(limit)}\n{limit.n_kept} exposures", fontsize=9)
        axis_row[-1].set_axis_off()
        colour = REACHED if limit.lowest else MISSED
        axis_row[-1].text(0, 0.5, limit_words(limit), fontsize=11, color=colour, va="center")
    figure.savefig(path, dpi=110)


def draw_cell(axis: Axes, phase: Image, error: str, *, reaches: bool) -> None:
    """Draw the phase of a cell, framed by whether it reaches the target."""
    axis.imshow(phase.values, cmap=phase.scale.colours, vmin=phase.scale.low, vmax=phase.scale.high)
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel(f"{'✔' if reaches else '✘'} {error}", fontsize=9, color=REACHED if reaches else MISSED)
    for spine in axis.spines.values():
        spine.set(color=REACHED if reaches else "0.75", linewidth=3 if reaches else 1)


def light_words(limit: DoseLimit) -> str:
    """Say how far the beams of a view overlap."""
    assert limit.linear_overlap is not None, "a simulation knows its probe"
    return f"{100 * limit.linear_overlap:.0f} % overlap" if limit.linear_overlap > 0 else "beams apart"


def limit_words(limit: DoseLimit) -> str:
    """Say the lowest dose of a view."""
    if limit.lowest:
        return f"needs {limit.lowest.dose:.2g}\nphotons per exposure".replace("e+0", "e")
    assert limit.highest_dose is not None, "the limit is of cells"
    return f"is not reached\nup to {limit.highest_dose.dose:.0e}".replace("e+0", "e")


if __name__ == "__main__":
    main()
