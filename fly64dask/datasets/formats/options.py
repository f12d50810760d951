"""What a person states about a scan's files: names of datasets, units, geometry and raster."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, PositiveFloat, PositiveInt

from fly64dask.base import Frozen, Geometry, InputError, Particle

Layout = Literal["nhw", "hwn"]
Quantity = Literal["amplitude", "intensity"]
ZeroFrequency = Literal["centre", "corner"]
PositionsUnit = Literal["px", "m"]
LengthUnit = Literal["px", "m", "mm", "um", "nm", "angstrom"]
MaskGood = Literal["0", "1", "positive"]
Pair = tuple[PositiveFloat, PositiveFloat]


class Stored(Frozen):
    """A dataset times a factor; a name that ends in :0 or :1 takes that column of it."""

    model_config = ConfigDict(allow_inf_nan=False)

    dataset: str
    factor: float = 1.0


class ReadOptions(Frozen):
    """Settings for what files do not say themselves; None means that the files decide.

    The keys of a beamline file are the same. `positions` is a second file; `patterns`, `positions_y`, `positions_x`,
    `probe` and `mask` are names of datasets. `raster` is (slow, fast), with its step along both, and the angle from the
    detector's x axis to the fast axis, positive towards +y.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    positions: Path | None = None
    allow_pickle: bool = False
    allow_links: bool = False

    layout: Layout | None = None
    quantity: Quantity | None = None
    zero_frequency: ZeroFrequency | None = None
    photons_per_intensity: float | None = None

    patterns: str | None = None
    positions_y: str | Stored | None = None
    positions_x: str | Stored | None = None
    positions_unit: LengthUnit | None = None
    probe: str | None = None
    mask: str | None = None
    mask_good: MaskGood = "1"

    pixel_size_nm: PositiveFloat | Pair | None = None
    energy_kev: PositiveFloat | Stored | None = None
    wavelength_nm: PositiveFloat | Stored | None = None
    distance_m: PositiveFloat | Stored | None = None
    pitch_um: PositiveFloat | Pair | Stored | None = None
    particle: Particle | None = None
    semi_angle_mrad: PositiveFloat | None = None
    bright_disk_radius_px: PositiveFloat | None = None

    raster: tuple[PositiveInt, PositiveInt] | None = None
    raster_step_nm: PositiveFloat | Pair | None = None
    raster_rotation_deg: float = 0.0

    def geometry(self, of_files: Geometry) -> Geometry:
        """Replace the geometry of the files by what a person states.

        Raises InputError if both energy and wavelength are given, because one of them would be ignored.
        """
        if self.energy_kev is not None and self.wavelength_nm is not None:
            raise InputError(
                f"geometry: an energy ({self.energy_kev}) and a wavelength ({self.wavelength_nm}) are given, "
                "and each determines the other",
                remedy="give --energy-kev or --wavelength-nm, and leave the other out, of a beamline's file as well",
            )
        changes: dict[str, Any] = {
            "pixel_size_nm": _pair(self.pixel_size_nm),
            "pitch_um": None if isinstance(self.pitch_um, Stored) else _pair(self.pitch_um),
        }
        for name in ("energy_kev", "wavelength_nm", "distance_m"):
            value = getattr(self, name)
            changes[name] = None if isinstance(value, Stored) else value
        for name in ("particle", "semi_angle_mrad", "bright_disk_radius_px"):
            changes[name] = getattr(self, name)
        changes = {name: value for name, value in changes.items() if value is not None}
        # If a person gives the detector's geometry, the object's pixel is computed from it and not taken from a file.
        if {"distance_m", "pitch_um"} & set(changes) and "pixel_size_nm" not in changes:
            changes["pixel_size_nm"] = None
        # Energy and wavelength determine each other, so a given one invalidates the file's other one.
        if "energy_kev" in changes:
            changes["wavelength_nm"] = None
        elif "wavelength_nm" in changes:
            changes["energy_kev"] = None
        return of_files.model_copy(update=changes)


def _pair(value: float | Pair | None) -> Pair | None:
    return (value, value) if isinstance(value, float | int) else value
