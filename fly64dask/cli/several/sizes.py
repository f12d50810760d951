"""Writes numbers of bytes for people."""

from __future__ import annotations

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def bytes_words(n_bytes: int) -> str:
    """Write a number of bytes in powers of 1000, as disks are sold and `du --si` tells: `0 B`, `4.1 kB`, `12 GB`."""
    number, unit = float(n_bytes), 0
    while number >= 999.5 and unit < len(UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.3g} {UNITS[unit]}"
