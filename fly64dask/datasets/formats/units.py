"""Units that files name, in metres and keV."""

from __future__ import annotations

from pathlib import Path

from fly64dask.base import InputError

ELEMENTARY_CHARGE_C = 1.602176634e-19  # exact (SI)
GIVE_UNIT = "give --positions-unit px, m, mm, um, nm or angstrom"
METRES = {
    "m": 1.0,
    "metre": 1.0,
    "meter": 1.0,
    "metres": 1.0,
    "meters": 1.0,
    "mm": 1e-3,
    "millimetre": 1e-3,
    "millimeter": 1e-3,
    "um": 1e-6,
    "\u00b5m": 1e-6,
    "\u03bcm": 1e-6,
    "micron": 1e-6,
    "microns": 1e-6,
    "micrometre": 1e-6,
    "micrometer": 1e-6,
    "nm": 1e-9,
    "nanometre": 1e-9,
    "nanometer": 1e-9,
    "a": 1e-10,
    "\u00e5": 1e-10,
    "\u212b": 1e-10,
    "angstrom": 1e-10,
    "angstroms": 1e-10,
    "pm": 1e-12,
}
KEV = {
    "j": 1e-3 / ELEMENTARY_CHARGE_C,
    "joule": 1e-3 / ELEMENTARY_CHARGE_C,
    "ev": 1e-3,
    "kev": 1.0,
    "mev": 1e3,
    "gev": 1e6,
}


def metres(unit: object, path: Path, *, default: str = "m") -> float:
    """Give the metres in a unit of length; `default` if a file names none."""
    return _factor(unit, METRES, default, path)


def kev(unit: object, path: Path, *, default: str) -> float:
    """Give the keV in a unit of energy; `default` if a file names none."""
    return _factor(unit, KEV, default, path)


def _factor(unit: object, factors: dict[str, float], default: str, path: Path) -> float:
    name = str(unit or default).strip().lower()
    if name not in factors:
        raise InputError(f"read {path}: unit {name!r}, needed one of {', '.join(factors)}", remedy="correct the file")
    return factors[name]
