"""Computes digests of all that determines the content of a run's groups, from a study and its scan, without a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fly64dask.base import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fly64dask.study import Realisation, Split, Study, View

# Expected intensities are stored at this scale (our choice): detected photons per exposure, mean over the scan. It is a
# unit and not a dose.
NOISE_FREE_SCALE_PHOTONS = 1e6


def exposures_digest(study: Study, scan_digest: str, realisation: Realisation, dose_photons: float | None) -> str:
    """Compute the digest of what determines the exposures of one noise realisation.

    Parameters
    ----------
    study : Study
        The study.
    scan_digest : str
        `source_digest` of the object's scan, which all doses share.
    realisation : Realisation
        Dose, split, repeat, object, setup, and view if the exposures are its own.
    dose_photons : float or None
        The dose in photons per exposure, as `dose_in_photons` resolves it.
    """
    dose, split, repeat, object_seed, view, setup_name = realisation
    drawn_from: list[object] = [NOISE_FREE_SCALE_PHOTONS]
    if dose != "noise_free":
        seeds = study.seeds
        drawn_from = [seeds.subsampling if study.source.kind == "measured" else seeds.simulation]
        drawn_from += [*([repeat] if repeat else []), *([] if object_seed is None else ["object", object_seed])]
        drawn_from += [] if view is None else ["view", view, dose_photons]
    setup = study.setup_of(setup_name)
    # A setup's errors depend on the seed of the simulation even if nothing else does.
    wrong = [] if setup.is_ideal else ["setup", setup.model_dump(mode="json"), study.seeds.simulation]
    return digest([scan_digest, dose, split, _split_of(study), *drawn_from, *wrong])


def selection_digest(study: Study, positions_sha256: str, view: View, split: Split) -> str:
    """Compute the digest of what determines which exposures a view keeps of a split.

    Parameters
    ----------
    study : Study
        The study.
    positions_sha256 : str
        Digest of the scan's array of positions.
    view : View
        The view, at the spacing with which it selects.
    split : "train" or "test"
        Half of the field of view.
    """
    return digest([positions_sha256, split, _split_of(study), view.model_dump()])


def view_digest(study: Study, array_sha256: Mapping[str, str], view: View, split: Split) -> str:
    """Compute the digest of what determines a view's group: its selection, its beams and the measures of its overlap.

    `array_sha256` are the digests of the scan's arrays, by name, which all objects share; the digests of their sources
    differ.
    """
    arrays = [array_sha256[name] for name in ("positions_px", "probe_guess")]
    settings = study.model_dump(mode="json", include={"split", "overlap"})
    return digest([arrays, split, view.model_dump(), settings])


def _split_of(study: Study) -> dict[str, Any]:
    return study.model_dump(mode="json", include={"split"})
