"""The words of a study, and `Study` -> its cells: the dose x view x split matrix, in order."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from fly64dask.errors import InputError

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
# 1e9 photons in one pixel still fit the 32 bits that a count is stored in.
Photons = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
# Told apart by type, so that a wrong dose is one fault and not one for each alternative.
Dose = Annotated[
    Annotated[Photons, Tag("photons")] | Annotated[Literal["measured"], Tag("word")],
    Discriminator(lambda dose: "word" if isinstance(dose, str) else "photons"),
]
# Our choice: far beyond any stage and far below its step, and no square of either leaves a float.
MAX_LENGTH_PX, MIN_LENGTH_PX = 1e9, 1e-6
Pixels = Annotated[float, Field(ge=-MAX_LENGTH_PX, le=MAX_LENGTH_PX, allow_inf_nan=False)]
LengthPx = Annotated[float, Field(ge=MIN_LENGTH_PX, le=MAX_LENGTH_PX, allow_inf_nan=False)]
# 2 GB of complex64: beyond any detector's field (our choice).
MAX_OBJECT_PIXELS = 2**28
# What the kernel takes for one path; a NUL would end it.
PathText = Annotated[str, Field(min_length=1, max_length=4095, pattern=r"^[^\x00]*$")]
SafeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
ShapePx = tuple[Annotated[int, Field(ge=8, le=65536)], Annotated[int, Field(ge=8, le=65536)]]


class Frozen(BaseModel):
    """A record: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UniformScan(Frozen):
    """Positions drawn uniformly from a square, x before y, from NumPy's legacy generator."""

    kind: Literal["uniform"]
    n_exposures: int = Field(ge=1, le=10_000_000)
    low_px: Pixels
    high_px: Pixels

    @model_validator(mode="after")
    def _ordered(self) -> UniformScan:
        if not self.low_px < self.high_px:
            raise ValueError(f"low_px {self.low_px:g} is not below high_px {self.high_px:g}; swap or widen them")
        return self


class ListedScan(Frozen):
    """Positions written out in the study file, order (y, x), px."""

    kind: Literal["listed"]
    positions_px: tuple[tuple[Pixels, Pixels], ...] = Field(min_length=2)


Scan = Annotated[UniformScan | ListedScan, Field(discriminator="kind")]


class SyntheticSource(Frozen):
    """Exposures simulated from the built-in object and probe."""

    kind: Literal["synthetic"]
    object_shape_px: ShapePx
    probe_shape_px: ShapePx
    seed_pair: int = Field(ge=0)
    scan: Scan

    @field_validator("object_shape_px")
    @classmethod
    def _object_fits_in_memory(cls, shape_px: tuple[int, int]) -> tuple[int, int]:
        if shape_px[0] * shape_px[1] > MAX_OBJECT_PIXELS:
            raise ValueError(f"{shape_px[0]} x {shape_px[1]} is more than {MAX_OBJECT_PIXELS} px; give a smaller one")
        return shape_px


class PairSource(Frozen):
    """Exposures simulated from an NPZ that holds `objectGuess` and `probeGuess`."""

    kind: Literal["pair"]
    path: PathText
    scan: Scan


class MeasuredSource(Frozen):
    """Measured exposures, as `fly64dask ingest` stored them."""

    kind: Literal["measured"]
    path: PathText


Source = Annotated[SyntheticSource | PairSource | MeasuredSource, Field(discriminator="kind")]


class BaselineView(Frozen):
    """Keeps every exposure."""

    name: SafeName
    rule: Literal["baseline"]


