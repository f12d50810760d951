"""The setup of a simulated study where it is not ideal: errors of starting probe and positions, coherence, detector."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

from pydantic import Discriminator, Field, Tag, create_model, model_validator

from fly64dask.base import Frozen, Quantity
from fly64dask.study.quantities import refuse_repeats

# The name of a setup is a part of a directory's name, of which file systems take 255 bytes (our choice).
MAX_NAME_LENGTH = 120
MAX_SETUPS = 1000  # our choice
MAX_COUNT_PHOTONS = 1e9  # what a stored count can hold, as MAX_DOSE_PHOTONS

Waves = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
SizeError = Annotated[float, Field(ge=-0.5, le=1, allow_inf_nan=False)]
RelativeNoise = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
ErrorPx = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
DriftPx = Annotated[float, Field(ge=-10_000, le=10_000, allow_inf_nan=False)]
BlurPx = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
SourcePx = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
PixelPhotons = Annotated[float, Field(ge=0, le=MAX_COUNT_PHOTONS, allow_inf_nan=False)]
GapPx = Annotated[int, Field(ge=0, le=4096)]
DeadShare = Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)]
RadiusPx = Annotated[float, Field(ge=0, le=65536, allow_inf_nan=False)]


class Setup(Frozen):
    """The setup of a simulated experiment; every default means ideal. docs/reference/study/setups.md has the formulas.

    Errors of the starting probe and of positions are what the engine gets: exposures are simulated with the true ones.

    Parameters
    ----------
    probe_defocus_waves : float
        Defocus of the starting probe, waves at the Nyquist frequency.
    probe_size_error : float
        Fraction by which the starting probe is too large; negative: too small.
    probe_noise : float
        Root mean square of complex noise on each pixel of the starting probe, over the pixel's amplitude.
    position_jitter_px : float
        Root mean square, along each axis, of how far from its nominal position an exposure is taken, px.
    position_drift_y_px, position_drift_x_px : float
        Distance by which positions move from the first exposure to the last, px.
    source_size_px : float
        Root mean square radius, along each axis, of the source's image at the sample, px; it makes the light partially
        coherent, as a vibration of that size does.
    point_spread_px : float
        Root mean square radius of the detector's point spread, along each axis, detector px.
    background_photons : float
        Mean background in each pixel of an exposure, photons.
    full_well_photons : float
        The most that a pixel holds, photons; 0 is no limit.
    read_noise_photons : float
        Root mean square of the read noise, photons.
    gain_photons : float
        Photons to a digital unit; 0 counts photons.
    gap_px : int
        Width of the cross between four modules of the detector, px.
    dead_pixel_share : float
        Fraction of all pixels that are dead.
    beam_stop_radius_px : float
        Radius of a disc around the zero frequency that measures nothing, px.
    mask : "known" or "unknown"
        Whether the engine knows which pixels measure nothing.

    Examples
    --------
    >>> Setup(gap_px=4, background_photons=0.1).masks_pixels
    True
    """

    probe_defocus_waves: Annotated[Waves, Quantity("defocus of the starting probe", "waves")] = 0.0
    probe_size_error: Annotated[SizeError, Quantity("error of the starting probe's size")] = 0.0
    probe_noise: Annotated[RelativeNoise, Quantity("noise of the starting probe over its amplitude")] = 0.0
    position_jitter_px: Annotated[ErrorPx, Quantity("jitter of positions, rms along each axis", "px")] = 0.0
    position_drift_y_px: Annotated[DriftPx, Quantity("drift of positions over the scan along y", "px")] = 0.0
    position_drift_x_px: Annotated[DriftPx, Quantity("drift of positions over the scan along x", "px")] = 0.0
    source_size_px: Annotated[SourcePx, Quantity("image of the source at the sample, rms along each axis", "px")] = 0.0
    point_spread_px: Annotated[BlurPx, Quantity("point spread of the detector, rms along each axis", "px")] = 0.0
    background_photons: Annotated[PixelPhotons, Quantity("background of a pixel in an exposure", "photons")] = 0.0
    full_well_photons: Annotated[PixelPhotons, Quantity("the most that a pixel holds", "photons")] = 0.0
    read_noise_photons: Annotated[PixelPhotons, Quantity("read noise, rms", "photons")] = 0.0
    gain_photons: Annotated[PixelPhotons, Quantity("photons to a digital unit", "photons")] = 0.0
    gap_px: Annotated[GapPx, Quantity("gap between modules", "px")] = 0
    dead_pixel_share: Annotated[DeadShare, Quantity("share of dead pixels")] = 0.0
    beam_stop_radius_px: Annotated[RadiusPx, Quantity("radius of the beam stop", "px")] = 0.0
    mask: Literal["known", "unknown"] = "known"

    @property
    def is_ideal(self) -> bool:
        """Whether nothing is wrong."""
        return self == Setup()

    @property
    def masks_pixels(self) -> bool:
        """Whether some pixels of the detector measure nothing."""
        return bool(self.gap_px or self.dead_pixel_share or self.beam_stop_radius_px)

    @property
    def moves_positions(self) -> bool:
        """Whether exposures are taken elsewhere than the scan says."""
        return bool(self.position_jitter_px or self.position_drift_y_px or self.position_drift_x_px)

    @property
    def changes_patterns(self) -> bool:
        """Whether patterns differ from those of an ideal setup; else the engine's start alone does."""
        return self.moves_positions or bool(self.source_size_px) or self.changes_counts

    @property
    def changes_counts(self) -> bool:
        """Whether counts are other photons than those that the sample sends: the dose is then not their mean."""
        of_detector = (self.point_spread_px, self.background_photons, self.full_well_photons)
        return self.masks_pixels or self.reads_out or any(of_detector)

    @property
    def reads_out(self) -> bool:
        """Whether counts are read out with noise or in digital units, instead of counted."""
        return bool(self.read_noise_photons or self.gain_photons)

    @model_validator(mode="after")
    def _detector_is_possible(self) -> Setup:
        _refuse_impossible(self.model_dump())
        return self


