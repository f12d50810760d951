"""Joins the parts of a scan from one file or two, and the statements of a person, to one record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fly64dask.base import Geometry, InputError, counted
from fly64dask.datasets.formats.options import PositionsUnit, ReadOptions
from fly64dask.datasets.formats.patterns import ChosenPatterns, Patterns
from fly64dask.datasets.formats.scan_file import Description, ScanFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FAR_FIELD = "far field"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Description):
    """The parts of a scan that one file has: a `Description` with patterns, positions, or both.

    `frame_numbers` (n,) and `position_numbers` (n,) tell which positions belong to which patterns; without the first, a
    pattern's number is its index. `is_far_field` says that the file states a far field, so that nothing is assumed.
    """

    path: Path
    patterns: Patterns | None = None
    frame_numbers: NDArray[np.int64] | None = None
    positions: NDArray[np.float64] | None = None
    position_numbers: NDArray[np.int64] | None = None
    positions_unit: PositionsUnit = "m"
    is_far_field: bool = False
    remedy: str = ""


def join(parts: Sequence[Parts], options: ReadOptions) -> ScanFile:
    """Join the parts of one file or two to a scan, with the geometry and the raster that a person gives.

    Raises InputError if there are no patterns or no positions, or they do not belong together.
    """
    with_patterns = [part for part in parts if part.patterns is not None]
    if not with_patterns:
        raise _incomplete(parts, "patterns", "give the file of the patterns too, as FILE or with --positions")
    scan = with_patterns[0]
    # If the other file has positions it is the file of the positions, because it is given for them.
    order = [*(part for part in parts if part is not scan), scan]
    positions, number_of, unit = _positions(order, options)
    patterns, positions, chosen, dropped = _matched(scan, positions, number_of)
    stated = {FAR_FIELD} if any(part.is_far_field for part in order) else set()
    assumed = [said for part in reversed(order) for said in part.assumed if said not in stated]
    if dropped:
        assumed.append(f"{counted(dropped, 'pattern')} without a position left out")
    weights = _first(order, "opr_weights")
    fits = weights is not None and weights.shape[:1] == (len(chosen),)
    return ScanFile(
        file_format=" + ".join(dict.fromkeys(part.file_format for part in reversed(order))),
        paths=tuple(part.path for part in reversed(order)),
        patterns=patterns,
        positions=positions,
        positions_unit=unit,
        quantity=scan.quantity,
        zero_frequency=scan.zero_frequency,
        zero_frequency_is_stated=scan.zero_frequency_is_stated,
        photons_per_intensity=scan.photons_per_intensity,
        mask=_first([scan, *order], "mask"),
        probe=_first(order, "probe"),
        opr_weights=weights[chosen] if fits else weights,
        object_guess=_first(order, "object_guess"),
        geometry=options.geometry(_merged(order)),
        metadata={name: value for part in reversed(order) for name, value in part.metadata.items()},
        assumed=tuple(dict.fromkeys(assumed)),
    )


def _first(order: Sequence[Parts], name: Literal["mask", "probe", "opr_weights", "object_guess"]) -> Any:
    return next((value for part in order if (value := getattr(part, name)) is not None), None)


def _merged(order: Sequence[Parts]) -> Geometry:
    """Take each number of the geometry from the first file that has it; a pixel size only beside its own patterns."""
    values: dict[str, Any] = {}
    for part in order:
        values |= {
            name: value for name, value in part.geometry.model_dump(exclude_defaults=True).items() if name not in values
        }
    return Geometry(**values)


def _positions(
    order: Sequence[Parts], options: ReadOptions
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None, PositionsUnit]:
    """Return positions (n, 2), the numbers of their patterns (n,) if they have any, and their unit."""
    if options.raster is not None:
        step_nm = options.raster_step_nm
        if step_nm is None:
            raise InputError(f"read {order[-1].path}: found a raster without its step", remedy="give --raster-step-nm")
        return raster_positions(options.raster, step_nm, options.raster_rotation_deg), None, "m"
    for part in order:
        if part.positions is not None:
            return part.positions, part.position_numbers, part.positions_unit
    raise _incomplete(order[::-1], "positions", "give --positions FILE, or --raster SLOW,FAST with --raster-step-nm")


def raster_positions(
    shape: tuple[int, int], step_nm: float | tuple[float, float], rotation_deg: float
) -> NDArray[np.float64]:
    """Make the positions of a raster, (n, 2) in m, order (y, x), the fast axis first along x.

    The angle from the detector's x axis to the fast axis is positive towards +y.
    """
    step_y, step_x = step_nm if isinstance(step_nm, tuple) else (step_nm, step_nm)
    slow, fast = (index.ravel() for index in np.indices(shape))
    y, x = slow * (step_y * 1e-9), fast * (step_x * 1e-9)
    if rotation_deg == 0:
        return np.stack([y, x], axis=1)
    angle = np.deg2rad(rotation_deg)
    return np.stack([np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y], axis=1)


def _matched(
    scan: Parts, positions: NDArray[np.float64], numbers: NDArray[np.int64] | None
) -> tuple[Patterns, NDArray[np.float64], NDArray[np.int64], int]:
    """Match patterns and positions by their numbers, else by their order.

    Returns the patterns, their positions, the indices of these among all positions, and the number of patterns without
    one.
    """
    patterns = scan.patterns
    assert patterns is not None
    n = patterns.shape[0]
    in_order = np.arange(len(positions))
    if numbers is None and scan.frame_numbers is None:
        return patterns, positions, in_order, 0
    frames = np.arange(n) if scan.frame_numbers is None else scan.frame_numbers
    of_position = np.arange(len(positions)) if numbers is None else numbers
    if len(frames) != n or len(of_position) != len(positions):
        raise InputError(
            f"read {scan.path}: {counted(n, 'pattern')} with {counted(len(frames), 'number')}, "
            f"{counted(len(positions), 'position')} with {counted(len(of_position), 'number')}",
            remedy="give one number for each",
        )
    for what, given in (("pattern", frames), ("position", of_position)):
        values, times = np.unique(given, return_counts=True)
        if (times > 1).any():
            raise InputError(
                f"read {scan.path}: {int(values[times > 1][0])} is the number of several {what}s",
                remedy="number each once",
            )
    place_of = {int(number): place for place, number in enumerate(frames)}
    lost = [int(number) for number in of_position if int(number) not in place_of]
    if lost:
        raise InputError(
            f"read {scan.path}: {counted(len(lost), 'position has', 'positions have')} no pattern, the first of "
            f"pattern {lost[0]}: patterns are numbered {frames.min()} to {frames.max()}",
            remedy="give the positions of this scan",
        )
    places = np.array([place_of[int(number)] for number in of_position], dtype=np.int64)
    chosen = np.argsort(places, kind="stable")  # in the order of the file, which is read once from start to end
    if len(chosen) == n:
        return patterns, positions[chosen], chosen, 0
    return ChosenPatterns(patterns, places[chosen]), positions[chosen], chosen, n - len(chosen)


def _incomplete(parts: Sequence[Parts], missing: str, remedy: str) -> InputError:
    names = ["content"] if len(parts) == 1 else [part.path.name for part in parts]
    origins = " and ".join(f"{name}: {part.file_format}" for name, part in zip(names, parts, strict=True))
    has = [name for name in ("patterns", "positions", "probe", "object_guess") if any(_has(p, name) for p in parts)]
    way_out = next((part.remedy for part in parts if part.remedy), remedy)
    return InputError(
        f"read {parts[0].path}: {origins}; it has {', '.join(has) or 'neither'} and no {missing}", remedy=way_out
    )


def _has(part: Parts, name: str) -> bool:
    return getattr(part, name) is not None
