"""Draws a cell as a figure, with the images and curves that the report shows, and a probe as another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import counted, mean_side_nm
from fly64dask.records import resolution_words
from fly64dask.report.figure_parts import (
    CURVE_NAMES,
    INKS,
    THRESHOLDS,
    draw_crossings,
    draw_scale_bar,
    draw_thresholds,
)
from fly64dask.report.images import probe_images

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fly64dask.records import ManifestRow
    from fly64dask.report.cells import CellArrays
    from fly64dask.report.images import Curve, Image

N_COLUMNS = 3
RINGS = ("frc_truth", "frc_empty", "frc_halves", "frc_reference", *THRESHOLDS)


def draw_cell(row: ManifestRow, arrays: CellArrays) -> Figure:
    """Draw a cell's images, each with its scale, and its curves.

    Parameters
    ----------
    row : ManifestRow
        The cell's row.
    arrays : CellArrays
        Its images and curves.

    Returns
    -------
    matplotlib.figure.Figure
        It belongs to no window and no global state.
    """
    from matplotlib.figure import Figure

    rings = [curve for curve in arrays.curves if curve.key in RINGS]
    others = [curve for curve in arrays.curves if curve.key not in RINGS]
    drift = _drift_of(arrays)
    n_panels = len(arrays.images) + len(others) + bool(rings) + (drift is not None)
    n_rows = -(-n_panels // N_COLUMNS)
    figure = Figure(figsize=(3.6 * N_COLUMNS, 2.9 * n_rows), layout="constrained")
    axes = iter(figure.subplots(n_rows, N_COLUMNS, squeeze=False).flat)
    for image in arrays.images:
        _draw_image(figure, next(axes), image, row.pixel_size_nm)
    for curve in others:
        _draw_curves(next(axes), [curve], x_label="epoch", y_label=curve.key)
    side_nm = mean_side_nm(row.pixel_size_nm)
    of_side = "" if side_nm is None else f" of {side_nm:.4g} nm"
    if rings:
        _draw_curves(next(axes), rings, x_label=f"spatial frequency (cycles/px{of_side})", y_label="ring correlation")
    if drift is not None:
        _draw_drift(next(axes), *drift)
    for axis in axes:
        axis.set_axis_off()
    error = f"phase error {row.metrics.phase_rmse_rad:.3f} rad" if row.metrics else resolution_words(row.half_sets)
    figure.suptitle(f"{row.cell.name}: {counted(row.n_kept or 0, 'exposure')}, {error}", fontsize=10)
    return figure


def draw_probe(probe: NDArray[np.complex64], title: str, *, pixel_size_nm: tuple[float, float] | None = None) -> Figure:
    """Draw a starting probe (n_opr, n_modes, H, W) in its unit: the amplitude of all modes, the phase where it is
    bright.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    for axis, image in zip(figure.subplots(1, 2), probe_images(probe, unit="√intensity"), strict=True):
        _draw_image(figure, axis, image, pixel_size_nm)
    figure.suptitle(title, fontsize=9)
    return figure


def _drift_of(arrays: CellArrays) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the positions of a cell and how far each was moved, (n, 2) px; None if they were not refined."""
    recorded_px, refined = arrays.positions_px, arrays.refined_px
    if recorded_px is None or refined is None or recorded_px.shape != refined.shape:
        return None
    return recorded_px, refined - recorded_px


def _draw_drift(axis: Any, positions_px: NDArray[np.float64], drift_px: NDArray[np.float64]) -> None:
    """Draw how far positions were moved, as arrows at the place of each; the longest is a tenth of the field."""
    longest = float(np.hypot(*drift_px.T).max())
    field_px = float(np.ptp(positions_px, axis=0).max()) or 1.0
    magnification = 0.1 * field_px / longest if longest else 1.0
    (y, x), (dy, dx) = positions_px.T, drift_px.T
    axis.quiver(x, y, dx, dy, angles="xy", scale_units="xy", scale=1 / magnification, width=0.004, color=INKS[0])
    axis.set_aspect("equal")
    axis.margins(0.12)
    axis.invert_yaxis()
    rms_px = float(np.sqrt((drift_px**2).sum(axis=1).mean()))
    axis.set_title(f"drift of positions, {magnification:.3g} x: {rms_px:.2g} px rms, {longest:.2g} at most", fontsize=8)
    axis.set_xlabel("x (px)", fontsize=7)
    axis.set_ylabel("y (px)", fontsize=7)
    axis.tick_params(labelsize=7)


def _draw_image(figure: Figure, axis: Any, image: Image, pixel_size_nm: tuple[float, float] | None) -> None:
    """Draw an image in the pixels of the scan, y downwards, with a scale bar if the size of a pixel is known."""
    scale, (y, x), (height, width) = image.scale, image.origin_px, image.values.shape
    extent = (x - 0.5, x + width - 0.5, y + height - 0.5, y - 0.5)
    drawn = axis.imshow(image.values, cmap=scale.colours, vmin=scale.low, vmax=scale.high, extent=extent)
    axis.set_title(image.key.replace("_", " "), fontsize=9)
    of_y, of_x = ("", "") if pixel_size_nm is None else (f" of {side:.4g} nm" for side in pixel_size_nm)
    axis.set_xlabel(f"x (px{of_x})", fontsize=7)
    axis.set_ylabel(f"y (px{of_y})", fontsize=7)
    if pixel_size_nm is not None:
        draw_scale_bar(axis, (x, y + height), width, pixel_size_nm[1])
    axis.tick_params(labelsize=7)
    figure.colorbar(drawn, ax=axis, shrink=0.8, label=scale.unit)


def _draw_curves(axis: Any, curves: list[Curve], *, x_label: str, y_label: str) -> None:
    for curve, ink in zip([drawn for drawn in curves if drawn.key not in THRESHOLDS], INKS, strict=False):
        axis.plot(curve.x, curve.y, color=ink, linewidth=1, label=CURVE_NAMES.get(curve.key, curve.key))
        draw_crossings(axis, curve, ink)
    draw_thresholds(axis, curves)
    axis.set_xlabel(x_label, fontsize=7)
    axis.set_ylabel(y_label, fontsize=7)
    axis.tick_params(labelsize=7)
    if len(curves) > 1:
        # The legend is below the panel, as within it would cover the curves.
        axis.legend(fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2, frameon=False)
