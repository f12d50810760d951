"""One committed cell's groups -> the images and curves that a report shows, every damage named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fly64dask.base import IntegrityError
from fly64dask.metrics import align, remove_phase_ramp
from fly64dask.report.pictures import Scale
from fly64dask.scan import crop_to_frame, illuminated_area, illumination_map
from fly64dask.store import (
    ExposureAttributes,
    GroupAttributes,
    ReconstructionAttributes,
    TruthAttributes,
    ViewAttributes,
    open_group,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.records import ManifestRow
    from fly64dask.store import RunLayout
    from fly64dask.study import Study

Attributes = TypeVar("Attributes", bound=GroupAttributes)
# Curves that a cell may have: array, array it is drawn over (else the epochs).
CURVES = {
    "loss": (),
    "validation": (),
    "frc_truth": ("frc_frequency",),
    "frc_flat": ("frc_frequency",),
    "frc_halves": ("frc_halves_frequency", "frc_frequency"),
}
# Share of pixels that a scale spans: the brightest few would leave the others without contrast (our choice).
SPANNED_PERCENT = 99.5
FLAT_SPAN_RAD = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """`values` (y, x) float64, NaN where there are none; `origin_px` is the scan-frame (y, x) of the first."""

    key: str
    values: NDArray[np.float64]
    scale: Scale
    origin_px: tuple[int, int]
    cyclic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """`x` (k,) and `y` (k,) float64."""

    key: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellView:
    """What there is to see of a cell. What was not computed is absent; what is damaged is a problem."""

    images: tuple[Image, ...] = ()
    curves: tuple[Curve, ...] = ()
    positions_px: NDArray[np.float64] | None = None
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class CellReader:
    """Reads the cells of a run one after the other; keeps the truth and the scales that all of them share.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    rows : sequence of ManifestRow
        Its committed cells. Without a truth the best exposed of them sets the scale of phases.
    """

    study: Study
    layout: RunLayout
    rows: Sequence[ManifestRow]
    problems: list[str] = field(default_factory=list)
    _truth: dict[str, NDArray[Any]] = field(default_factory=dict)
    _phase_limit_rad: float = 0.0

    def __post_init__(self) -> None:
        """Read the truth, if there is one, and choose the scale of phases."""
        if self.study.source.kind != "measured" and self.layout.truth_group.exists():
            _, self._truth = _read_group(self.layout.truth_group, TruthAttributes, self.problems)
        if "object_truth" in self._truth:
            phase = np.angle(self._truth["object_truth"])
            self._phase_limit_rad = _phase_limit(phase - np.angle(np.exp(1j * phase).mean()))
            return
        for row in sorted(self.rows, key=lambda row: (row.dose_photons or 0, row.n_kept or 0), reverse=True):
            phases = [image.values for image in self.read(row).images if image.key == "phase"]
            if phases:
                self._phase_limit_rad = _phase_limit(phases[0])
                return

    def read(self, row: ManifestRow) -> CellView:
        """Read one cell.

        Parameters
        ----------
        row : ManifestRow
            Its row.

        Returns
        -------
        CellView
            Empty if the cell is not completed.
        """
        if row.state != "completed":
            return CellView()
        problems: list[str] = []
        groups = self.layout.reconstruction_group(row.cell), self.layout.kept_group(row.cell, row.remedy)
        made, arrays = _read_group(groups[0], ReconstructionAttributes, problems, row.digests)
        _, view = _read_group(groups[1], ViewAttributes, problems, row.digests)
        positions, probe_guess = self._read_exposures(row, view.get("kept_indices"), problems)
        images: list[Image] = []
        if made is not None and positions is not None and probe_guess is not None and "object_recon" in arrays:
            try:
                images += self._object_images(arrays, made.object_origin_px, positions, probe_guess)
            except (ValueError, IndexError, np.linalg.LinAlgError) as error:
                problems.append(f"{row.cell.name}: its object cannot be drawn ({error})")
        if "probe_recon" in arrays:
            images += _probe_images(arrays["probe_recon"])
        return CellView(images=tuple(images), curves=_curves(arrays), positions_px=positions, problems=tuple(problems))

    def _read_exposures(
        self, row: ManifestRow, kept: NDArray[np.int64] | None, problems: list[str]
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.complex64] | None]:
        """Kept positions and the starting probe; never the counts."""
        group = self.layout.exposure_group(row.cell.dose, row.cell.split, row.cell.repeat)
        wanted = ("positions_px", "probe_guess")
        _, arrays = _read_group(group, ExposureAttributes, problems, row.digests, only=wanted)
        positions = arrays.get("positions_px")
        if positions is None or kept is None or (len(kept) and kept.max() >= len(positions)):
            return None, arrays.get("probe_guess")
        return positions[kept], arrays.get("probe_guess")

    def _object_images(
        self,
        arrays: Mapping[str, NDArray[Any]],
        origin_px: tuple[int, int],
        positions_px: NDArray[np.float64],
        probe_guess: NDArray[np.complex64],
    ) -> list[Image]:
        recon = arrays["object_recon"][0]
        light = illumination_map(probe_guess, positions_px, recon.shape, origin_px)
        area = illuminated_area(light)
        rows, columns = (slice(int(lit.min()), int(lit.max()) + 1) for lit in np.nonzero(area))
        corner = (origin_px[0] + rows.start, origin_px[1] + columns.start)

        def image(key: str, values: NDArray[Any], scale: Scale, *, where: NDArray[np.bool_] = area) -> Image:
            cropped = np.where(where, values, np.nan)[rows, columns]
            return Image(key=key, values=cropped, scale=scale, origin_px=corner, cyclic=scale.unit == "rad")

        everywhere = np.ones_like(area)
        found = self._compared(recon, origin_px, area, image)
        found.append(
            image("light", light / light.max(), Scale(low=0, high=1, colours="magma", unit=""), where=everywhere)
        )
        halves = arrays.get("half_objects")
        if halves is not None:
            apart = remove_phase_ramp(halves[0] * np.conj(halves[1]), area)
            found.append(image("half_difference", apart, self._phase_scale("RdBu_r")))
        return found

    def _compared(
        self, recon: NDArray[Any], origin_px: tuple[int, int], area: NDArray[np.bool_], image: Any
    ) -> list[Image]:
        """Phase and amplitude, beside the truth's if there is one; aligned as for the phase error."""
        if "object_truth" not in self._truth:
            relative = Scale(low=0, high=2, colours="cividis", unit="of the mean")
            return [
                image("phase", remove_phase_ramp(recon, area), self._phase_scale("twilight_shifted")),
                image("amplitude", np.abs(recon) / np.abs(recon[area]).mean(), relative),
            ]
        reference, known = crop_to_frame(self._truth["object_truth"], recon.shape, origin_px)
        area = area & known
        aligned = align(recon, reference, area).image
        phase_error = np.angle(aligned * np.conj(reference))
        # A mean of the truth's own, which no data tell, would only use up the scale.
        truth_phase = np.angle(reference * np.exp(-1j * np.angle(reference[area].sum())))
        top = float(np.percentile(np.abs(self._truth["object_truth"]), SPANNED_PERCENT))
        of_amplitude = Scale(low=0, high=1.2 * top, colours="cividis", unit="transmission")
        of_error = Scale(low=-0.5 * top, high=0.5 * top, colours="RdBu_r", unit="transmission")
        of_phase = self._phase_scale("twilight_shifted")
        return [
            image("phase", np.angle(np.exp(1j * (truth_phase + phase_error))), of_phase, where=area),
            image("phase_truth", truth_phase, of_phase, where=area),
            image("phase_difference", phase_error, self._phase_scale("RdBu_r"), where=area),
            image("amplitude", np.abs(aligned), of_amplitude, where=area),
            image("amplitude_truth", np.abs(reference), of_amplitude, where=area),
            image("amplitude_difference", np.abs(aligned) - np.abs(reference), of_error, where=area),
        ]

    def _phase_scale(self, colours: Any) -> Scale:
        limit = self._phase_limit_rad or math.pi
        return Scale(low=-limit, high=limit, colours=colours, unit="rad")


