"""Tells which committed cells are not of the study as it is now: an older recipe, other data, pixels or software."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fly64dask.base import METRICS, IntegrityError, installed_version, is_of_edition
from fly64dask.datasets import KeptExposures, dose_in_photons, exposures_digest, selection_digest, view_digest
from fly64dask.records.keys import ENGINE_PACKAGES, NOT_IN_KEY, engine_parts, failure_key, recipe_key
from fly64dask.scan import BeamFields, respaced_view
from fly64dask.store import read_attributes
from fly64dask.study import Cell, Realisation, SpacingView, realisation_of, remedied_recipe

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow
    from fly64dask.store import RunLayout
    from fly64dask.study import Dose, Remedy, Split, Study

OLDER_RECIPE, OTHER_DATA, OTHER_SOFTWARE = "of an older recipe", "of other data", "of other software"
# What these cells reconstructed is the same, and what was measured of it is not.
OTHER_PIXEL, OTHER_OVERLAP, OTHER_METRICS = "of another pixel size", "of another measure of overlap", "of other metrics"


class _GroupNow(NamedTuple):
    """What a group on disk holds: digests of its arrays, by name, the size of a pixel, if it has one, and whether the
    study would make it as it is.

    `overlaps` are the image and the group overlap of a view, None where the study would measure others.
    """

    array_sha256: tuple[tuple[str, str], ...]
    pixel_size_nm: tuple[float, float] | None
    is_current: bool
    overlaps: tuple[float, float] | None = None

    @classmethod
    def of(
        cls, stored: Mapping[str, Any], *, is_current: bool, overlaps: tuple[float, float] | None = None
    ) -> _GroupNow:
        """Take what a cell's record is compared with from a group's attributes."""
        arrays = stored.get("array_sha256", {}).items()
        in_key = tuple((name, sha256) for name, sha256 in arrays if name not in NOT_IN_KEY)
        sides = stored.get("pixel_size_nm")
        return cls(in_key, None if sides is None else (sides[0], sides[1]), is_current, overlaps)


class StudyNow:
    """A run's study as it is now, and the groups that its cells read: what committed cells are compared with.

    No pattern is read: of each group its attributes, once.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    """

    def __init__(self, study: Study, layout: RunLayout) -> None:
        self._study, self._layout = study, layout
        # Many cells share each of these.
        self._attributes = functools.cache(_read)
        self._exposures_now = functools.cache(self._look_at_exposures)
        self._view_now = functools.cache(self._look_at_view)
        self._recipe_now = functools.cache(self._look_at_recipe)
        self._exposures_digest = functools.cache(self._compute_exposures_digest)
        self._selection_digest = functools.cache(self._compute_selection_digest)

    def outdated(self, row: ManifestRow) -> str | None:
        """Say in words in what a cell's key differs from the one that a run of the study would give it now.

        Parameters
        ----------
        row : ManifestRow
            The cell's row.

        Returns
        -------
        str or None
            Such as `of an older recipe, of other data`; None if nothing differs, or nothing can be told: of a damaged
            record, of an attempt that never had a key, or where a group is missing (`verify` names those).
        """
        if row.cell_key is None or row.state == "damaged":
            return None
        return ", ".join(self._differences(row)) or None

    def makes_again(self, realisation: Realisation) -> bool:
        """Whether the study would make a stored group of exposures again as it is, if its scan is what it was."""
        stored, computed = self._attributes(self._layout.exposure_group(*realisation)), None
        if stored:
            computed = self._exposures_digest(realisation)
        return computed is not None and stored.get("source_digest") == computed

    def _differences(self, row: ManifestRow) -> Iterator[str]:
        key, parts = self._recipe_now(row.recipe_name, row.dose == "noise_free", row.remedy)
        is_older = row.recipe_key != key
        if is_older:
            yield OLDER_RECIPE
        if not row.digests:
            if not is_older and row.cell_key != self._failure_key(row):
                yield OTHER_DATA
            return
        exposures = self._exposures_now(realisation_of(self._study, row.cell))
        view = self._view_of(row)
        if self._has_other_data(row.digests, exposures, view):
            yield OTHER_DATA
        elif exposures.array_sha256 and row.pixel_size_nm != exposures.pixel_size_nm:
            yield OTHER_PIXEL
        elif view.array_sha256 and (row.image_overlap, row.group_overlap) != view.overlaps:
            yield OTHER_OVERLAP
        versions = row.versions or {}
        are_installed = (installed_version(package) in (None, versions.get(package)) for package in ENGINE_PACKAGES)
        if not (all(are_installed) and all(is_of_edition(versions, part) for part in parts)):
            yield OTHER_SOFTWARE
        if row.state == "completed" and not is_of_edition(versions, METRICS):
            yield OTHER_METRICS

    def _failure_key(self, row: ManifestRow) -> str:
        """The key of a cell whose inputs cannot be used: it is of the whole study."""
        assert row.failure_kind is not None, "a completed cell has inputs"
        recipe = remedied_recipe(self._study.recipe_of(row.cell), row.remedy)
        return failure_key(self._study, row.cell, recipe, row.failure_kind)

    def _view_of(self, row: ManifestRow) -> _GroupNow:
        cell, spacing_px = row.cell, row.remedy.spacing_threshold if row.remedy else None
        return self._view_now(cell.view, cell.split, spacing_px, cell.object_seed)

    def _has_other_data(self, digests: Mapping[str, str], exposures: _GroupNow, view: _GroupNow) -> bool:
        """Whether the cell was made from other arrays than its groups hold, or these are not the study's any more."""
        if not (exposures.is_current and view.is_current):
            return True
        return any(digests.get(name) != sha256 for group in (exposures, view) for name, sha256 in group.array_sha256)

    def _look_at_exposures(self, realisation: Realisation) -> _GroupNow:
        stored = self._attributes(self._layout.exposure_group(*realisation))
        exposed = self._exposures_digest(realisation)
        return _GroupNow.of(stored, is_current=exposed is None or stored.get("source_digest", exposed) == exposed)

    def _look_at_view(self, view: str, split: Split, spacing_px: float | None, object_seed: int | None) -> _GroupNow:
        stored = self._attributes(self._layout.view_group(view, split, spacing_px))
        selected, described = self._selection_digest(view, split, spacing_px, object_seed)
        overlaps = (stored["image_overlap"], stored["group_overlap"]) if stored else None
        return _GroupNow.of(
            stored,
            is_current=selected is None or stored.get("selection_digest", selected) == selected,
            overlaps=overlaps if described is None or stored.get("source_digest") == described else None,
        )

    def _look_at_recipe(
        self, recipe_name: str | None, is_noise_free: bool, remedy: Remedy | None
    ) -> tuple[str, tuple[str, ...]]:
        """The key of a recipe, and the parts of this package that determine what an engine makes of it."""
        dose: Dose = "noise_free" if is_noise_free else 1.0
        cell = Cell(dose=dose, view="", split="train", recipe_name=recipe_name)
        recipe = remedied_recipe(self._study.recipe_of(cell), remedy)
        return recipe_key(recipe, seed=self._study.seeds.grouping), engine_parts(recipe)

    def _compute_exposures_digest(self, realisation: Realisation) -> str | None:
        """What the group of exposures would state if it were made now; None without a scan."""
        scan = self._attributes(self._layout.scan_group(realisation.object_seed))
        if not scan:
            return None
        kept = None
        if realisation.view is not None:
            view = self._attributes(self._layout.view_group(realisation.view, realisation.split))
            if not view:
                return None
            beams = BeamFields(**{name: view.get(name) for name in BeamFields.model_fields})
            kept = KeptExposures(view=realisation.view, split=realisation.split, n_kept=view["n_kept"], beams=beams)
        dose_photons = dose_in_photons(self._study, realisation.dose, scan["own_dose_photons"], kept)
        return exposures_digest(self._study, scan["source_digest"], realisation, dose_photons)

    def _compute_selection_digest(
        self, view_name: str, split: Split, spacing_px: float | None, object_seed: int | None
    ) -> tuple[str | None, str | None]:
        """What the group of a view would state if it were made now: its selection's digest and its own; None without a
        scan.
        """
        scan = self._attributes(self._layout.scan_group(object_seed))
        if not scan:
            return None, None
        view = next(each for each in self._study.views if each.name == view_name)
        if spacing_px is not None and isinstance(view, SpacingView):
            view = respaced_view(view, spacing_px)
        sha256 = scan["array_sha256"]
        selected = selection_digest(self._study, sha256["positions_px"], view, split)
        return selected, view_digest(self._study, sha256, view, split)


def _read(group: Path) -> dict[str, Any]:
    """Attributes of a group; empty if it is missing or damaged."""
    try:
        return read_attributes(group, f"compare {group}")
    except IntegrityError:
        return {}
