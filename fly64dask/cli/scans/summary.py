"""What a person reads of an ingested scan: format, pixels, steps, photons, mask, and what was assumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fly64dask.base import counted, mean_side_nm

if TYPE_CHECKING:
    from fly64dask.store import ExposureAttributes, IngestedScan


def scan_lines(stored: ExposureAttributes) -> Iterator[str]:
    """Describe an ingested scan in a few lines, without the name of its store."""
    facts = stored.ingested
    if facts is None:  # made by an older version
        yield f"{counted(stored.n_exposures, 'exposure')}, {stored.mean_counts_photons:.6g} photons per exposure"
        return
    height, width = facts.frame_px
    yield f"{facts.file_format}, {counted(stored.n_exposures, 'exposure')} of {height} x {width} px"
    yield f"{_pixel(stored)}; {_steps(stored, facts)}"
    yield (
        f"photons per exposure: min {facts.photons_min}, median {facts.photons_median:.6g}, max {facts.photons_max}, "
        f"mean {stored.mean_counts_photons:.6g}; brightest pixel {stored.brightest_count_photons}; "
        f"{facts.masked_share:.2%} of the pixels masked"
    )
    n_dropped = len(facts.dropped)
    dropped = [f"{counted(n_dropped, 'exposure')} left out"] if n_dropped else []
    changes = [*facts.changes, *dropped]
    if changes:
        yield f"changed: {', '.join(changes)}"
    if facts.largest_rounding_photons > 0.001 or facts.n_negative_pixels:
        yield (
            f"rounded by at most {facts.largest_rounding_photons:.3g} photons; "
            f"{counted(facts.n_negative_pixels, 'negative value was', 'negative values were')} set to 0"
        )
    if facts.assumed:
        yield f"assumed: {', '.join(facts.assumed)}"


def _pixel(stored: ExposureAttributes) -> str:
    if stored.pixel_size_nm is None:
        return "pixel of the object: size not known"
    y, x = stored.pixel_size_nm
    return f"pixel of the object: {y:.4g} nm" if y == x else f"pixel of the object: {y:.4g} x {x:.4g} nm (y, x)"


def _steps(stored: ExposureAttributes, facts: IngestedScan) -> str:
    """Say how far apart positions are, in px and in nm where a pixel has a size."""
    (height, width), step = facts.span_px, facts.step_px
    extent = f"span {height:.4g} x {width:.4g} px"
    if stored.pixel_size_nm is not None:
        y_nm, x_nm = stored.pixel_size_nm
        extent += f" ({height * y_nm:.4g} x {width * x_nm:.4g} nm)"
    if step is None:
        return f"one position; {extent}"
    side_nm = mean_side_nm(stored.pixel_size_nm)
    in_nm = "" if side_nm is None else f" ({step * side_nm:.4g} nm)"
    return f"steps of {step:.4g} px{in_nm} with frames of {min(facts.frame_px)} px; {extent}"