class SpacingView(Frozen):
    """Keeps exposures that lie at least a threshold apart."""

    name: SafeName
    rule: Literal["min_spacing"]
    threshold_px: LengthPx | None = None
    overlap_fraction: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | None = None
    patch_size_px: Annotated[int, Field(ge=1, le=65536)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> SpacingView:
        by_overlap = self.overlap_fraction is not None and self.patch_size_px is not None
        partial = (self.overlap_fraction is None) != (self.patch_size_px is None)
        if partial or by_overlap == (self.threshold_px is not None):
            raise ValueError("give either threshold_px, or both overlap_fraction and patch_size_px")
        if self.spacing_threshold_px < MIN_LENGTH_PX:
            raise ValueError(
                f"overlap_fraction {self.overlap_fraction!r} leaves a spacing of {self.spacing_threshold_px:g} px, "
                f"needed at least {MIN_LENGTH_PX:g} px; lower it"
            )
        return self

    @property
    def spacing_threshold_px(self) -> float:
        """Minimum spacing in px: S = (1 - f) N (the fly64 study design)."""
        if self.threshold_px is not None:
            return self.threshold_px
        assert self.overlap_fraction is not None and self.patch_size_px is not None
        # (1 - 0.7) 128 is 38.400000000000006 in binary; 1e-9 px is far below any stage.
        return round((1.0 - self.overlap_fraction) * self.patch_size_px, 9)


View = Annotated[BaselineView | SpacingView, Field(discriminator="rule")]


class SplitRule(Frozen):
    """Where the field of view is cut: train below min + fraction (max - min), test at or above."""

    axis: Literal["y", "x"] = "y"
    fraction: float = Field(default=0.5, gt=0, lt=1)


class Seeds(Frozen):
    """Every random stream of a study.

    `simulation` draws positions and photons, `subsampling` thins measured counts, `grouping` orders
    exposures into minibatches and, on streams of its own, parts counts into halves. Defaults: the
    fly64 study design.
    """

    simulation: int = Field(default=42, ge=0, le=2**32 - 1)
    grouping: int = Field(default=123, ge=0, le=2**32 - 1)
    subsampling: int = Field(default=456, ge=0, le=2**32 - 1)


class OverlapMeasure(Frozen):
    """How measured overlap is reported: K nearest neighbours, discs of one diameter."""

    n_neighbours: int = Field(default=6, ge=1, le=64)
    diameter_px: LengthPx


# Measured, docs/stopping.md: from 3 to 20 choose as well as all 100 epochs, and take a third of them.
PATIENCE = 10


class Recipe(Frozen):
    """Every engine setting that can change a number. Defaults: the fly64 study design.

    `on_degenerate` decides on degenerate scans alone; `guarded` puts every scan under their guard.
    `accelerated` lets the engine take faster steps than its library's own; they change last digits.
    `stop` says which epoch's object is kept: the last, the one that two halves of the counts speak
    for, or the one that predicts held-out photons best. `patience` ends a cell that many epochs
    after the best one; a rule brings one of 10. `halves` says what the two reconstructions are made
    from that a half-set resolution compares. `threads` is what a cell computes on: more than one
    is for a big cell alone, and its last digits then differ from run to run.
    """

    algorithm: Literal["LSQML"] = "LSQML"
    n_epochs: int = Field(default=100, ge=1, le=1_000_000)
    batch_size: int = Field(default=96, ge=1, le=1_000_000)
    noise_model: Literal["gaussian", "poisson"] = "gaussian"
    optimise_probe: bool = True
    on_degenerate: Literal["fail", "guarded"] = "fail"
    guarded: bool = False
    accelerated: bool = True
    device: Literal["auto", "cpu", "cuda"] = "auto"
    stop: Literal["epochs", "half_sets", "held_out"] = "epochs"
    patience: int | None = Field(default=None, ge=1, le=1_000_000)
    halves: Literal["none", "counts", "exposures"] = "none"
    threads: int = Field(default=1, ge=1, le=256)

    @property
    def n_reconstructions(self) -> int:
        """Reconstructions that run side by side: that of the full data, and what it is compared with."""
        return 1 + 2 * (self.halves != "none") + (self.stop == "held_out")

    @model_validator(mode="before")
    @classmethod
    def _rule_brings_its_own(cls, given: Any) -> Any:
        """What a stopping rule needs and the study does not say: half sets, and an end."""
        rule = given.get("stop", "epochs") if isinstance(given, dict) else "epochs"
        if rule == "half_sets":
            given = {"halves": "counts"} | given
        return given if rule == "epochs" else {"patience": PATIENCE} | given

    @model_validator(mode="after")
    def _rule_and_halves_agree(self) -> Recipe:
        if self.stop == "half_sets" and self.halves != "counts":
            raise ValueError(
                f"stop 'half_sets' compares halves of the counts, found halves {self.halves!r}; leave halves out, or "
                "write stop = 'epochs' or 'held_out'"
            )
        if self.stop == "epochs" and self.patience is not None:
            raise ValueError(
                f"stop 'epochs' keeps the last epoch, found patience {self.patience}; leave patience out, or write "
                "stop = 'half_sets' or 'held_out'"
            )
        return self


class Limits(Frozen):
    """What a cell's engine may take; no limit where none is given. Limits change no number."""

    wall_time_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    memory_bytes: Annotated[int, Field(ge=10**8)] | None = None


class Checkpoints(Frozen):
    """How often a running cell writes down where it is. They change no number.

    After every n-th epoch, if at least `min_seconds` have passed since it started or last did so:
    a cell that takes less loses little and writes none.
    """

    every_n_epochs: int = Field(default=10, ge=1)
    min_seconds: float = Field(default=10.0, ge=0, allow_inf_nan=False)


class Study(Frozen):
    """One study file: what is exposed, selected and reconstructed."""

    schema_version: Literal[1]
    name: SafeName
    doses_photons: tuple[Dose, ...] = Field(min_length=1)
    source: Source
    views: tuple[View, ...] = Field(min_length=1)
    split: SplitRule = SplitRule()
    seeds: Seeds = Seeds()
    overlap: OverlapMeasure
    recipe: Recipe = Recipe()
    limits: Limits = Limits()
    checkpoints: Checkpoints = Checkpoints()
    # Cells of one dose, view and split that differ in their photons alone. The most is our choice.
    repeats: int = Field(default=1, ge=1, le=1000)

    @field_validator("doses_photons")
    @classmethod
    def _distinct_doses(cls, doses: tuple[Dose, ...]) -> tuple[Dose, ...]:
        _refuse_repeats("dose", [dose_name(dose) for dose in doses])
        return doses

    @field_validator("views")
    @classmethod
    def _distinct_views(cls, views: tuple[View, ...]) -> tuple[View, ...]:
        _refuse_repeats("view", [view.name for view in views])
        return views

    @model_validator(mode="after")
    def _measured_dose_has_a_measurement(self) -> Study:
        if "measured" in self.doses_photons and self.source.kind != "measured":
            raise ValueError(
                f"doses_photons holds 'measured', which needs source.kind = 'measured', found {self.source.kind!r}; "
                "write the dose in photons"
            )
        return self

    @model_validator(mode="after")
    def _repeats_have_photons_to_draw(self) -> Study:
        if self.repeats > 1 and set(self.doses_photons) == {"measured"}:
            raise ValueError(
                f"repeats = {self.repeats} draws the photons of a dose again, and those of dose 'measured' are not "
                "drawn; leave repeats out, or add lower doses"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One (dose, view, split) of a study, or a repeat of it: the same exposures with other photons."""

    dose: float | Literal["measured"]
    view: str
    split: Split
    repeat: int = 0

    @property
    def name(self) -> str:
        """The cell as its directory under the run: `dose_1000/sparse/train`, `dose_1000.repeat_1/sparse/train`."""
        return f"{photons_name(self.dose, self.repeat)}/{self.view}/{self.split}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which cells of a matrix to run; empty means all."""

    dose: tuple[float | Literal["measured"], ...] = ()
    view: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    gridsize: tuple[int, ...] = ()
    repeat: tuple[int, ...] = ()


def dose_name(dose: float | str) -> str:
    """Name a dose's directory; distinct doses have distinct names.

    Parameters
    ----------
    dose : float or "measured"
        Photons per exposure.

    Returns
    -------
    str
        `dose_1000`, `dose_1500.5`, `dose_1e+22`, `dose_measured`: Python's shortest decimal
        that reads back as the same float, without a trailing `.0`.
    """
    return f"dose_{dose}" if isinstance(dose, str) else f"dose_{repr(float(dose)).removesuffix('.0')}"


def photons_name(dose: float | str, repeat: int) -> str:
    """Name a directory for one draw of a dose's photons.

    Parameters
    ----------
    dose : float or "measured"
        Photons per exposure.
    repeat : int
        Which draw, from 0.

    Returns
    -------
    str
        `dose_1000` for repeat 0, `dose_1000.repeat_2`: no number has these letters, so no dose is named so.
    """
    return f"{dose_name(dose)}.repeat_{repeat}" if repeat else dose_name(dose)


def repeats_of(study: Study, dose: float | str) -> range:
    """Repeats of a dose's cells: what was measured is there once."""
    return range(1 if dose == "measured" else study.repeats)


def cells(study: Study) -> tuple[Cell, ...]:
    """List the matrix: dose outermost, then view, then split, then repeat.

    Parameters
    ----------
    study : Study
        The study.

    Returns
    -------
    tuple of Cell
        `len(doses) * len(views) * 2 * repeats` cells in the order every table of the project uses;
        those of dose "measured" once each.
    """
    return tuple(
        Cell(dose=dose, view=view.name, split=split, repeat=repeat)
        for dose in study.doses_photons
        for view in study.views
        for split in SPLITS
        for repeat in repeats_of(study, dose)
    )


def photons_of(some: Iterable[Cell]) -> tuple[tuple[float | Literal["measured"], Split, int], ...]:
    """List the draws of photons that some cells need, each once: dose, split and repeat, as views share them."""
    return tuple(dict.fromkeys((cell.dose, cell.split, cell.repeat) for cell in some))


def gridsize(view: BaselineView | SpacingView) -> int:
    """Group size by which the original study filtered its views: 1 for a baseline, else 2."""
    return 1 if view.rule == "baseline" else 2


def skip_reasons(study: Study, filters: Filters) -> dict[Cell, str]:
    """Say for each filtered-out cell which filter left it out.

    Parameters
    ----------
    study : Study
        The study.
    filters : Filters
        Wanted values; a value the study does not have is an error.

    Returns
    -------
    dict of Cell to str
        Cells that do not run, each with its reason; empty when nothing is filtered.

    Raises
    ------
    InputError
        If a filter names a dose, view, split, gridsize or repeat that the study does not have.
    """
    sizes = {view.name: gridsize(view) for view in study.views}
    known: dict[str, Iterable[Any]] = {
        "dose": study.doses_photons,
        "view": sizes,
        "split": SPLITS,
        "gridsize": sorted(set(sizes.values())),
        "repeat": range(study.repeats),
    }
    for key, values in known.items():
        for wanted in getattr(filters, key):
            if wanted not in values:
                raise InputError(
                    f"filter --{key} {_plain(wanted)}: study {study.name!r} has {', '.join(map(_plain, values))}",
                    remedy="give one of these",
                )
    reasons: dict[Cell, str] = {}
    for cell in cells(study):
        found = asdict(cell) | {"gridsize": sizes[cell.view]}
        for key, value in found.items():
            wanted = getattr(filters, key)
            if wanted and value not in wanted:
                reasons[cell] = f"{key} {_plain(value)} is not in --{key} {' '.join(map(_plain, wanted))}"
                break
    return reasons


def digest(document: Any) -> str:
    """SHA-256 of a JSON document with sorted keys: equal content, equal digest.

    Parameters
    ----------
    document : JSON-like
        Numbers, strings, lists and dicts.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hashlib.sha256(compact_json(document).encode()).hexdigest()


def compact_json(document: Any) -> str:
    """JSON with sorted keys and no spaces: what a digest is of."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _refuse_repeats(what: str, names: list[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{what} {repeated[0]!r} is given {names.count(repeated[0])} times; keep it once")


def _plain(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
