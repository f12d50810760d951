"""Attributes of each kind of Zarr group, as records that are checked on writing and on reading."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from fly64dask.base import Frozen, Geometry, PixelSizeNm
from fly64dask.scan import BeamFields, SelectionMetadata
from fly64dask.simulation import ObjectBand, ProbeLight, SetupFields
from fly64dask.study import ForwardModel, Seeds, Split


class GroupAttributes(Frozen):
    """Attributes that every group carries, besides the digests of its arrays, their metadata and itself."""

    schema_version: Literal[1] = 1
    created_at: str
    software: dict[str, str]
    source_digest: str


class ScanAttributes(GroupAttributes):
    """Attributes of the scan that all doses of an object share.

    `detected_share` is the mean share of a simulation's incident light that is detected; `pixel_size_nm` the sides
    (y, x) of a pixel of the object, and `geometry` what else is known, if the source states it.
    """

    kind: Literal["scan"] = "scan"
    source: dict[str, JsonValue]
    n_exposures: int
    diffraction_shape_px: tuple[int, int]
    mean_total_intensity: float
    brightest_pixel_intensity: float
    own_dose_photons: float | None = None
    detected_share: float | None = None
    pixel_size_nm: PixelSizeNm | None = None
    geometry: Geometry | None = None


class TruthAttributes(GroupAttributes):
    """Attributes of the object and probe that a simulation looked at and with."""

    kind: Literal["truth"] = "truth"
    oversampling: int = 1
    probe_light: ProbeLight | None = None
    pixel_size_nm: PixelSizeNm | None = None
    object_band: ObjectBand | None = None


class IngestedScan(Frozen):
    """The history of an ingested scan: what its file is, what was done to it, and what was found.

    `frame_px` is (H, W) of a pattern. `step_px` is the median distance to the nearest neighbour, None of a single
    position; `photons_...` are of an exposure. `dropped` are numbers in the file; `changes` the options of the command
    line that changed patterns or positions; `assumed` what neither the file nor a person says.
    `largest_rounding_photons` is how far a value was off whole photons, `n_negative_pixels` how many values were
    negative and are 0.
    """

    file_format: str
    n_exposures_in_file: int
    frame_px: tuple[int, int]
    step_px: float | None = None
    span_px: tuple[float, float]
    photons_min: int
    photons_median: float
    photons_max: int
    masked_share: float = 0.0
    quantity: Literal["amplitude", "intensity"]
    largest_rounding_photons: float = 0.0
    n_negative_pixels: int = 0
    dropped: tuple[int, ...] = ()
    changes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


class ExposureAttributes(SetupFields, GroupAttributes):
    """Attributes of one scan, or one split of it, at one dose.

    `incident_photons` of an exposure are known of a simulation, `pixel_size_nm` (y, x) and `geometry` if the source
    states them; `ingested` is known of an ingested scan. `noise_free` says that `counts` are expected ones, float32,
    of a simulation: then there is no dose, and `photons_per_intensity` is the scale on which they are stored.
    """

    kind: Literal["exposures"] = "exposures"
    source: dict[str, JsonValue]
    dose_photons: float | None = None
    noise_free: bool = False
    forward_model: ForwardModel | None = None
    mean_counts_photons: float
    brightest_count_photons: int | float
    incident_photons: float | None = None
    pixel_size_nm: PixelSizeNm | None = None
    geometry: Geometry | None = None
    n_exposures: int
    split: Split | None = None
    repeat: int = 0
    split_boundary_px: float | None = None
    photons_per_intensity: float | None = None
    thinning_probability: float | None = None
    seeds: Seeds | None = None
    zero_frequency: Literal["centre"] = "centre"
    legacy_metadata: dict[str, JsonValue] | None = None
    ingested: IngestedScan | None = None


class ViewAttributes(BeamFields, GroupAttributes):
    """Attributes of a view of a split: which exposures it keeps, and how densely they lie.

    `selection_digest` is that of what determines which are kept, `source_digest` of the measures of overlap too.
    """

    kind: Literal["view"] = "view"
    selection_digest: str = ""
    overlap_view: str
    split: Split
    n_exposures: int
    n_kept: int
    selection: SelectionMetadata | None
    image_overlap: float
    group_overlap: float
    overlap_diameter_px: float
    overlap_n_neighbours: int
    bounding_box_area_px2: float
    span_y_px: float
    span_x_px: float

    @property
    def beams(self) -> BeamFields:
        """The density of the kept exposures' beams."""
        return BeamFields(**{name: getattr(self, name) for name in BeamFields.model_fields})


class ReconstructionAttributes(GroupAttributes):
    """Attributes of one reconstruction; `object_origin_px` is the scan-frame (y, x) of the object's first pixel.

    `pixel_size_nm` are the sides (y, x) of a pixel of object and probe, if they are known.
    """

    kind: Literal["reconstruction"] = "reconstruction"
    cell: str
    object_origin_px: tuple[int, int]
    pixel_size_nm: PixelSizeNm | None = None
    n_epochs: int
    acceleration: str | None = None
