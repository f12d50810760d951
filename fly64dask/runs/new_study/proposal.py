"""Doses, views, split and batch size that suit a measured scan, from its photons, positions and probe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError, NotSelectableError
from fly64dask.scan import (
    MIN_SPAN_PX,
    is_degenerate,
    measure_beams,
    object_frame,
    probe_diameters,
    select,
    span_px,
    split_indices,
)
from fly64dask.scheduling import predicted_memory_bytes
from fly64dask.study import Recipe, SpacingView, Split, SplitRule, Splitting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.datasets import ScanInputs

# Lower doses as fractions of the measured one, and the fewest photons that an exposure shall have (our choice).
DOSE_FRACTIONS, FEWEST_PHOTONS = (0.01, 0.1), 10.0
# Spacings that the views ask for: as multiples of the probe's diameter, which leave a linear overlap of 60 % and of
# 30 %, and of the scan's own step, so that they leave exposures out. An overlap of 60 % was found to be the best
# compromise by Bunk et al., Ultramicroscopy 108, 481 (2008).
SPACINGS = {"dense": (0.4, 1.5), "sparse": (0.7, 2.0)}
# What is left of a spacing that keeps too few exposures, until it keeps enough, and the least beside the step.
LOWERED, LEAST_STEPS = 0.9, 1.1
FEWEST_EXPOSURES = 12  # that a view keeps of a split (our choice; four determine a probe)
SMALLEST_PART = 1 / 3  # of the exposures in train or test
BATCH_SIZES, MOST_BATCH_BYTES = (96, 48, 24, 12), 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedView:
    """A view, with what it keeps of each split: number of exposures, and their linear overlap.

    Of the splits in `isolated` it keeps exposures without a near neighbour alone ("direct"), which leaves parts of the
    field out.
    """

    name: str
    threshold_px: float | None
    n_kept: Mapping[Split, int]
    linear_overlap: Mapping[Split, float]
    isolated: tuple[Split, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The parts of a study that suit a scan. `memory_bytes` is what its largest cell takes beside an idle engine."""

    doses_photons: tuple[str, ...]
    views: tuple[ProposedView, ...]
    split: Splitting
    batch_size: int
    step_px: float
    d90_px: float
    memory_bytes: int


def propose(inputs: ScanInputs) -> Proposal:
    """Work out doses, views, split and batch size for a measured scan.

    Parameters
    ----------
    inputs : ScanInputs
        Of a measured source.

    Returns
    -------
    Proposal

    Raises
    ------
    InputError
        If the positions do not span a pixel on both axes, so that nothing can be reconstructed.
    """
    positions, probe = inputs.positions_px, inputs.probe_guess
    if is_degenerate(positions):
        height, width = span_px(positions)
        raise InputError(
            f"new: the scan's {len(positions)} positions span {height:.3g} px in y and {width:.3g} px in x, needed "
            f"{MIN_SPAN_PX:g} px on both axes",
            remedy="correct the positions and ingest the scan again",
        )
    assert inputs.own_dose_photons is not None, "measured"
    split = _propose_split(positions)
    names: tuple[Split, ...] = ("whole",) if split == "none" else ("train", "test")
    parts = {name: positions[split_indices(positions, split, name)] for name in names}
    recipe, memory_bytes = _propose_batches(inputs, max(parts.values(), key=len))
    baseline = _measured_view("baseline", None, parts, probe)
    assert baseline is not None, "it selects nothing"
    step_px = measure_beams(positions, probe).step_px
    assert step_px is not None, "positions that span a pixel are several"
    d90_px = probe_diameters(probe).d90_px
    return Proposal(
        doses_photons=(*_lower_doses(inputs.own_dose_photons), '"measured"'),
        views=(baseline, *_propose_views(parts, probe, step_px, d90_px)),
        split=split,
        batch_size=recipe.exposures_in_batch(max(BATCH_SIZES)),
        step_px=step_px,
        d90_px=d90_px,
        memory_bytes=memory_bytes,
    )