def _phase_limit(phase_rad: NDArray[np.float64]) -> float:
    """Limit of a scale around 0 that spans nearly all of some phases, to the next tenth, at most pi."""
    spanned = float(np.nanpercentile(np.abs(np.angle(np.exp(1j * phase_rad))), SPANNED_PERCENT))
    return min(math.pi, max(FLAT_SPAN_RAD, math.ceil(10 * spanned) / 10))


def _probe_images(probe: NDArray[np.complex64]) -> list[Image]:
    """Amplitude of all modes together, and the phase of the first where it is bright."""
    modes = probe[0]
    amplitude = np.sqrt((np.abs(modes) ** 2).sum(axis=0, dtype=np.float64))
    phase = np.where(illuminated_area(np.abs(modes[0]) ** 2), np.angle(modes[0]), np.nan)
    bright = Scale(low=0.0, high=float(amplitude.max()) or 1.0, colours="viridis", unit="√photons")
    around = Scale(low=-math.pi, high=math.pi, colours="twilight_shifted", unit="rad")
    return [
        Image(key="probe_amplitude", values=amplitude, scale=bright, origin_px=(0, 0)),
        Image(key="probe_phase", values=phase, scale=around, origin_px=(0, 0), cyclic=True),
    ]


def _curves(arrays: Mapping[str, NDArray[Any]]) -> tuple[Curve, ...]:
    found = []
    for key, grids in CURVES.items():
        if key not in arrays:
            continue
        y = arrays[key].astype(np.float64)
        x = next((arrays[grid] for grid in grids if grid in arrays and len(arrays[grid]) == len(y)), None)
        if x is None and not grids:
            x = np.arange(1, len(y) + 1)
        if x is not None:
            found.append(Curve(key=key, x=x.astype(np.float64), y=y))
    return tuple(found)


def _read_group(
    group: Path,
    model: type[Attributes],
    problems: list[str],
    wanted: Mapping[str, str] | None = None,
    *,
    only: Sequence[str] | None = None,
) -> tuple[Attributes | None, dict[str, NDArray[Any]]]:
    """Read what can be read of a group, array by array; what is damaged is added to the problems."""
    try:
        opened = open_group(group, model)
    except IntegrityError as error:
        problems.append(str(error))
        return None, {}
    arrays = {}
    for name, digest in opened.array_sha256.items():
        if only is not None and name not in only:
            continue
        if wanted is not None and wanted.get(name, digest) != digest:
            problems.append(f"{group / name} is not the array that the cell's record names")
            continue
        try:
            arrays[name] = opened.read(name)
        except IntegrityError as error:
            problems.append(str(error))
    return opened.attributes, arrays
