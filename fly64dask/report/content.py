"""The records that a report's page is drawn from; `fly64dask schema report` prints their JSON schema."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fly64dask.base import Better, FailureKind, Frozen
from fly64dask.records import Mark, Spread
from fly64dask.report.answer import AnswerContent
from fly64dask.scan import Prediction
from fly64dask.study import Split, Study

# Cells of one page (our choice): each takes 10 to 20 kB besides its pictures, for which more cells would leave no room.
MAX_CELLS = 500
N_KEY_COLOURS = 64  # of a colour map on a page
CellState = Literal["completed", "failed", "interrupted", "skipped", "damaged", "running", "pending"]
CurveKey = Literal["loss", "validation", "frc_truth", "frc_empty", "frc_halves", "frc_reference", "half_bit", "one_bit"]
# The most wanted pictures come first: if a page has no room for all pictures of a cell, the last ones are left out.
PictureKey = Literal[
    "phase",
    "phase_difference",
    "phase_truth",
    "illumination",
    "amplitude",
    "probe_amplitude",
    "amplitude_truth",
    "amplitude_difference",
    "probe_phase",
    "half_difference",
    "mean_pattern",
]
# Maps of uniform lightness, cyclic ones for cyclic values; people who are colour-blind can read all of them.
ColourMap = Literal["viridis", "cividis", "magma", "twilight_shifted", "RdBu_r"]


class Scale(Frozen):
    """The colours of a picture's values; a value outside of low to high has the colour of the nearer end."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    colours: ColourMap
    unit: str


class Picture(Frozen):
    """A picture of a cell.

    `image` is its index in the page's `images`; `height_px` and `width_px` are the sides of the array that it shows,
    whose first pixel lies at (`y_px`, `x_px`) of the scan frame. One pixel of the picture is the mean of
    `block_px` x `block_px` pixels of the array.
    """

    key: PictureKey
    image: int = Field(ge=0)
    height_px: int
    width_px: int
    y_px: int
    x_px: int
    block_px: int = Field(ge=1)
    scale: Scale


class CurvePoints(Frozen):
    """Points of a curve to five digits; values that are not finite are absent."""

    x: tuple[float | None, ...]
    y: tuple[float | None, ...]


class PositionSample(Frozen):
    """A sample of the `n` kept positions of a cell, (y, x) in the scan frame, px."""

    n: int
    yx: tuple[tuple[float, float], ...]


class CellPictures(Frozen):
    """The arrays of a cell as the page shows them: pictures, the key of its positions, and what it has no room for."""

    pictures: tuple[Picture, ...] = ()
    scan: str | None = None
    left_out: tuple[PictureKey, ...] = ()


class CellContent(CellPictures):
    """The content of one cell of the study.

    `section` names its recipe, object and setup if the study has several, and is empty otherwise. `numbers` are the
    columns that the page maps, `facts` the other columns of the cell's row. A cell without a reconstruction has the
    kind and the message of its failure, the path of its log in the run, and commands to try next.
    """

    name: str
    dose: str
    view: str
    split: Split
    section: str
    state: CellState
    prediction: Prediction | None = None
    numbers: dict[str, int | float]
    facts: dict[str, str | int | float | bool]
    curves: dict[CurveKey, CurvePoints]
    problems: tuple[str, ...]
    caveats: tuple[str, ...]
    kind: FailureKind | None = None
    error: str | None = None
    log: str | None = None
    commands: tuple[str, ...] = ()


class PlaceContent(Frozen):
    """A place of the matrix: its repeats, and the mean and spread of numbers that several of them have.

    `marks` are the signs of caveats on its numbers; the `marks` of the report say what they mean.
    """

    dose: str
    view: str
    split: Split
    section: str
    cells: tuple[str, ...]
    marks: tuple[str, ...]
    numbers: dict[str, Spread]


class MarkedFrame(Frozen):
    """An exposure that is dark, or far brighter than the others; `index` counts in the whole scan."""

    index: int
    photons: float
    kind: Literal["dark", "bright"]


class FramesContent(Frozen):
    """The exposures of a measured scan at its highest dose, over the field and on the detector.

    `yx` are positions of some exposures in the scan frame, px, among them all marked ones, and `photons` those of each;
    `marked` holds at most the first 200 of the `n_marked` exposures. `n_masked` pixels of the detector measure nothing.
    The mean pattern shows the decimal logarithm of its photons; older stores have none.
    """

    dose: str
    n: int
    photons_min: float
    photons_median: float
    photons_max: float
    n_marked: int
    marked: tuple[MarkedFrame, ...]
    yx: tuple[tuple[float, float], ...]
    photons: tuple[float, ...]
    kinds: tuple[Literal["", "dark", "bright"], ...]
    pixel_size_nm: tuple[float, float] | None = None
    n_masked: int
    n_pixels: int
    pattern: Picture | None = None


class QuantityContent(Frozen):
    """A column that the page maps: its label, unit and better direction."""

    key: str
    label: str
    unit: str
    better: Better = None


class Notice(Frozen):
    """A sentence that a reader must know before reading any number."""

    kind: CellState
    text: str


class Thresholds(Frozen):
    """The thresholds of the prediction: nonzero intensities per unknown, and fraction of the area covered twice."""

    good_lit: float
    min_lit: float
    good_twice: float


class VersionCount(Frozen):
    """A version of a library, and how many cells ran with it."""

    name: str
    version: str
    n_cells: int


class Provenance(Frozen):
    """The study as it ran, and the software and devices that computed its cells."""

    study: Study
    versions: tuple[VersionCount, ...]
    devices: dict[str, int]
    report: dict[str, str]


class PageContent(Frozen):
    """The content that the page of one run and the page of several have in common.

    Doses, views, splits and sections are those of the shown cells. `colours` holds each colour map from its low to its
    high end as `#rrggbb`, `state_signs` the sign of each state. The first of `quantities` is shown first.
    """

    study: str
    made_at: str
    notices: tuple[Notice, ...]
    answer: AnswerContent
    doses: tuple[str, ...]
    dose_unit: str
    views: tuple[str, ...]
    splits: tuple[Split, ...]
    sections: tuple[str, ...]
    quantities: tuple[QuantityContent, ...]
    marks: tuple[Mark, ...]
    state_signs: dict[str, str]
    colours: dict[ColourMap, tuple[str, ...]]


class ReportContent(PageContent):
    """The whole content of a report's page, except for the table that it offers to download.

    `images` are PNG files in base64; `scans` holds positions by the key that cells refer to.
    """

    run: str
    counts: dict[CellState, int]
    frames: FramesContent | None = None
    thresholds: Thresholds
    cells: tuple[CellContent, ...]
    places: tuple[PlaceContent, ...]
    provenance: Provenance
    images: tuple[str, ...]
    scans: dict[str, PositionSample]
