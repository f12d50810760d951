"""Resolves the options of a scan before its patterns are read, and collects its problems known by then."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.options import ReadOptions
from fly64dask.datasets.formats.scan_file import ScanFile
from fly64dask.datasets.ingest.checks import Complaint, complain_of_positions, without_marks
from fly64dask.datasets.ingest.detector import Frame, cut, cut_mask, make_frame, pixel_ratio
from fly64dask.datasets.ingest.geometry import doubt_pixel, object_pixel_nm, swap_and_flip
from fly64dask.datasets.ingest.masks import read_mask
from fly64dask.datasets.ingest.options import IngestOptions
from fly64dask.datasets.ingest.passes import PassPlan, exposure_blocks
from fly64dask.datasets.ingest.photon_counts import Conversion, choose_quantity, find_scale
from fly64dask.datasets.ingest.prepared import PreparedScan
from fly64dask.datasets.ingest.probe_files import checked_object, given_probe
from fly64dask.datasets.ingest.starting_probe import FROM_THE_MEAN

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARKS = "marks"


def prepare(scan: ScanFile, read: ReadOptions, options: IngestOptions, *, origin: str) -> PreparedScan:
    """Resolve the options of a scan before its patterns are read, and collect its problems known by then.

    Parameters
    ----------
    scan : ScanFile
        What a reader says of the files.
    read, options : ReadOptions, IngestOptions
        What a person says about the values, and what to do with the scan.
    origin : str
        What is being done, for messages.

    Returns
    -------
    PreparedScan
        With the scan's problems, which are not raised yet.

    Raises
    ------
    InputError
        If the options do not fit the size or number of the patterns.
    """
    complaints: list[Complaint] = []
    n, height, width = scan.patterns.shape
    rows = _kept_rows(n, options, origin)
    is_at_corner = (read.zero_frequency or scan.zero_frequency) == "corner"
    frame = make_frame((height, width), options, is_at_corner=is_at_corner, origin=origin)
    pixel_nm = _pixel_nm(scan, frame)
    positions_px = _positions_px(scan, rows, options, frame, pixel_nm, complaints)
    valid = _valid_pixels(scan, options, frame, complaints)
    plan = PassPlan(
        patterns=scan.patterns,
        frame=frame,
        rows=rows,
        conversion=_conversion(scan, read, options, frame, rows, valid, complaints),
        valid=valid,
        takes_marks=MARKS in options.masks,
    )
    probe, notes = None, list(scan.assumed)
    notes.extend(doubt_pixel(scan.geometry, frame.whole_px, is_transposed=frame.transpose))
    with _collecting(complaints):
        probe = given_probe(scan, options, frame, notes, origin)
    if probe is None and options.probe is None:
        notes.append("starting probe from the mean pattern")
    object_guess = None
    if scan.object_guess is not None:
        with _collecting(complaints):
            object_guess = _kept_object(scan, options, frame, notes, origin)
    return PreparedScan(
        scan=scan,
        read=read,
        options=options,
        plan=plan,
        positions_px=positions_px,
        pixel_nm=pixel_nm,
        probe=probe,
        probe_words=options.probe or FROM_THE_MEAN,
        opr_weights=_kept_weights(scan, probe, rows, notes),
        object_guess=object_guess,
        notes=tuple(notes),
        complaints=tuple(complaints),
    )


@contextmanager
def _collecting(complaints: list[Complaint]) -> Iterator[None]:
    """Collect an input error of the block as one problem among others."""
    try:
        yield
    except InputError as error:
        complaints.append(Complaint(found=error.message, remedy=error.remedy))


def _kept_rows(n: int, options: IngestOptions, origin: str) -> NDArray[np.int64]:
    beyond = [index for index in options.drop if not 0 <= index < n]
    if beyond:
        raise InputError(
            f"{origin}: --drop {beyond[0]} names no exposure; they are numbered 0 to {n - 1}",
            remedy="count exposures of the file from 0",
        )
    kept_rows = np.setdiff1d(np.arange(n, dtype=np.int64), np.asarray(options.drop, dtype=np.int64))
    if not len(kept_rows):
        raise InputError(
            f"{origin}: of {n} exposures {len(options.drop)} are dropped, and there is none left",
            remedy="check which array holds the scan",
        )
    return kept_rows


def _pixel_nm(scan: ScanFile, frame: Frame) -> tuple[float, float] | None:
    """Compute the pixel of the object, (y, x) nm, of the patterns as they are cut."""
    whole = object_pixel_nm(scan.geometry, frame.whole_px, is_transposed=frame.transpose)
    if whole is None:
        return None
    ratio = pixel_ratio(frame)
    return whole[0] * ratio[0], whole[1] * ratio[1]


def _positions_px(
    scan: ScanFile,
    rows: NDArray[np.int64],
    options: IngestOptions,
    frame: Frame,
    pixel_nm: tuple[float, float] | None,
    complaints: list[Complaint],
) -> NDArray[np.float64]:
    """Convert the kept positions to the scan's pixels, (n, 2) px, and collect their problems."""
    if scan.positions.ndim != 2 or scan.positions.shape[1] != 2:
        complaints.append(
            Complaint(
                found=f"scan positions have shape {scan.positions.shape}, needed (n, 2)",
                remedy="give one (y, x) pair in px for each exposure",
            )
        )
        return np.zeros((len(rows), 2))
    positions = swap_and_flip(np.asarray(scan.positions, dtype=np.float64), options)[rows]
    if scan.positions_unit == "px":
        positions = positions / np.asarray(pixel_ratio(frame))
    elif pixel_nm is None:
        complaints.append(
            Complaint(
                found="positions are in metres, and nothing says how large a pixel of the object is",
                remedy="give --pixel-size-nm, or --energy-kev, --distance-m and --pitch-um",
            )
        )
        return positions
    else:
        positions = positions * 1e9 / np.asarray(pixel_nm)
    complaints += complain_of_positions(positions, frame.shape_px, rows, overlap_is_needed=not options.no_overlap)
    return np.ascontiguousarray(positions)


