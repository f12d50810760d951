"""The command `compare`: a run and reconstructions by other methods, all with the same metrics, side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn, cast

import click

from fly64dask.cli.options import (
    EXIT_FAILED,
    DoseType,
    example,
    filter_options,
    json_option,
    print_json,
    readable_argument,
    without_links,
)
from fly64dask.store import RunLayout
from fly64dask.study import CellReference, FileReference, Filters, Reference, cells, skip_reasons


class MethodType(click.ParamType[Any]):
    """The type of a compared method: `NAME=PATH`."""

    name = "name=path"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse one --method."""
        if isinstance(value, tuple):
            return value
        name, mark, path = str(value).partition("=")
        if not (name and mark and path):
            self.fail(f"{value!r} is not NAME=PATH", param, ctx)
        return name, without_links(Path(path))


class ReferenceType(click.ParamType[Any]):
    """The type of a reference: `DOSE/VIEW` of the run, or a file that holds an object."""

    name = "dose/view|file"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse one --reference."""
        if isinstance(value, CellReference | FileReference):
            return value
        if Path(str(value)).is_file():
            return FileReference(path=str(without_links(Path(str(value)))))
        dose, mark, view = str(value).partition("/")
        try:
            return CellReference(dose=DoseType().convert(dose, param, ctx), view=view) if mark else self._neither(value)
        except ValueError:
            return self._neither(value)

    def _neither(self, value: object) -> NoReturn:
        self.fail(f"{value!r} is neither a file nor DOSE/VIEW, such as measured/baseline")


@click.command(epilog=example("fly64dask compare runs/demo --method rpie=others/rpie --method longer=runs/longer"))
@readable_argument
@click.option(
    "--method",
    "methods",
    multiple=True,
    type=MethodType(),
    metavar="NAME=PATH",
    help="Directory with an object for each cell, or another run; repeatable.",
)
@click.option(
    "--reference",
    type=ReferenceType(),
    metavar="DOSE/VIEW|FILE",
    help="For a measured scan: the cells, or the file, to compare with, instead of the study's reference.",
)
@click.option(
    "--convention",
    type=click.Choice(["ours", "original"]),
    default="ours",
    show_default=True,
    help="Metrics of this project or of the original study; see docs/reference/metrics.md.",
)
@filter_options
@json_option
def compare(
    layout: RunLayout,
    methods: tuple[tuple[str, Path], ...],
    reference: Reference | None,
    convention: str,
    filters: Filters,
    as_json: bool,
) -> None:
    """Compare reconstructions of other programs or runs with those of RUN.

    The result is written to RUN/comparison.json. Cells of a simulated run are compared with the truth, those of a
    measured one with its reference: another cell, or an object in a file.

    \b
    PATH holds one file for each cell, named after it with - for /:
      dose_1000-sparse-train.npz (or .h5, .hdf5, .cxi, .ptyr)
        object     complex, (y, x) or (1, y, x): in the frame of the cell's own
                   object, or in that of the whole truth or reference
        origin_px  optional, (y, x) of its first pixel in the scan: any frame

    All methods are aligned in the same way and measured in the same area. The exit code is 1
    if a reconstruction is missing or cannot be compared; each one is named.

    For a study with repeats the command says which methods differ by more than
    the spread of repeats; without --method, which views, recipes and setups do.
    """  # noqa: D301
    from fly64dask.records import read_run_study
    from fly64dask.runs import Convention, compare_run
    from fly64dask.store import write_document

    names = [name for name, _ in methods]
    if len(set(names)) < len(names):
        raise click.BadParameter(
            f"found the names {', '.join(names)}; each method needs its own", param_hint="--method"
        )
    study = read_run_study(layout)
    left_out = skip_reasons(study, filters)
    compared = [cell for cell in cells(study) if cell not in left_out]
    comparison = compare_run(study, layout, dict(methods), compared, cast("Convention", convention), reference)
    write_document(layout.comparison_file, comparison)
    if as_json:
        print_json(comparison.model_dump(mode="json", exclude_none=True))
    else:
        from fly64dask.cli.terminal import (
            comparison_table,
            difference_table,
            make_console,
            print_lines,
            problem_lines,
        )

        console = make_console()
        console.print(comparison_table(comparison))
        print_lines(console, problem_lines(comparison))
        if comparison.differences is not None:
            if any(difference.ratio_test.test for difference in comparison.differences.differences):
                console.print(difference_table(comparison.differences))
            print_lines(console, comparison.differences.sentences)
        click.echo(f"comparison: {layout.comparison_file}")
    if comparison.problems:
        sys.exit(EXIT_FAILED)
