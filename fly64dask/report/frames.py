"""Shows the exposures of a measured scan: photons over the field, outliers, mean pattern and mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.datasets.ingest import find_bright, find_dark
from fly64dask.report.cells import read_group
from fly64dask.report.content import FramesContent, MarkedFrame, Scale
from fly64dask.report.images import Image
from fly64dask.report.pictures import MAX_POSITIONS, PictureStore, evenly_taken
from fly64dask.store import ExposureAttributes
from fly64dask.study import dose_name

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from fly64dask.store import RunLayout
    from fly64dask.study import Dose, Study

ARRAYS = ("positions_px", "exposure_photons", "scan_index", "mean_pattern", "valid_pixels")
MAX_MARKED = 200
# The dimmest pixel that a mean pattern shows, as a fraction of its brightest (our choice): six decades.
DIMMEST = 1e-6


def frames_content(study: Study, layout: RunLayout, store: PictureStore, problems: list[str]) -> FramesContent | None:
    """Describe the exposures of a measured study at its highest dose.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    store : PictureStore
        The picture of the mean pattern is added to it.
    problems : list of str
        A sentence about each damaged array is added to it.

    Returns
    -------
    FramesContent or None
        None for a simulated study, or if the exposures are missing or damaged.
    """
    if study.source.kind != "measured":
        return None
    dose = _highest(study.doses_photons)
    parts, sides_nm = [], None
    for split in study.splits:
        view = None if study.dose_by == "exposure" or isinstance(dose, str) else study.views[0].name
        group = layout.exposure_group(dose, split, view=view)
        if not group.exists():
            return None
        attributes, arrays = read_group(group, ExposureAttributes, problems, only=ARRAYS)
        if attributes is None or not set(ARRAYS[:3]) <= set(arrays):
            return None
        sides_nm = attributes.pixel_size_nm
        parts.append(arrays)
    photons, index, positions = (
        np.concatenate([part[name] for part in parts]) for name in ("exposure_photons", "scan_index", "positions_px")
    )
    valid = parts[0].get("valid_pixels")
    pattern = _mean_pattern(parts, valid)
    n_masked = 0 if valid is None else int((~valid).sum())
    picture = None if pattern is None else store.add_image(pattern)
    return FramesContent(
        dose=dose_name(dose),
        n=len(photons),
        photons_min=float(photons.min()),
        photons_median=float(np.median(photons)),
        photons_max=float(photons.max()),
        **_marks_and_map(photons, index, positions),
        pixel_size_nm=sides_nm,
        n_masked=n_masked,
        n_pixels=0 if valid is None else valid.size,
        pattern=picture,
    )


def _highest(doses: Sequence[Dose]) -> Dose:
    return "measured" if "measured" in doses else max(dose for dose in doses if not isinstance(dose, str))


def _marks_and_map(photons: NDArray[Any], index: NDArray[np.int64], positions: NDArray[np.float64]) -> dict[str, Any]:
    """Mark exposures that are dark or far too bright, and choose some exposures for a map, with all marked ones."""
    kinds = np.where(find_dark(photons), "dark", np.where(find_bright(photons), "bright", ""))
    marked = np.flatnonzero(kinds != "")
    shown = np.union1d(evenly_taken(len(photons), MAX_POSITIONS), marked[:MAX_MARKED])
    return {
        "n_marked": len(marked),
        "marked": tuple(
            MarkedFrame(index=int(index[at]), photons=float(photons[at]), kind=str(kinds[at]))
            for at in marked[:MAX_MARKED]
        ),
        "yx": positions[shown].round(1).tolist(),
        "photons": photons[shown].astype(float).tolist(),
        "kinds": kinds[shown].tolist(),
    }


def _mean_pattern(parts: Sequence[dict[str, NDArray[Any]]], valid: NDArray[np.bool_] | None) -> Image | None:
    """Average the parts' mean patterns on a logarithmic scale; NaN where a pixel is masked."""
    if not all("mean_pattern" in part for part in parts):
        return None
    lengths = [len(part["exposure_photons"]) for part in parts]
    mean = np.average([part["mean_pattern"] for part in parts], axis=0, weights=lengths)
    top = float(mean.max())
    if top <= 0:
        return None
    dimmest = max(top * DIMMEST, 0.1 / sum(lengths))
    values = np.log10(np.maximum(mean, dimmest))
    low, high = float(np.log10(dimmest)), float(np.log10(top))
    return Image(
        key="mean_pattern",
        values=values if valid is None else np.where(valid, values, np.nan),
        scale=Scale(low=low, high=max(high, low + 0.1), colours="viridis", unit="log10 of photons"),
        origin_px=(0, 0),
    )
