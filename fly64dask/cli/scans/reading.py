"""Options of `ingest` that say what a scan's files do not: second file, names of datasets, geometry, raster."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click

from fly64dask.cli.options import Command


class LengthsType(click.ParamType["tuple[float, float]"]):
    """The type of one length above 0 for both axes, or of two, `y,x`."""

    name = "L|Y,X"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Parse one length or two."""
        try:
            lengths = [float(part) for part in str(value).split(",")]
        except ValueError:
            lengths = []
        if len(lengths) not in (1, 2) or not all(0 < length < float("inf") for length in lengths):
            self.fail(f"{value!r} is neither one length above 0, such as 8.5, nor two, such as 8.5,9", param, ctx)
        return lengths[0], lengths[-1]


class RasterType(click.ParamType["tuple[int, int]"]):
    """The type of a raster: the number of positions along the slow and the fast axis, `64,64`."""

    name = "SLOW,FAST"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse one --raster."""
        matched = re.fullmatch(r"(\d{1,6}),(\d{1,6})", str(value))
        if not matched or "0" in matched.groups():
            self.fail(f"{value!r} is not a raster such as 64,64", param, ctx)
        return int(matched[1]), int(matched[2])


class FiniteNumber(click.types.FloatParamType):
    """The type of a number that is neither infinite nor NaN; Click accepts both as numbers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse one number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class FiniteRange(click.FloatRange, FiniteNumber):
    """The type of a finite number in a range."""


POSITIVE = FiniteRange(min=0, min_open=True)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FILE_OPTIONS = (
    click.option(
        "--positions", type=FILE, help="Second file: the one with positions and probe, or the one with patterns."
    ),
    click.option(
        "--allow-links", is_flag=True, default=None, help="Follow links in HDF5 to files in other directories."
    ),
    click.option(
        "--allow-pickle",
        is_flag=True,
        default=None,
        help="Read pickled arrays of an NPZ, which runs code from the file.",
    ),
    click.option(
        "--layout", type=click.Choice(["nhw", "hwn"]), help="Order of the patterns' axes in an NPZ or a named dataset."
    ),
    click.option("--quantity", type=click.Choice(["amplitude", "intensity"]), help="What a pixel holds."),
    click.option("--zero-frequency", type=click.Choice(["centre", "corner"]), help="Where the direct beam is."),
    click.option("--photons-per-intensity", type=POSITIVE, help="Photons per unit of intensity in the file."),
)
DATASET_OPTIONS = (
    click.option("--beamline", type=FILE, help="TOML file with these options as keys, _ for -; see data/beamlines."),
    click.option("--patterns", metavar="NAME", help="Dataset, or group of datasets, of (n, H, W)."),
    click.option("--positions-y", metavar="NAME[:COLUMN]", help="Dataset of y, which grows from row to row."),
    click.option(
        "--positions-x", metavar="NAME[:COLUMN]", help="Dataset of x; :0 or :1 takes a column of (n, 2) or (2, n)."
    ),
    click.option(
        "--positions-unit", type=click.Choice(["px", "m", "mm", "um", "nm", "angstrom"]), help="Unit of the positions."
    ),
)
GEOMETRY_OPTIONS = (
    click.option("--pixel-size-nm", type=LengthsType(), help="Size of a pixel of the object."),
    click.option("--energy-kev", type=POSITIVE, help="Energy of a photon; of an electron with --particle electron."),
    click.option("--wavelength-nm", type=POSITIVE, help="Wavelength, instead of an energy."),
    click.option("--distance-m", type=POSITIVE, help="Distance from the sample to the detector."),
    click.option("--pitch-um", type=LengthsType(), help="Size of a detector pixel, binned as the patterns are."),
    click.option("--particle", type=click.Choice(["photon", "electron"]), help="What --energy-kev is the energy of."),
    click.option("--semi-angle-mrad", type=POSITIVE, help="Semi-angle of an electron probe."),
    click.option(
        "--bright-disk-radius-px", type=POSITIVE, help="Radius of the bright disk of an electron probe in the patterns."
    ),
    click.option("--raster", type=RasterType(), help="The positions are a raster, with its fast axis along x."),
    click.option("--raster-step-nm", type=LengthsType(), help="Step of the raster."),
    click.option(
        "--raster-rotation-deg", type=FiniteNumber(), help="Angle from x to the fast axis, positive towards +y."
    ),
)
# Headings of the help page.
SECTIONS = {
    "What the files are": FILE_OPTIONS,
    "Datasets of a file in no known format": DATASET_OPTIONS,
    "Geometry that the files do not say": GEOMETRY_OPTIONS,
}
FORMATS = """\b
Formats, which are recognised by their content, and the names under which each holds its data:
  CXI, NXcxi_ptycho, NXptycho   entry_1/data_1/{data,translation}, entry_1/instrument_1/{detector_1,source_1,beam_1}
  Ptychodus, pty-chi            patterns: dp, or patterns + indexes (NPZ); product: probe_position_{x,y}_m
  PtyPy                         .ptyd: chunks/N/{data,positions,weights}, meta; .ptyr as --positions: content/probe
  fold_slice, PtychoShelves     dp; ppX + ppY; result .mat as --positions: object, probe, outputs
  PtyLab                        ptychogram, encoder, dxd, zo, wavelength
  py4DSTEM, EMPAD, Merlin       data cube, .raw, .mib: give --raster, --raster-step-nm and an energy or a pixel size
  DATA-001                      diffraction | diff3d, xcoords, ycoords, probeGuess, objectGuess
  tike                          data, scan, probe
  text as --positions           columns y_m,x_m (or _px, _mm, _um, _nm)

"""


def reading_options(command: Command) -> Command:
    """Give a command all these options, in the order of the help."""
    for option in reversed([option for options in SECTIONS.values() for option in options]):
        command = option(command)
    return command
