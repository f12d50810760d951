"""Runs the checks of a scan's counts, one after the other, after every exposure has been read."""

from __future__ import annotations

from collections.abc import Iterator

from fly64dask.datasets.ingest.checks.complaints import Complaint
from fly64dask.datasets.ingest.checks.exposures import complain_of_exposures, complain_of_repeats
from fly64dask.datasets.ingest.checks.marks import (
    complain_of_marks,
    complain_of_mask,
    complain_of_negatives,
    find_marks,
)
from fly64dask.datasets.ingest.checks.zero_frequency import complain_of_zero_frequency
from fly64dask.datasets.ingest.passes import Pass
from fly64dask.datasets.ingest.photon_counts import complain_of_darkness, complain_of_rounding
from fly64dask.datasets.ingest.prepared import PreparedScan
from fly64dask.datasets.ingest.survey import complain_of_units


def complaints_of(under_way: Pass, prepared: PreparedScan) -> Iterator[Complaint]:
    """List all problems of the counts, after all exposures have been read."""
    plan, survey, scan, read = under_way.plan, under_way.survey, prepared.scan, prepared.read
    turned_round = list(complain_of_mask(under_way.extremes, plan.valid, from_file=scan.mask is not None))
    if turned_round:  # other problems follow from this one
        yield from turned_round
        return
    if not survey.brightest:
        yield from complain_of_darkness(plan.conversion, under_way.extremes.high)
        return
    rounds = plan.conversion.rounds
    if not plan.takes_marks:
        yield from complain_of_marks(find_marks(under_way.extremes, plan.valid), under_way.extremes)
    yield from complain_of_negatives(under_way.extremes, under_way.valid, rounds=rounds)
    yield from complain_of_rounding(plan.conversion, under_way.rounding, survey.brightest)
    yield from complain_of_units(
        survey,
        quantity_is_given=read.quantity is not None or scan.quantity == "amplitude",
        scale_is_given=read.photons_per_intensity is not None or scan.photons_per_intensity is not None,
    )
    yield from complain_of_zero_frequency(
        survey.pattern_sum / len(plan.rows),
        scan.zero_frequency,
        is_given=read.zero_frequency is not None or scan.zero_frequency_is_stated,
    )
    if not prepared.options.keep_outliers:
        photons = survey.exposure_photons
        yield from complain_of_exposures(photons, plan.rows)
        yield from complain_of_repeats(
            survey.fingerprints, photons, plan.rows, lambda number: scan.patterns.read(number, number + 1)[0]
        )
