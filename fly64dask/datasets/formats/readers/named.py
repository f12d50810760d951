"""Read any HDF5, NPZ, MATLAB or NumPy file whose datasets a person names, in options or in a beamline file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from fly64dask.base import Geometry, InputError, counted
from fly64dask.datasets.formats.containers import NamedArrays, coordinates, listed, number
from fly64dask.datasets.formats.joining import FAR_FIELD, Parts
from fly64dask.datasets.formats.options import LengthUnit, MaskGood, ReadOptions, Stored
from fly64dask.datasets.formats.patterns import ArrayPatterns
from fly64dask.datasets.formats.units import GIVE_UNIT, METRES

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "named datasets"
# A person says these of one scan; a file that somebody else wrote must not.
NOT_OF_A_BEAMLINE = {"positions", "allow_pickle", "allow_links"}


def read_options(beamline: Path | None, given: Mapping[str, Any]) -> ReadOptions:
    """Put options together: those of a beamline file, if there is one, and those of a person, which come first.

    Raises InputError if a key is unknown or a value does not fit.
    """
    from_file: dict[str, Any] = {}
    if beamline is not None:
        try:
            from_file = tomllib.loads(beamline.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"read {beamline}: {error}", remedy="give a TOML file, as docs/how-to/ingest.md shows"
            ) from error
    theirs = sorted(NOT_OF_A_BEAMLINE & set(from_file))
    if theirs:
        raise InputError(f"read {beamline}: {', '.join(theirs)} in a beamline file", remedy="give it as an option")
    try:
        return ReadOptions(**(from_file | {name: value for name, value in given.items() if value is not None}))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:5])
        raise InputError(
            f"read {beamline or 'options'}: {wrong}", remedy="the keys are listed in docs/how-to/ingest.md"
        ) from error


def names_something(file: NamedArrays, options: ReadOptions) -> bool:
    """Whether a file has one of the datasets that a person names."""
    return any(name in file for name in _named(options))


def read_named(file: NamedArrays, options: ReadOptions) -> Parts:
    """Read the datasets of a file that a person names, those that are in it.

    Raises InputError if a dataset has no place for a column that is asked for, or its numbers do not fit.
    """
    patterns = file.patterns(options.patterns) if options.patterns and options.patterns in file else None
    if patterns is not None and options.patterns and options.layout == "hwn":
        patterns = ArrayPatterns(array=np.moveaxis(file.take(options.patterns), -1, 0))
    unit = options.positions_unit
    y, x = options.positions_y, options.positions_x
    positions = None
    if y is not None and x is not None and all(_dataset(column) in file for column in (y, x)):
        positions = _positions(file, y, x) * _lengths(file, (y, x), unit)
    return Parts(
        file_format=FORMAT,
        path=file.path,
        patterns=patterns,
        positions=positions,
        positions_unit="px" if unit == "px" else "m",
        mask=_mask(file, options.mask, options.mask_good) if options.mask and options.mask in file else None,
        probe=file.take(options.probe) if options.probe and options.probe in file else None,
        geometry=_geometry(file, options),
        assumed=(FAR_FIELD,),
        remedy="name the datasets that are missing: --patterns, --positions-y, --positions-x; "
        f"{file.path.name} has {listed(file.names())}",
    )


def refuse_names(files: list[NamedArrays], options: ReadOptions, *, with_text: bool) -> None:
    """Refuse names of datasets that none of the files has; those of positions may be columns of a text."""
    columns = (options.positions_y, options.positions_x) if with_text else ()
    for name in _named(options):
        if name in columns:
            continue
        if not any(name in file for file in files):
            raise InputError(
                f"read {files[0].path}: no dataset {name!r}; {'; '.join(_beside(file, name) for file in files)}",
                remedy="check the name, and its groups",
            )


def _beside(file: NamedArrays, name: str) -> str:
    """List what is in the last group on the way to a name that a file has."""
    group = name.strip("/")
    while group and not file.members(group):
        group = group.rpartition("/")[0]
    held = file.members(group) if group else file.names()
    return f"{file.path.name} has {listed(held)}{f' in {group}' if group else ''}"


def _named(options: ReadOptions) -> list[str]:
    chosen_names = (options.patterns, options.positions_y, options.positions_x, options.probe, options.mask)
    stored = (options.energy_kev, options.wavelength_nm, options.distance_m, options.pitch_um)
    return [
        *(_dataset(each) for each in chosen_names if each is not None),
        *(each.dataset for each in stored if isinstance(each, Stored)),
    ]


def _dataset(name: str | Stored) -> str:
    """Name of a dataset without the number of its column."""
    whole = name.dataset if isinstance(name, Stored) else name
    head, _, column = whole.rpartition(":")
    return head if head and column.isdecimal() else whole


def _positions(file: NamedArrays, y: str | Stored, x: str | Stored) -> NDArray[np.float64]:
    """Read positions, (n, 2), order (y, x), in the unit that they are stored in."""
    columns = [_column(file, column) for column in (y, x)]
    if len(columns[0]) != len(columns[1]):
        raise InputError(
            f"read {file.path}: {counted(len(columns[0]), 'position')} in y, {len(columns[1])} in x",
            remedy="name one y and one x for each exposure",
        )
    return np.stack(columns, axis=1)


def _lengths(file: NamedArrays, columns: Iterable[str | Stored], unit: LengthUnit | None) -> NDArray[np.float64]:
    """Give what brings y and x to metres, or 1 if they are in px: by the unit that is given, else their `units`."""
    named = [unit or file.attribute(_dataset(column), "units") for column in columns]
    if unit == "px":
        return np.ones(2)
    lengths = [METRES.get(str(each).strip().lower()) for each in named]
    if None in lengths:
        given = [str(each) for each, length in zip(named, lengths, strict=True) if each and length is None]
        lacking = f"unit {given[0]!r}" if given else "an unknown unit"
        raise InputError(f"read {file.path}: positions of {lacking}", remedy=GIVE_UNIT)
    return np.array(lengths, dtype=np.float64)


def _column(file: NamedArrays, name: str | Stored) -> NDArray[np.float64]:
    whole = name.dataset if isinstance(name, Stored) else name
    dataset = _dataset(name)
    if dataset == whole:
        column = coordinates(file, dataset)
    else:
        at = int(whole.rpartition(":")[2])
        stored = np.squeeze(file.take(dataset))
        few = [axis for axis in range(stored.ndim) if at < stored.shape[axis] <= 4]
        if stored.ndim != 2 or not few or stored.dtype.kind not in "uif":
            raise InputError(
                f"read {file.path}: {dataset!r} is {stored.dtype} of {stored.shape}, needed a column {at}",
                remedy="name a dataset of (n, 2) or (2, n)",
            )
        column = np.take(stored, at, axis=few[-1]).astype(np.float64)
    return column * name.factor if isinstance(name, Stored) and name.factor != 1.0 else column


def _mask(file: NamedArrays, name: str, good: MaskGood) -> NDArray[np.bool_]:
    """Read the pixels that are valid, (H, W)."""
    stored = np.squeeze(file.take(name))
    if stored.ndim != 2 or stored.dtype.kind not in "buif":
        raise InputError(
            f"read {file.path}: mask {name!r} is {stored.dtype} of {stored.shape}, needed (H, W) numbers",
            remedy="name a mask of one value for each pixel",
        )
    return np.asarray(stored > 0 if good == "positive" else stored == int(good))


def _geometry(file: NamedArrays, options: ReadOptions) -> Geometry:
    """Read the numbers that a person says are in datasets; the others are put in later."""
    values: dict[str, Any] = {}
    for name in ("energy_kev", "wavelength_nm", "distance_m", "pitch_um"):
        stored = getattr(options, name)
        if isinstance(stored, Stored) and stored.dataset in file:
            value = abs((number(file, stored.dataset) or 0.0) * stored.factor)
            values[name] = ((value, value) if name == "pitch_um" else value) if value else None
    return Geometry(**values)