def _lower_doses(measured_photons: float) -> Iterator[str]:
    """Write fractions of a dose with two digits; of a scan with hardly any photons, its half."""
    wanted = [fraction * measured_photons for fraction in DOSE_FRACTIONS]
    for photons in [dose for dose in wanted if dose >= FEWEST_PHOTONS] or [measured_photons / 2]:
        mantissa, exponent = f"{photons:.1e}".split("e")
        yield f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def _propose_split(positions_px: NDArray[np.float64]) -> Splitting:
    """Cut the longer axis in the middle, or where half of the exposures lie; not at all if a part is too small."""
    height, width = span_px(positions_px)
    axis = 0 if height >= width else 1
    along = positions_px[:, axis]
    middle = float(np.median(along) - along.min()) / float(np.ptp(along))
    for fraction in (0.5, round(min(0.99, max(0.01, middle)), 2)):
        rule = SplitRule(axis="x" if axis else "y", fraction=fraction)
        indices = [split_indices(positions_px, rule, "train"), split_indices(positions_px, rule, "test")]
        fewest = max(SMALLEST_PART * len(positions_px), FEWEST_EXPOSURES)
        if all(len(part) >= fewest and not is_degenerate(positions_px[part]) for part in indices):
            return rule
    return "none"


def _propose_batches(inputs: ScanInputs, positions_px: NDArray[np.float64]) -> tuple[Recipe, int]:
    """Choose the largest batch that takes no more than 2 GB, and predict the memory of a cell of these positions."""
    shape_px, (n_opr, n_modes) = inputs.diffraction_shape_px, inputs.probe_guess.shape[:2]
    object_shape_px, _ = object_frame(positions_px, shape_px)

    def memory_bytes(recipe: Recipe, n_exposures: int) -> int:
        return predicted_memory_bytes(n_exposures, shape_px, object_shape_px, recipe, n_modes, n_opr)

    recipes = [Recipe(batch_size=size, stop="half_sets") for size in BATCH_SIZES]
    one = memory_bytes(Recipe(batch_size=1, stop="half_sets"), len(positions_px))
    fitting = [r for r in recipes if memory_bytes(r, len(positions_px)) - one <= MOST_BATCH_BYTES]
    recipe = (fitting or recipes[-1:])[0]
    return recipe, memory_bytes(recipe, len(positions_px))


def _propose_views(
    parts: Mapping[Split, NDArray[np.float64]], probe: NDArray[np.complex64], step_px: float, d90_px: float
) -> Iterator[ProposedView]:
    """Find spacings below the wanted ones that keep enough of each part, and leave some exposures out."""
    largest_px = LEAST_STEPS * step_px
    for name, (diameters, steps) in SPACINGS.items():
        wanted_px = max(diameters * d90_px, steps * step_px)
        while wanted_px > largest_px:
            threshold_px = float(f"{wanted_px:.3g}")
            view = _measured_view(name, threshold_px, parts, probe)
            if view is not None:
                yield view
                largest_px = LEAST_STEPS * threshold_px
                break
            wanted_px *= LOWERED


def _measured_view(
    name: str, threshold_px: float | None, parts: Mapping[Split, NDArray[np.float64]], probe: NDArray[np.complex64]
) -> ProposedView | None:
    """Select a spacing's exposures, or all of them; None if a part keeps too few."""
    kept: dict[Split, NDArray[np.float64]] = {}
    isolated: list[Split] = []
    for part, positions_px in parts.items():
        kept[part] = positions_px
        if threshold_px is not None:
            view = SpacingView(name=name, rule="min_spacing", threshold_px=threshold_px)
            try:
                selection = select(positions_px, view)
            except NotSelectableError:
                return None
            kept[part] = positions_px[selection.kept]
            if selection.metadata and selection.metadata.selection_strategy == "direct":
                isolated.append(part)
            if len(kept[part]) < FEWEST_EXPOSURES or is_degenerate(kept[part]):
                return None
    overlaps = {part: measure_beams(positions_px, probe).linear_overlap for part, positions_px in kept.items()}
    return ProposedView(
        name=name,
        threshold_px=threshold_px,
        n_kept={part: len(positions_px) for part, positions_px in kept.items()},
        linear_overlap={part: overlap for part, overlap in overlaps.items() if overlap is not None},
        isolated=tuple(part for part in isolated if len(kept[part]) < len(parts[part])),
    )
