"""Computes the pixel of the object from a measurement's geometry, and swaps and flips positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import Geometry
from fly64dask.datasets.ingest.options import IngestOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

# hc in nm keV; an electron's wavelength is 12.2643 / sqrt(V + 0.978476e-6 V^2) Angstrom (relativistic de Broglie).
HC_NM_KEV = 1.23984198
ELECTRON_NM, ELECTRON_CORRECTION_PER_V = 1.22643, 0.978476e-6
# Two pixel sizes that differ by no more than this fraction are equal up to rounding (our choice).
SAME_PIXEL = 0.01


def wavelength_nm(geometry: Geometry) -> float | None:
    """Return the wavelength, nm, that a geometry states or that follows from its energy; None if it has neither."""
    if geometry.wavelength_nm is not None or geometry.energy_kev is None:
        return geometry.wavelength_nm
    if geometry.particle == "photon":
        return HC_NM_KEV / geometry.energy_kev
    volts = 1e3 * geometry.energy_kev
    return float(ELECTRON_NM / np.sqrt(volts + ELECTRON_CORRECTION_PER_V * volts**2))


def object_pixel_nm(
    geometry: Geometry, whole_px: tuple[int, int], *, is_transposed: bool
) -> tuple[float, float] | None:
    """Compute the pixel of object and probe, (y, x) nm, for patterns that are not cut; None if it is not known.

    Notes
    -----
    It is the size that the geometry states; else lambda z / (N p) of the far field, for each axis; for electrons 1 / (N
    dk), where dk is stated, or is the semi-angle divided by the wavelength and the radius of the bright disk.
    """
    if geometry.pixel_size_nm is not None:
        return geometry.pixel_size_nm
    wavelength = wavelength_nm(geometry)
    height, width = whole_px
    if wavelength is not None and geometry.distance_m is not None and geometry.pitch_um is not None:
        pitch_y, pitch_x = geometry.pitch_um[::-1] if is_transposed else geometry.pitch_um
        to_nm = wavelength * geometry.distance_m * 1e6  # m / um
        return to_nm / (height * pitch_y), to_nm / (width * pitch_x)
    step = geometry.reciprocal_pixel_per_nm
    if step is None and wavelength is not None and geometry.semi_angle_mrad and geometry.bright_disk_radius_px:
        per_px = 1e-3 * geometry.semi_angle_mrad / wavelength / geometry.bright_disk_radius_px
        step = (per_px, per_px)
    if step is None:
        return None
    step_y, step_x = step[::-1] if is_transposed else step
    return 1 / (height * step_y), 1 / (width * step_x)


def doubt_pixel(geometry: Geometry, whole_px: tuple[int, int], *, is_transposed: bool) -> Iterator[str]:
    """Warn that a stated pixel size, which is accepted, differs from what the rest of the geometry gives."""
    stated = geometry.pixel_size_nm
    rest = geometry.model_copy(update={"pixel_size_nm": None})
    computed = object_pixel_nm(rest, whole_px, is_transposed=is_transposed)
    if stated is not None and computed is not None and not np.allclose(stated, computed, rtol=SAME_PIXEL):
        stated_text, computed_text = (f"{y:.4g} x {x:.4g} nm" for y, x in (stated, computed))
        yield f"a pixel of {stated_text}, though the rest of the geometry gives {computed_text}"


def swap_and_flip(positions: NDArray[np.float64], options: IngestOptions) -> NDArray[np.float64]:
    """Swap and then flip the axes of positions (n, 2), order (y, x), in any unit, as the options say."""
    y, x = (positions[:, 1], positions[:, 0]) if options.swap_xy else (positions[:, 0], positions[:, 1])
    return np.stack([-y if options.flip_y else y, -x if options.flip_x else x], axis=1)
