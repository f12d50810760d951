"""A finished run directory -> one picture: the phase of every cell's object.

Example: python scripts/draw_run.py runs/demo --out demo.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fly64dask.alignment import illuminated_area, illumination, remove_phase_ramp
from fly64dask.attributes import ExposureAttributes, ReconstructionAttributes, ViewAttributes
from fly64dask.dataset import read_array, read_attributes
from fly64dask.layout import RunLayout
from fly64dask.manifest import ManifestRow
from fly64dask.runs import read_kept_group, read_row, read_run_study
from fly64dask.study import SPLITS, Cell, Split, Study, dose_name, repeats_of


def main() -> None:
    """Draw one column for each dose and split, one row for each view."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="PNG or SVG to make")
    parser.add_argument("--repeat", type=int, default=0, help="which draw of the photons, from 0")
    arguments = parser.parse_args()
    layout = RunLayout(arguments.run.resolve())
    draw(read_run_study(layout), layout, arguments.repeat).savefig(arguments.out, dpi=110, bbox_inches="tight")


def draw(study: Study, layout: RunLayout, repeat: int) -> Figure:
    """Draw the matrix of phases of one repeat, in rad, on one scale."""
    columns: list[tuple[float | str, Split]] = [(dose, split) for dose in study.doses_photons for split in SPLITS]
    figure, axes = plt.subplots(
        len(study.views), len(columns), figsize=(2.3 * len(columns), 1.7 * len(study.views)), squeeze=False
    )
    shown = None
    for axis_row, view in zip(axes, study.views, strict=True):
        for axis, (dose, split) in zip(axis_row, columns, strict=True):
            cell = Cell(dose=dose, view=view.name, split=split, repeat=min(repeat, repeats_of(study, dose)[-1]))  # type: ignore[arg-type]
            row = read_row(layout, cell)
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"{dose_name(dose)} {view.name} {split}", fontsize=7)
            axis.set_xlabel(caption(row), fontsize=7)
            if row is not None and row.state == "completed":
                shown = axis.imshow(phase_of(layout, cell), cmap="twilight_shifted", vmin=-1.2, vmax=1.2)
    if shown is not None:
        figure.colorbar(shown, ax=axes, shrink=0.6, label="phase (rad)")
    return figure


def caption(row: ManifestRow | None) -> str:
    """Number of exposures and error, or why there is no reconstruction."""
    if row is None:
        return "pending"
    if row.state != "completed":
        return str(row.failure_kind)
    return f"n = {row.n_kept}" + (f", error {row.metrics.phase_rmse_rad:.3f} rad" if row.metrics else "")


def phase_of(layout: RunLayout, cell: Cell) -> NDArray[np.float64]:
    """Phase of a cell's object inside its illuminated area, ramp removed, rad; NaN outside."""
    group, exposures, view = (
        layout.reconstruction_group(cell),
        layout.exposure_group(cell.dose, cell.split, cell.repeat),
        read_kept_group(layout, cell),
    )
    attributes, sha256 = read_attributes(group, ReconstructionAttributes)
    _, exposure_sha256 = read_attributes(exposures, ExposureAttributes)
    _, view_sha256 = read_attributes(view, ViewAttributes)
    kept = read_array(view, "kept_indices", sha256=view_sha256["kept_indices"])
    positions = read_array(exposures, "positions_px", sha256=exposure_sha256["positions_px"], rows=kept)
    recon = read_array(group, "object_recon", sha256=sha256["object_recon"])[0]
    probe = read_array(group, "probe_recon", sha256=sha256["probe_recon"])
    area = illuminated_area(illumination(probe, positions, recon.shape, attributes.object_origin_px))
    y, x = (slice(lit.min(), lit.max() + 1) for lit in np.nonzero(area))
    return np.where(area, remove_phase_ramp(recon, area), np.nan)[y, x]


if __name__ == "__main__":
    main()
