"""What is known of a measurement's geometry: wavelength, distance, pixel sizes, and lengths in px as nanometres."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PositiveFloat

from fly64dask.base.schema import Frozen

Particle = Literal["photon", "electron"]
Pair = tuple[PositiveFloat, PositiveFloat]


def _of_two_sides(size: Any) -> Any:
    """Take one number as the side of a square pixel."""
    return (size, size) if isinstance(size, int | float) else size


# Sides (y, x) of a pixel of the object; where one number is given, it is square.
PixelSizeNm = Annotated[Pair, BeforeValidator(_of_two_sides)]


class Geometry(Frozen):
    """Geometry of a measurement; what is not known is None. Pairs are in order (y, x).

    `pixel_size_nm` is that of the object and of the probe; `pitch_um` that of the detector, after any binning that the
    patterns have had; `reciprocal_pixel_per_nm` is one pixel of a pattern as a spatial frequency, 1 / (N dx) for N
    pixels; `energy_kev` is that of one photon, or the kinetic energy of one electron; `semi_angle_mrad` that of an
    electron probe, whose bright disk in a pattern has `bright_disk_radius_px`. All but `pixel_size_nm` stay true when
    patterns are cropped: `pixel_size_nm` is that of the patterns as they lie in the file.
    """

    particle: Particle = "photon"
    pixel_size_nm: Pair | None = None
    wavelength_nm: PositiveFloat | None = None
    energy_kev: PositiveFloat | None = None
    distance_m: PositiveFloat | None = None
    pitch_um: Pair | None = None
    reciprocal_pixel_per_nm: Pair | None = None
    semi_angle_mrad: PositiveFloat | None = None
    bright_disk_radius_px: PositiveFloat | None = None


def mean_side_nm(pixel_size_nm: tuple[float, float] | None) -> float | None:
    """Compute the side, in nm, of a square pixel of equal area; it converts lengths that lie along no axis.

    Lengths along an axis have the side of that axis. None where the size is not known.
    """
    return None if pixel_size_nm is None else (pixel_size_nm[0] * pixel_size_nm[1]) ** 0.5


def in_nm(length_px: float | None, pixel_size_nm: tuple[float, float] | None) -> float | None:
    """Convert a length of no particular direction from px to nm; None if it or the pixel's size is not known."""
    side_nm = mean_side_nm(pixel_size_nm)
    return None if length_px is None or side_nm is None else length_px * side_nm
