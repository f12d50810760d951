"""Options of `ingest` that say what is done with a scan: cutting, axes, exposures, masks, rounding, starting probe."""

from __future__ import annotations

import re

import click

from fly64dask.cli.options import options_as
from fly64dask.datasets.ingest import IngestOptions


class NumbersType(click.ParamType["tuple[int, ...]"]):
    """The type of numbers of exposures, `7,12,20:30`; a range excludes its end."""

    name = "N,N:M,..."

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Parse one --drop."""
        if isinstance(value, tuple):
            return value
        numbers: set[int] = set()
        for part in str(value).split(","):
            matched = re.fullmatch(r"(\d{1,9})(?::(\d{1,9}))?", part.strip())
            if not matched:
                self.fail(f"{value!r} is not a list of exposures such as 7,12,20:30", param, ctx)
            first = int(matched[1])
            numbers.update(range(first, int(matched[2]) if matched[2] else first + 1))
        return tuple(sorted(numbers))


class ShapeType(click.ParamType["tuple[int, int]"]):
    """The type of a number of rows and columns, `256` or `256,192`."""

    name = "N|H,W"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse one --crop."""
        matched = re.fullmatch(r"(\d{1,6})(?:,(\d{1,6}))?", str(value))
        if not matched:
            self.fail(f"{value!r} is not a size in px such as 256 or 256,192", param, ctx)
        return int(matched[1]), int(matched[2] or matched[1])


class RegionType(click.ParamType["tuple[tuple[int, int], tuple[int, int]]"]):
    """The type of rows and columns of a pattern, `100:356,80:336`; each range excludes its end."""

    name = "Y:Y,X:X"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Parse one --roi."""
        matched = re.fullmatch(r"(\d{1,6}):(\d{1,6}),(\d{1,6}):(\d{1,6})", str(value))
        if not matched:
            self.fail(f"{value!r} is not a region such as 100:356,80:336", param, ctx)
        top, bottom, left, right = map(int, matched.groups())
        return (top, bottom), (left, right)


# Passes `treatment`.
treatment_options = options_as(
    "treatment",
    IngestOptions,
    click.option("--roi", type=RegionType(), help="Rows and columns of the detector to keep, around the direct beam."),
    click.option(
        "--crop", type=ShapeType(), help="Size to keep around the zero frequency; pixels of the object become larger."
    ),
    click.option(
        "--bin", type=click.IntRange(min=1), default=1, help="Sum the counts of squares of N x N pixels [default: 1]."
    ),
    click.option("--transpose", is_flag=True, help="Swap the axes of the patterns (files that MATLAB wrote)."),
    click.option("--swap-xy", is_flag=True, help="Swap y and x of the positions."),
    click.option("--flip-y", is_flag=True, help="Negate y of the positions, after a swap."),
    click.option("--flip-x", is_flag=True, help="Negate x of the positions, after a swap."),
    click.option("--drop", type=NumbersType(), default=(), help="Leave out exposures of the file, counted from 0."),
    click.option("--drop-dark", is_flag=True, help="Leave out exposures that hold hardly any photons."),
    click.option("--keep-outliers", is_flag=True, help="Keep exposures that are dark, far too bright or repeated."),
    click.option(
        "--no-overlap", is_flag=True, help="Accept positions that are further apart than the size of a pattern."
    ),
    click.option(
        "--mask",
        "masks",
        multiple=True,
        metavar="FILE[:PATH]|marks",
        help="Pixels to leave out: those of a file, or those whose values mark that nothing was measured; repeatable.",
    ),
    click.option("--mask-good", type=click.Choice(["0", "1", "positive"]), help="Value of good pixels in --mask FILE."),
    click.option("--round", is_flag=True, help="Round real numbers to whole photons, and negative ones to 0."),
    click.option(
        "--probe",
        metavar="KIND",
        help="Starting probe: mean[:DIAMETER_PX], disc:DIAMETER_PX, aperture:SEMI_ANGLE_MRAD,DEFOCUS_NM, "
        "fzp:DIAMETER_UM,OUTERMOST_ZONE_NM,DEFOCUS_UM[,STOP_UM] or FILE[:PATH] [default: the file's, else mean].",
    ),
)