def _refuse_impossible(setup: Mapping[str, Any]) -> None:
    """Refuse a detector whose pixels would all hold the same; raises ValueError."""
    well = setup["full_well_photons"]
    if 0 < well < 1:
        raise ValueError(f"full_well_photons {well:g} holds no photon; give 1 at least, or 0 for no limit")
    for key in ("background_photons", "gain_photons"):
        if well and setup[key] >= well:
            raise ValueError(
                f"{key} {setup[key]:g} is not below full_well_photons {well:g}, so that every pixel would hold the "
                "same; raise the full well or lower it"
            )


Value = TypeVar("Value")
# One value, or several of as many setups; told apart by type, so that a wrong value is one fault and not two.
OneOrSeveral = Annotated[
    Annotated[Value, Tag("one")] | Annotated[tuple[Value, ...], Field(min_length=1), Tag("several")],
    Discriminator(lambda given: "several" if isinstance(given, list | tuple) else "one"),
]


class _SetupAxes(Frozen):
    """The table `[setup]` of a study file: the keys of `Setup`, of which those with several values are an axis."""

    @property
    def setups(self) -> Mapping[str | None, Setup]:
        """The setups of the study by name; None is that of the only one where no key has several values."""
        return _setups_of(self)

    @property
    def words(self) -> str:
        """The keys that are not ideal, each with its values; empty if there are none.

        Examples
        --------
        >>> SetupAxes(gap_px=4, mask=("known", "unknown")).words
        'gap_px 4, mask known | unknown'
        """
        several = {key: value if isinstance(value, tuple) else (value,) for key, value in self}
        ideal = Setup()
        return ", ".join(
            f"{key} {' | '.join(map(_value_name, values))}"
            for key, values in several.items()
            if values != (getattr(ideal, key),)
        )

    def combined(self) -> Iterator[tuple[str | None, dict[str, Any]]]:
        """Name and values of each setup: the product of all lists."""
        lists = {key: value if isinstance(value, tuple) else (value,) for key, value in self}
        listed = [key for key, value in self if isinstance(value, tuple)]
        for values in itertools.product(*lists.values()):
            setup = dict(zip(lists, values, strict=True))
            yield ".".join(f"{key}_{_value_name(setup[key])}" for key in listed) or None, setup

    @model_validator(mode="after")
    def _lists_are_usable(self) -> _SetupAxes:
        lists = {key: value for key, value in self if isinstance(value, tuple)}
        n_setups = math.prod(map(len, lists.values()))
        if n_setups > MAX_SETUPS:
            raise ValueError(f"the lists make {n_setups} setups, more than {MAX_SETUPS}; shorten them")
        for key, values in lists.items():
            refuse_repeats(f"{key} value", list(map(_value_name, values)))
        longest = max((name or "" for name, _ in self.combined()), key=len)
        if len(longest) > MAX_NAME_LENGTH:
            raise ValueError(
                f"the lists make names of up to {len(longest)} characters, such as {longest!r}, more than "
                f"{MAX_NAME_LENGTH}; list fewer keys"
            )
        return self

    @model_validator(mode="after")
    def _setups_are_possible(self) -> _SetupAxes:
        for _, setup in self.combined():
            _refuse_impossible(setup)
        setups = self.setups.values()
        if any(setup.mask == "unknown" for setup in setups) and not any(setup.masks_pixels for setup in setups):
            raise ValueError(
                "mask 'unknown' is of pixels that measure nothing, and there are none; give gap_px, dead_pixel_share "
                "or beam_stop_radius_px, or leave mask out"
            )
        return self


@functools.lru_cache(maxsize=8)
def _setups_of(axes: _SetupAxes) -> Mapping[str | None, Setup]:
    """Combine the values of all keys; kept, as it is asked for each cell."""
    return {name: Setup(**setup) for name, setup in axes.combined()}


def _value_name(value: float | str) -> str:
    """A value in a name: the shortest decimal that reads back as the same number, without a trailing `.0`."""
    return value if isinstance(value, str) else repr(value + 0.0).removesuffix(".0")


def _axis_fields() -> dict[str, Any]:
    """The fields of `Setup`, each of which may have several values."""
    several: Any = OneOrSeveral
    checked = get_type_hints(Setup, include_extras=True)
    return {key: (several[checked[key]], field.default) for key, field in Setup.model_fields.items()}


def _axis_docstring() -> str:
    """The docstring of the table, with what `Setup` says of each key."""
    return f"{_SetupAxes.__doc__}\n\n    Parameters{(Setup.__doc__ or '').partition('Parameters')[2]}"


if TYPE_CHECKING:
    SetupAxes = _SetupAxes
else:
    # Each key is written once, in `Setup`.
    SetupAxes = create_model(
        "SetupAxes", __base__=_SetupAxes, __module__=__name__, __doc__=_axis_docstring(), **_axis_fields()
    )