def _valid_pixels(
    scan: ScanFile, options: IngestOptions, frame: Frame, complaints: list[Complaint]
) -> NDArray[np.bool_] | None:
    """Join the file's mask with those that a person gives, cut to the frame; None if all pixels are valid."""
    stored_px = scan.patterns.shape[1:]
    masks = [] if scan.mask is None else [np.asarray(scan.mask, dtype=np.bool_)]
    for text in options.masks:
        if text != MARKS:
            with _collecting(complaints):
                masks.append(read_mask(text, stored_px, options.mask_good))
    return cut_mask(frame, np.logical_and.reduce(masks)) if masks else None


def _conversion(
    scan: ScanFile,
    read: ReadOptions,
    options: IngestOptions,
    frame: Frame,
    rows: NDArray[np.int64],
    valid: NDArray[np.bool_] | None,
    complaints: list[Complaint],
) -> Conversion:
    """Find out what a pixel holds, and how many photons its unit is."""

    def values() -> Iterator[NDArray[np.number]]:
        ceiling = np.iinfo(scan.patterns.dtype).max if scan.patterns.dtype.kind in "ui" else None
        for block in exposure_blocks(scan.patterns, rows):
            unmarked = without_marks(cut(frame, block), ceiling)
            yield unmarked if valid is None else np.where(valid, unmarked, 0)

    quantity, doubt = choose_quantity(scan.quantity, read.quantity, values(), scan.file_format)
    complaints += [] if doubt is None else [doubt]
    scale = scan.photons_per_intensity if read.photons_per_intensity is None else read.photons_per_intensity
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        fault = f"photons_per_intensity is {scale!r}, needed a finite number above 0"
        complaints.append(Complaint(found=fault, remedy="give --photons-per-intensity"))
        scale = 1.0
    if scale is None:
        is_photons = scan.patterns.dtype.kind in "ui" or (options.round and quantity == "intensity")
        scale = 1.0 if is_photons else find_scale(values(), quantity)
    return Conversion(quantity=quantity, photons_per_intensity=scale, rounds=options.round)


def _kept_weights(
    scan: ScanFile, probe: NDArray[np.complex64] | None, rows: NDArray[np.int64], notes: list[str]
) -> NDArray[np.float64] | None:
    """Take the weights of OPR modes, (n, n_opr), of the kept exposures, if they belong to the probe's modes."""
    if scan.opr_weights is None:
        return None
    weights = np.asarray(scan.opr_weights)
    needed = (scan.patterns.shape[0], 1 if probe is None else len(probe))
    if weights.shape != needed or weights.dtype.kind not in "uif" or not np.isfinite(weights).all():
        notes.append(
            f"the file's OPR weights of shape {weights.shape}, where {needed} finite ones belong, are left out"
        )
        return None
    return weights[rows].astype(np.float64)


def _kept_object(
    scan: ScanFile, options: IngestOptions, frame: Frame, notes: list[str], origin: str
) -> NDArray[np.complex64] | None:
    """Take the object of the file, unless the options changed the scan's pixels or axes."""
    assert scan.object_guess is not None
    if pixel_ratio(frame) != (1.0, 1.0) or options.swap_xy or options.flip_y or options.flip_x:
        notes.append("the file's object, which has other pixels or axes, is left out")
        return None
    return checked_object(scan.object_guess, origin)
