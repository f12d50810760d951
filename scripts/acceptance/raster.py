"""The periodic artefact of a regular raster, and what random positions do to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from acceptance.results import Claim, Curve, Finding, Panel, Spread, Table, shown_number
from acceptance.tables import ERROR, LEVEL, adjusted_p_values
from fly64dask import Run, metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask import CellView

SOURCE = "Fannjiang, arXiv 1810.00852"
NO_NOISE = "no noise"
SCANS = {"raster_regular": "regular", "raster_jittered": "jittered"}
PERIODS = 7  # of the raster in the square that is looked at: as many as the positions enclose, less one


class Group(NamedTuple):
    """The repeats of one setup and dose with one scan."""

    setup: str
    dose: str
    scan: str
    error: Spread
    artefact: Spread
    spectrum: NDArray[np.float64]


def reduce(runs: Mapping[str, Run]) -> Finding:
    """Measure the error of each scan, and how much of it repeats with the raster."""
    groups = [group for name, run in runs.items() for group in gathered_errors(run, SCANS[name])]
    places = tuple(dict.fromkeys((group.setup, group.dose) for group in groups))
    rows = []
    for setup, dose in places:
        of_scan = {group.scan: group for group in groups if (group.setup, group.dose) == (setup, dose)}
        errors = [of_scan[scan].error if scan in of_scan else None for scan in SCANS.values()]
        artefacts = [of_scan[scan].artefact if scan in of_scan else None for scan in SCANS.values()]
        rows.append((setup, dose, *errors, *artefacts))
    columns = ("starting probe", "an exposure", *(f"error (rad): {scan}" for scan in SCANS.values()))
    columns = (*columns, *(f"artefact: {scan}" for scan in SCANS.values()))
    found = [claim(groups, setup, dose) for setup, dose in places]
    return Finding(
        claims=tuple(found), tables=(Table(name="raster", columns=columns, rows=tuple(rows)),), panels=panels(groups)
    )


def gathered_errors(run: Run, scan: str) -> Iterator[Group]:
    """Gather error, artefact and mean spectrum over the repeats of each setup and dose."""
    table = run.table().reset_index()
    cells = {(view.cell.setup_name, view.cell.dose, view.cell.repeat): view for view in run.cells}
    for (setup, dose), lines in table[table["state"] == "completed"].groupby(["setup_name", "dose"], sort=False):
        spectra = [error_spectrum(cells[setup, dose, repeat], run) for repeat in lines["repeat"]]
        error, artefact = Spread.of(lines[ERROR]), Spread.of(map(artefact_of, spectra))
        if error and artefact:
            defocus = run.study.setup_of(setup).probe_defocus_waves
            words = f"out of focus by {defocus:g} wave" if defocus else "true"
            yield Group(
                words,
                NO_NOISE if isinstance(dose, str) else f"{shown_number(dose)} photons",
                scan,
                error,
                artefact,
                np.mean(spectra, axis=0),
            )


def error_spectrum(view: CellView, run: Run) -> NDArray[np.float64]:
    """Compute the power spectrum of a cell's complex error in a square of whole periods of the raster.

    Returns
    -------
    (n, n) float64
        Power at each frequency of the square, zero frequency at [0, 0].
    """
    import xarray

    scan: Any = run.study.source
    step, (centre_y, centre_x) = round(scan.scan.step_px), scan.scan.centre_px
    side = PERIODS * step
    truth, recon = xarray.align(view.truth.object_truth, view.reconstruction.object_recon.isel(slice=0), join="inner")
    inside = np.zeros(truth.shape, dtype=bool)
    top = round(centre_y - side / 2) - int(truth.y[0])
    left = round(centre_x - side / 2) - int(truth.x[0])
    square = (slice(top, top + side), slice(left, left + side))
    inside[square] = True
    aligned = metrics.align(recon.values, truth.values, inside).image
    error = (aligned - truth.values)[square]
    power: NDArray[np.float64] = np.abs(np.fft.fft2(error)) ** 2 / error.size**2
    return power


def artefact_of(spectrum: NDArray[np.float64]) -> float:
    """Compute the mean power of an error at the raster's own frequencies over that elsewhere; 1 without artefact."""
    on_raster = np.zeros(spectrum.shape, dtype=bool)
    on_raster[::PERIODS, ::PERIODS] = True
    elsewhere = ~on_raster
    on_raster[0, 0] = False
    return float(spectrum[on_raster].mean() / spectrum[elsewhere].mean())


def claim(groups: list[Group], setup: str, dose: str) -> Claim:
    """Say how much more of a regular raster's error is periodic than of a jittered one's."""
    one, other = (
        next(g for g in groups if (g.setup, g.dose, g.scan) == (setup, dose, scan)) for scan in SCANS.values()
    )
    (p_value,) = adjusted_p_values(one.artefact, [other.artefact])
    is_more = one.artefact.mean > other.artefact.mean
    verdict = "no bar" if p_value is None else "as published" if is_more and p_value < LEVEL else "not as published"
    return Claim(
        published="a regular raster has an artefact with its period, an irregular one has none",
        source=SOURCE,
        ours=f"{one.artefact.mean:.3g} against {other.artefact.mean:.3g} times the power beside it; "
        f"error {one.error.mean / other.error.mean:.3g} times; starting probe {setup}, {dose}",
        rule="none: one cell" if p_value is None else f"more with the regular raster (Welch, {LEVEL:g})",
        verdict=verdict,
    )


def panels(groups: list[Group]) -> tuple[Panel, ...]:
    """Draw the error's power along the raster's rows for each setup and dose with photons."""
    found = []
    for setup, dose in dict.fromkeys((group.setup, group.dose) for group in groups if group.dose != NO_NOISE):
        curves = []
        for group in groups:
            if (group.setup, group.dose) == (setup, dose):
                # Both axes of the raster are alike, so their spectra are averaged.
                along = (group.spectrum[0] + group.spectrum[:, 0]) / 2
                numbers = range(1, len(along) // 2 + 1)
                curves.append(
                    Curve(
                        label=group.scan,
                        x=tuple(number / PERIODS for number in numbers),
                        y=tuple(Spread(mean=float(along[number])) for number in numbers),
                    )
                )
        found.append(
            Panel(
                title=f"starting probe {setup}, {dose}",
                x_label="frequency (periods per step of the raster)",
                y_label="power of the error",
                y_log=True,
                curves=tuple(curves),
            )
        )
    return tuple(found)
