"""What is known of a measurement's geometry: wavelength, distance, pixel sizes."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat

from fly64dask.base.schema import Frozen

Particle = Literal["photon", "electron"]
Pair = tuple[PositiveFloat, PositiveFloat]


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
