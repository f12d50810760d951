"""A run and other programs' reconstructions of its cells -> the same alignment and metrics for all, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import Fly64Error, InputError, utc_now
from fly64dask.cells import open_inputs
from fly64dask.datasets import read_truth
from fly64dask.datasets.formats import find_object, read_object
from fly64dask.metrics import Reference, align, measure_against, measure_as_original, reference_in_frame
from fly64dask.records import read_record
from fly64dask.runs.comparison import OURS, ComparedCell, Comparison, Convention, MethodScore
from fly64dask.scan import crop_to_frame, object_frame
from fly64dask.store import ReconstructionAttributes, RunLayout, TruthAttributes, open_group
from fly64dask.study import Cell, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.simulation import Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What all methods of a cell share: the truth in the cell's frame, the area, the kept positions."""

    reference: Reference
    positions_px: NDArray[np.float64]
    origin_px: tuple[int, int]
    truth_shape_px: tuple[int, int]


# A method's object of a cell: the array, and the scan-frame (y, x) of its pixel [0, 0] if it is known.
Source = Callable[[Cell], "tuple[NDArray[Any], tuple[int, int] | None]"]


def compare_run(
    study: Study,
    layout: RunLayout,
    methods: Mapping[str, Path],
    some: Sequence[Cell],
    convention: Convention,
) -> Comparison:
    """Align and measure every method's cells beside the run's own.

    Parameters
    ----------
    study : Study
        The run's.
    layout : RunLayout
        The run.
    methods : mapping of str to Path
        By name: a directory with one file for each cell, or another run.
    some : sequence of Cell
        Which cells.
    convention : "ours" or "original"
        Which numbers.

    Returns
    -------
    Comparison
        What cannot be compared is in it with the reason.

    Raises
    ------
    InputError
        If the study is measured, so that there is no truth, or a method is no such directory, or a
        run of another truth.
    """
    if study.source.kind == "measured" or not layout.truth_group.exists():
        raise InputError(
            f"compare {layout.root}: metrics are against the truth, and a {study.source.kind} study's run holds none",
            remedy="compare runs of simulated studies that have begun",
        )
    truth = read_truth(layout)
    sources = {OURS: _of_run(layout)} | {name: _source(name, path, layout) for name, path in methods.items()}
    rows = []
    for cell in some:
        scene = _scene(layout, cell, truth)
        scores = tuple(_score(name, source, cell, scene, convention) for name, source in sources.items())
        rows.append(
            ComparedCell(
                **asdict(cell),
                n_kept=len(scene.positions_px) if isinstance(scene, Scene) else None,
                scores=scores,
            )
        )
    return Comparison(
        timestamp=utc_now(),
        study=study.name,
        convention=convention,
        methods={OURS: str(layout.root)} | {name: str(path) for name, path in methods.items()},
        cells=tuple(rows),
    )


def _source(name: str, path: Path, layout: RunLayout) -> Source:
    if name == OURS:
        raise InputError(f"compare: a method named {OURS!r}, which is the run itself", remedy="choose another name")
    if not path.is_dir():
        raise InputError(
            f"compare: method {name!r} at {path} is no directory", remedy="give one file a cell, in a folder"
        )
    other = RunLayout(path)
    if not other.study_file.exists():
        return lambda cell: _of_file(path, cell)
    stated = [open_group(each.truth_group, TruthAttributes).array_sha256["object_truth"] for each in (layout, other)]
    if stated[0] != stated[1]:
        raise InputError(
            f"compare: method {name!r} at {path} is a run of another object than {layout.root}",
            remedy="compare runs whose studies have the same source",
        )
    return _of_run(other)


def _of_file(directory: Path, cell: Cell) -> tuple[NDArray[Any], tuple[int, int] | None]:
    found = read_object(find_object(directory, cell.name.replace("/", "-")))
    return found.image, found.origin_px


def _of_run(layout: RunLayout) -> Source:
    def read(cell: Cell) -> tuple[NDArray[Any], tuple[int, int] | None]:
        record = read_record(layout, cell)
        if record is None or record.state != "completed":
            stands = "not committed" if record is None else f"{record.state}: {record.failure_kind}"
            raise InputError(f"{cell.name} of {layout.root} is {stands}", remedy="run it, or leave the cell out")
        group = layout.reconstruction_group(cell)
        reconstruction = open_group(group, ReconstructionAttributes)
        return reconstruction.read("object_recon")[0], reconstruction.attributes.object_origin_px

    return read


def _scene(layout: RunLayout, cell: Cell, truth: Pair) -> Scene | Fly64Error:
    """What the methods of a cell are compared with, or why there is nothing."""
    try:
        record = read_record(layout, cell)
        inputs = open_inputs(layout, cell, record.remedy if record else None)
        positions = inputs.read_positions()
    except Fly64Error as error:
        return error
    shape, origin = object_frame(positions, (truth.probe.shape[-2], truth.probe.shape[-1]))
    return Scene(
        reference=reference_in_frame(
            truth.object_truth, shape_px=shape, origin_px=origin, probe=truth.probe, positions_px=positions
        ),
        positions_px=positions,
        origin_px=origin,
        truth_shape_px=(truth.object_truth.shape[0], truth.object_truth.shape[1]),
    )


def _score(name: str, source: Source, cell: Cell, scene: Scene | Fly64Error, convention: Convention) -> MethodScore:
    try:
        if isinstance(scene, Fly64Error):
            raise scene
        image = _in_frame(*source(cell), scene)
        if convention == "ours":
            return MethodScore(method=name, metrics=measure_against(scene.reference, image).metrics)
        aligned = align(image, scene.reference.image, scene.reference.inside)
        truth = scene.reference.image
        return MethodScore(
            method=name, original=measure_as_original(aligned.image, truth, scene.positions_px, scene.origin_px)
        )
    except Fly64Error as error:
        return MethodScore(method=name, problem=str(error))


def _in_frame(image: NDArray[Any], origin_px: tuple[int, int] | None, scene: Scene) -> NDArray[Any]:
    """Put an object where it belongs in the cell's frame; refuse one that does not say where, or is not there."""
    frame, whole = scene.reference.image.shape, scene.truth_shape_px
    if origin_px is None:
        places = {frame: scene.origin_px, whole: (0, 0)}
        if image.shape not in places:
            raise InputError(
                f"object of {image.shape} px, needed {frame} px, the frame of the cell's own object with its first "
                f"pixel at (y, x) = {scene.origin_px} px of the scan, or {whole} px, that of the whole truth",
                remedy="save it in one of these, or say where it lies with origin_px",
            )
        origin_px = places[image.shape]
    offset = (scene.origin_px[0] - origin_px[0], scene.origin_px[1] - origin_px[1])
    placed, covered = crop_to_frame(image, (frame[0], frame[1]), offset)
    inside = scene.reference.inside
    if not covered[inside].all():
        raise InputError(
            f"object of {image.shape} px at (y, x) = {origin_px} px covers {covered[inside].sum()} of "
            f"{inside.sum()} illuminated px",
            remedy="give one that covers all of them, and check its origin_px",
        )
    return placed
