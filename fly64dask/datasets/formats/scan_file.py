"""The record that every reader makes of a scan, with patterns that are read in blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import Geometry, InputError, counted
from fly64dask.datasets.formats.options import PositionsUnit, Quantity, ZeroFrequency
from fly64dask.datasets.formats.patterns import Patterns

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The values that a file may have beside patterns and positions, in its own units and orientation.

    Parameters
    ----------
    file_format : str
        Name of the format, for messages and provenance.
    quantity : {'amplitude', 'intensity'}, optional
        What a pixel holds; None: neither the file nor its format says.
    zero_frequency : {'centre', 'corner'}
        Where the format has the direct beam.
    zero_frequency_is_stated : bool
        Whether the file itself says where the direct beam is, so that it need not be checked.
    photons_per_intensity : float, optional
        Photons per unit of intensity; None: not said.
    mask : (H, W) bool, optional
        True where a pixel is valid, as the patterns lie; None: the file has none.
    probe : (..., H, W) array, optional
        As the file has it, (H, W), (modes, H, W) or (opr, modes, H, W); not checked.
    opr_weights : array, optional
        Weight of each OPR mode in each exposure, (n, opr), as the file has it; not checked.
    object_guess : array, optional
        Object as the file has it; not checked.
    geometry : Geometry
        The geometry that the file has.
    metadata : dict
        The file's own, for the store.
    assumed : tuple of str
        What neither the file, nor a person, nor the format says, such as 'far field'.
    """

    file_format: str
    quantity: Quantity | None = None
    zero_frequency: ZeroFrequency = "centre"
    zero_frequency_is_stated: bool = False
    photons_per_intensity: float | None = None
    mask: NDArray[np.bool_] | None = None
    probe: NDArray[np.generic] | None = None
    opr_weights: NDArray[np.generic] | None = None
    object_guess: NDArray[np.generic] | None = None
    geometry: Geometry = field(default_factory=Geometry)
    metadata: dict[str, JsonValue] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFile(Description):
    """A scan as its files describe it: a `Description` with its patterns and positions.

    Parameters
    ----------
    paths : tuple of Path
        The files, that of the patterns first.
    patterns : Patterns
        One for each position, in the same order.
    positions : (n, 2) float64
        Order (y, x), of the beam on the object: row = +y, column = +x; not checked for sense.
    positions_unit : {'px', 'm'}
        Unit of the positions; px are those of the object.
    """

    paths: tuple[Path, ...]
    patterns: Patterns
    positions: NDArray[np.float64]
    positions_unit: PositionsUnit

    def __post_init__(self) -> None:
        """Refuse patterns, positions and a mask that do not belong together."""
        n = self.patterns.shape[0]
        if len(self.positions) != n:
            last = self.patterns.shape[2] == len(self.positions)
            raise InputError(
                f"read {self.paths[0]}: {counted(n, 'pattern')} but {counted(len(self.positions), 'scan position')}",
                remedy="give --layout hwn, as the last axis counts the patterns"
                if last
                else "give one position for each pattern",
            )
        if self.mask is not None and self.mask.shape != self.patterns.shape[1:]:
            raise InputError(
                f"read {self.paths[0]}: the mask is of {self.mask.shape} px, patterns of {self.patterns.shape[1:]}",
                remedy="correct the file, or name another mask",
            )
