"""Draw what the words of docs/explanation/dose.md mean, from a study's own probe and views.

python scripts/draw_dose.py data/demo.toml docs/pictures/dose.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from fly64dask.datasets import read_inputs
from fly64dask.scan import (
    BeamFields,
    illuminated_area,
    illumination_map,
    measure_beams,
    object_frame,
    select,
    split_indices,
)
from fly64dask.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

FWHM, D90, OUTLINE, ARRAY = "#d55e00", "#0072b2", "#ffffff", "#666666"  # of Okabe and Ito


def main() -> None:
    """Draw the picture that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="a simulated study; the first split is drawn")
    parser.add_argument("picture", type=Path, help="file to write; its suffix says the format")
    arguments = parser.parse_args()
    mpl.use("agg")
    mpl.rcParams |= {"svg.hashsalt": "fly64dask", "font.size": 8, "svg.fonttype": "none"}
    draw(Study.from_toml(arguments.study), arguments.picture)


def draw(study: Study, path: Path) -> None:
    """Draw the probe, two neighbours of the widest view in profile, and the illuminated area of each view."""
    from matplotlib.figure import Figure

    inputs = read_inputs(study)
    probe = inputs.probe_guess
    intensity = (np.abs(probe) ** 2).sum(axis=(0, 1))
    positions = inputs.positions_px[split_indices(inputs.positions_px, study.split, study.splits[0])]
    kept = {view.name: positions[select(positions, view).kept] for view in study.views}
    beams = {name: measure_beams(some, probe) for name, some in kept.items()}
    figure = Figure(figsize=(10.5, 6.4), layout="constrained")
    grid = figure.add_gridspec(2, 6, height_ratios=(1.15, 1))
    draw_probe(figure.add_subplot(grid[0, :2]), intensity, next(iter(beams.values())))
    dense = min((name for name in kept if beams[name].linear_overlap), key=lambda name: abs(overlap(beams[name]) - 0.4))
    draw_neighbours(figure.add_subplot(grid[0, 2:]), intensity, dense, beams[dense])
    shown = list(kept)[:3]
    for place, name in enumerate(shown):
        draw_illuminated_area(
            figure.add_subplot(grid[1, 2 * place : 2 * place + 2]), probe, kept[name], name, beams[name]
        )
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)


def overlap(beams: BeamFields) -> float:
    """Linear overlap of a view that has one."""
    assert beams.linear_overlap is not None
    return beams.linear_overlap


def draw_probe(axis: Axes, intensity: NDArray[np.float64], beams: BeamFields) -> None:
    """Draw the probe's intensity in its array, with its two diameters."""
    height, width = intensity.shape
    axis.imshow(intensity, cmap="Greys", extent=(0, width, height, 0))
    centre = (width // 2 + 0.5, height // 2 + 0.5)
    for colour, name, diameter_px in ((FWHM, "FWHM", beams.probe_fwhm_px), (D90, "D90", beams.probe_d90_px)):
        assert diameter_px is not None
        axis.add_patch(mpl.patches.Circle(centre, diameter_px / 2, fill=False, color=colour))
        axis.plot([], [], color=colour, label=f"{name} {diameter_px:.1f} px")
    axis.set(xticks=[0, width], yticks=[0, height], title=f"the probe in its array of {width} px")
    axis.legend(loc="lower center", ncols=2, frameon=False, bbox_to_anchor=(0.5, -0.2))


def draw_neighbours(axis: Axes, intensity: NDArray[np.float64], name: str, beams: BeamFields) -> None:
    """Draw two probes a step apart in profile, with their discs and arrays."""
    step_px, fwhm_px, d90_px = (value or 0.0 for value in (beams.step_px, beams.probe_fwhm_px, beams.probe_d90_px))
    side = intensity.shape[1]
    profile = intensity[intensity.shape[0] // 2] / intensity.max()
    x = np.arange(side) - side // 2
    for centre, style in ((0.0, "-"), (step_px, "--")):
        axis.fill_between(x + centre, profile, color="0.5", alpha=0.25, linewidth=0)
        axis.plot(x + centre, profile, style, color="0.2", linewidth=1)
    bar(axis, 0, step_px, 1.12, f"step {step_px:.1f} px", "k")
    bar(axis, -fwhm_px / 2, fwhm_px / 2, 0.5, f"FWHM {fwhm_px:.1f} px", FWHM)
    for level, centre in ((-0.16, 0.0), (-0.26, step_px)):
        bar(axis, centre - d90_px / 2, centre + d90_px / 2, level, f"D90 {d90_px:.1f} px" if not centre else "", D90)
    axis.axvspan(step_px - d90_px / 2, d90_px / 2, ymin=0, ymax=0.27, color=D90, alpha=0.2, linewidth=0)
    words = f"linear overlap\n1 - step / D90 = {1 - step_px / d90_px:.2f}"
    axis.text(step_px + d90_px / 2 + 2, -0.2, words, color=D90, va="center")
    for level, centre in ((-0.46, 0.0), (-0.56, step_px)):
        bar(axis, centre - side / 2, centre + side / 2, level, f"array {side} px" if not centre else "", ARRAY)
    axis.text(step_px + side / 2 + 1, -0.5, f"array overlap\n1 - step / {side} = {1 - step_px / side:.2f}", va="center")
    axis.set(ylim=(-0.66, 1.3), yticks=[0, 0.5, 1], xlim=(-side / 2 - 3, step_px + side / 2 + 26), xlabel="px")
    axis.set_title(f"two neighbours of view {name!r}, intensity in profile")
    axis.spines[["top", "right"]].set_visible(False)


def bar(axis: Axes, low: float, high: float, level: float, words: str, colour: str) -> None:
    """Draw a length with its name above it."""
    axis.annotate(
        "", (low, level), (high, level), arrowprops={"arrowstyle": "|-|,widthA=0.25,widthB=0.25", "color": colour}
    )
    behind = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
    axis.text(
        (low + high) / 2, level + 0.04, words, color=colour, ha="center", va="bottom", bbox=behind if words else None
    )


def draw_illuminated_area(axis: Any, probe: NDArray[np.complex64], kept_px: Any, name: str, beams: BeamFields) -> None:
    """Draw the sum of all beams of a view, relative to its brightest pixel, and the outline of the illuminated area."""
    shape, origin = object_frame(kept_px, probe.shape[-2:])
    light = illumination_map(probe, kept_px, shape, origin)
    axis.imshow(light / light.max(), cmap="magma")
    axis.contour(illuminated_area(light), [0.5], colors=OUTLINE, linewidths=0.8)
    axis.plot(kept_px[:, 1] - origin[1], kept_px[:, 0] - origin[0], ".", color="#56b4e9", markersize=2)
    axis.set(xticks=[], yticks=[])
    axis.set_title(f"{name}: {len(kept_px)} exposures, step {beams.step_px or 0:.1f} px")
    axis.set_xlabel(
        f"illuminated area {beams.illuminated_area_px2} px², linear overlap {beams.linear_overlap or 0:.2f}\n"
        f"areal oversampling {beams.areal_oversampling or 0:.1f}"
    )


if __name__ == "__main__":
    main()
