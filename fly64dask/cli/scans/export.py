"""The command `export`: writes an ingested store, exposures of a run, or a reconstruction for another program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from fly64dask.base import InputError, counted
from fly64dask.cli.options import DoseType, PlaceType, example, file_option, from_here, options_as, warn, without_links
from fly64dask.store import RunLayout
from fly64dask.study import SPLIT_NAMES, Cell, Dose, Study, dose_name, doses_of, realisation_of

Axis = TypeVar("Axis", bound=str | float | None)
# Options that choose a part of a run.
CHOOSING = "--dose, --split, --view, --repeat, --recipe, --object, --setup, --with-truth, --reconstruction"


class PixelSizeType(click.ParamType[Any]):
    """The type of a pixel's size: `8.4`, or `8.4,8.6` for sides along y and x."""

    name = "nm[,nm]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse one --pixel-size-nm."""
        if isinstance(value, tuple):
            return value
        try:
            sides = [float(part) for part in str(value).split(",")]
        except ValueError:
            sides = []
        if len(sides) not in (1, 2) or not all(0 < side < 1e9 for side in sides):
            self.fail(f"{value!r} is not a length in nm, nor two of them, y and x, with a comma", param, ctx)
        return sides[0], sides[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The part of a run that a person chooses; None where nothing is chosen."""

    dose: Dose | None
    split: str | None
    view: str | None
    repeat: int | None
    recipe: str | None
    object_seed: int | None
    setup: str | None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is chosen."""
        return all(getattr(self, name) is None for name in self.__slots__)

    def cell(self, study: Study, *, of_view: bool) -> Cell:
        """Find the chosen cell of a study; if no view is needed, any view has the same exposures."""
        if self.dose is None:
            listed = ", ".join(dose_name(dose).removeprefix("dose_") for dose in doses_of(study))
            raise InputError(f"export: a run holds several scans, of doses {listed}", remedy="give --dose and --split")
        doses = {dose: dose_name(dose).removeprefix("dose_") for dose in doses_of(study)}
        return Cell(
            dose=_one_of(tuple(doses), self.dose, "dose", is_needed=True, names=doses),
            view=_one_of([view.name for view in study.views], self.view, "view", is_needed=of_view),
            split=_one_of(study.splits, self.split, "split", is_needed=True),
            repeat=self.repeat or 0,
            recipe_name=_one_of(study.recipe_names, self.recipe, "recipe", is_needed=of_view),
            object_seed=_one_of(study.object_seeds, self.object_seed, "object", is_needed=True),
            setup_name=_one_of(study.setup_names, self.setup, "setup", is_needed=True),
        )


# Passes `choice`.
choice_options = options_as(
    "choice",
    Choice,
    click.option("--dose", type=DoseType(), help="Dose of a run."),
    click.option("--split", type=click.Choice(SPLIT_NAMES), help="Split, if the run has several."),
    click.option("--view", metavar="NAME", help="Only the exposures that this view keeps."),
    click.option("--repeat", type=click.IntRange(min=0), help="Repeat of a run, from 0 [default: 0]."),
    click.option("--recipe", metavar="NAME", help="With --view: recipe, if the run has several."),
    click.option("--object", "object_seed", type=int, metavar="SEED", help="Object, if the run has several."),
    click.option("--setup", metavar="NAME", help="Setup, if the run has several."),
)


@click.command(epilog=example("fly64dask export runs/demo --dose 1000 --split train --view dense --out dense.npz"))
@click.argument("store", type=PlaceType(exists=True, file_okay=False, path_type=Path))
@file_option("--out", required=True, help_text="The file to make.")
@choice_options
@click.option("--with-truth", is_flag=True, help="Write the simulation's true object as objectGuess, not an empty one.")
@click.option("--reconstruction", is_flag=True, help="Write the object and probe of a cell instead of its exposures.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["product", "cxi", "ptypy", "tiff"]),
    help="Format of a reconstruction: Ptychodus product (.h5), CXI (.cxi), PtyPy's result (.ptyr), TIFF (.tif) "
    "[default: by the suffix].",
)
@click.option(
    "--pixel-size-nm", type=PixelSizeType(), help="Size of a pixel of the object, if the run does not know it."
)
def export(
    store: Path | str, out: Path, choice: Choice, with_truth: bool, reconstruction: bool, **options: Any
) -> None:
    """Write exposures or a reconstruction for other programs.

    Exposures of an ingested STORE, or of one dose and split of a run, are written as a DATA-001 NPZ. With
    --reconstruction it is the object and probe of a cell, with positions and pixel size. The run may be at an object
    store.
    """
    from fly64dask.datasets.export import export_scan

    if isinstance(store, Path) and not RunLayout(store).store.is_dir():
        if with_truth or reconstruction or not choice.is_empty:
            raise InputError(
                f"export {store}: {CHOOSING} choose a cell of a run, and this is not a run",
                remedy="give a run directory, or an ingested store without them",
            )
        written = counted(export_scan(without_links(store), out), "exposure")
    elif reconstruction:
        written = _export_reconstruction(store, choice, out, with_truth=with_truth, **options)
    else:
        written = _export_exposures(store, choice, out, with_truth=with_truth, **options)
    click.echo(f"{click.format_filename(from_here(out))}: {written}")


def _export_reconstruction(store: Path | str, choice: Choice, path: Path, *, with_truth: bool, **options: Any) -> str:
    from fly64dask.runs import CellView

    if with_truth:
        raise InputError(
            "export: found both --with-truth and --reconstruction; the truth goes with exposures only",
            remedy="leave one of them out",
        )
    study, layout = _opened(store)
    cell = choice.cell(study, of_view=True)
    _bring(store, study, cell, reconstruction=True)
    return f"object and probe of {cell.name}, {CellView(study, layout, cell).export(path, **options)}"


def _export_exposures(
    store: Path | str,
    choice: Choice,
    path: Path,
    *,
    with_truth: bool,
    file_format: str | None,
    pixel_size_nm: object,
) -> str:
    from fly64dask.datasets.export import export_scan
    from fly64dask.records import read_kept_group

    if file_format is not None or pixel_size_nm is not None:
        raise InputError(
            "export: found --format or --pixel-size-nm without --reconstruction; exposures become an NPZ in px",
            remedy="leave them out, or give --reconstruction",
        )
    study, layout = _opened(store)
    cell = choice.cell(study, of_view=choice.view is not None)
    if study.dose_by != "exposure" and choice.view is None:
        raise InputError(
            f"export {store}: its doses count {study.dose_by}, so each view has exposures of its own",
            remedy="give --view",
        )
    if with_truth and study.source.kind == "measured":
        raise InputError(f"export {store}: a measured scan has no truth", remedy="leave --with-truth out")
    _bring(store, study, cell, truth=with_truth)
    n_exposures = export_scan(
        layout.exposure_group(*realisation_of(study, cell)),
        path,
        # As the cell's reconstruction had them, if a remedy changed the spacing.
        view_group=read_kept_group(layout, cell) if choice.view is not None else None,
        truth_group=layout.truth_group(cell.object_seed) if with_truth else None,
    )
    return counted(n_exposures, "exposure")


def _opened(run: Path | str) -> tuple[Study, RunLayout]:
    """Read the study of a run; at an object store it is brought alone, and tells what the cells are."""
    from fly64dask.records import read_run_study
    from fly64dask.runs import cached_study

    layout = RunLayout(without_links(run)) if isinstance(run, Path) else cached_study(run)
    return read_run_study(layout), layout


def _bring(run: Path | str, study: Study, cell: Cell, **parts: bool) -> None:
    """Bring what is read of a cell, if its run is at an object store."""
    from fly64dask.runs import bring_cell

    if isinstance(run, str):
        bring_cell(run, study, cell, **parts, say=warn)


def _plain(chosen: object) -> str:
    return f"{chosen:g}" if isinstance(chosen, float) else "" if chosen is None else str(chosen)


def _one_of(
    several: Sequence[Axis],
    chosen: object,
    axis: str,
    *,
    is_needed: bool,
    names: dict[Axis, str] | None = None,
) -> Axis:
    """Take the chosen dose, view, split, recipe or object of a run, or its only one; the first if none is needed."""
    chosen_ones = [each for each in several if each == chosen]
    if chosen_ones:
        return chosen_ones[0]
    if chosen is None and (len(several) == 1 or not is_needed):
        return several[0]
    listed = ", ".join((names or {}).get(each, str(each)) for each in several if each is not None)
    raise InputError(
        f"export: the run has {listed or f'one {axis} alone'}, "
        + f"found {'no ' if chosen is None else ''}--{axis} {_plain(chosen)}".rstrip(),
        remedy=f"give --{axis} with one of them" if several[0] is not None else f"leave --{axis} out",
    )
