"""What a reconstruction must reach to count as good: a resolution, a phase error, or a factor over its floor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from fly64dask.base import Frozen

if TYPE_CHECKING:
    from fly64dask.study.model import Study

# What a reconstruction is compared with to tell its resolution or its error.
Against = Literal["truth", "reference", "half_sets"]
AGAINST_WORDS: dict[Against, str] = {
    "truth": "against the truth",
    "reference": "against the reference",
    "half_sets": "between half sets",
}
CRITERION_WORDS = {"half_bit": "half bit", "one_bit": "one bit", "half": "correlation of 0.5"}
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Target(Frozen):
    """A goal of a study: exactly one number, and the fraction of repeats that must reach it.

    Parameters
    ----------
    resolution_px, resolution_nm : float, optional
        Half a period, px or nm, at which the ring correlation falls below the criterion; a finer one reaches it.
    phase_error_rad : float, optional
        Root mean square error of the phase against the truth or the reference, rad; a smaller one reaches it.
    error_over_floor : float, optional
        Phase error over that of the noise-free cell, at least 1; a smaller one reaches it. It needs the dose
        "noise_free".
    criterion : "half_bit", "one_bit" or "half"
        Threshold of the ring correlation from which a resolution is read; "half" is a correlation of 0.5 with a truth.
    against : "truth", "reference" or "half_sets", optional
        What a cell is compared with; if omitted the truth of a simulation, the reference of a measured scan, or its
        half sets where it has no reference.
    share : float
        Fraction of a cell's repeats and objects that must reach the number, above 0 up to 1.
    """

    resolution_px: Positive | None = None
    resolution_nm: Positive | None = None
    phase_error_rad: Positive | None = None
    error_over_floor: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    criterion: Literal["half_bit", "one_bit", "half"] = "half_bit"
    against: Against | None = None
    share: float = Field(default=0.5, gt=0, le=1)

    @property
    def kind(self) -> Literal["resolution_px", "resolution_nm", "phase_error_rad", "error_over_floor"]:
        """The key that is given."""
        if self.resolution_px is not None:
            return "resolution_px"
        if self.resolution_nm is not None:
            return "resolution_nm"
        return "phase_error_rad" if self.phase_error_rad is not None else "error_over_floor"

    @property
    def value(self) -> float:
        """The number to reach, in the unit of its key."""
        value = getattr(self, self.kind)
        assert isinstance(value, float), "one of the keys is given"
        return value

    @property
    def is_resolution(self) -> bool:
        """Whether the number is a resolution."""
        return self.kind in ("resolution_px", "resolution_nm")

    @property
    def label(self) -> str:
        """The number with its unit, as a sentence needs it: `3 px`, `0.05 rad`, `1.5 x the floor`."""
        unit = {
            "resolution_px": "px",
            "resolution_nm": "nm",
            "phase_error_rad": "rad",
            "error_over_floor": "x the floor",
        }
        return f"{self.value:g} {unit[self.kind]}"

    @model_validator(mode="after")
    def _is_one_number(self) -> Target:
        numbers = ("resolution_px", "resolution_nm", "phase_error_rad", "error_over_floor")
        given_names = [name for name in numbers if getattr(self, name) is not None]
        if len(given_names) != 1:
            raise ValueError(
                f"a target has one number, found {', '.join(given_names) or 'none'}; give one of {', '.join(numbers)}"
            )
        if not self.is_resolution and self.criterion != "half_bit":
            raise ValueError(
                f"criterion {self.criterion!r} belongs to a resolution, found {given_names[0]}; leave it out"
            )
        if self.error_over_floor is not None and self.against not in (None, "truth"):
            raise ValueError(
                f"error_over_floor compares with the truth, found against = {self.against!r}; leave it out"
            )
        if self.phase_error_rad is not None and self.against == "half_sets":
            raise ValueError("phase_error_rad between half sets is not computed; give a resolution, or another against")
        return self


def resolved_target(target: Target, study: Study) -> Target:
    """Return the target with what it is compared with, checked to be one that the study's cells can be measured by.

    Parameters
    ----------
    target : Target
        As a person gave it.
    study : Study
        The study.

    Returns
    -------
    Target
        With `against`.

    Raises
    ------
    ValueError
        If the study has no truth, reference, half sets, pixel size or noise-free dose that the target needs.
    """
    is_simulated = study.source.kind != "measured"
    against = target.against or ("truth" if is_simulated else "reference" if study.reference else "half_sets")
    needs = {
        "truth": (
            is_simulated,
            "a truth, and the study is of a measured scan; give against = 'reference' or 'half_sets'",
        ),
        "reference": (study.reference is not None, "a reference, and the study has none; add [reference]"),
        "half_sets": (True, ""),
    }
    there, missing = needs[against]
    if not there:
        raise ValueError(f"target {target.label} needs {missing}")
    if target.criterion == "half" and against != "truth":
        raise ValueError(
            f"target {target.label}: criterion 'half' is a correlation of 0.5 with a truth, found {against}; "
            "give half_bit or one_bit, which are made for two images with noise"
        )
    if target.phase_error_rad is not None and against == "half_sets":
        raise ValueError(f"target {target.label} needs a truth or a reference; add [reference], or give a resolution")
    recipes = [recipe.settings for recipe in study.recipes] or [study.recipe]
    if against == "half_sets" and all(recipe.halves == "none" for recipe in recipes):
        raise ValueError(f"target {target.label} needs half sets, and no recipe has them; set halves = 'counts'")
    if target.error_over_floor is not None and "noise_free" not in study.doses_photons:
        raise ValueError(f'target {target.label} needs the floor; add "noise_free" to doses_photons')
    if target.resolution_nm is not None and is_simulated and study.source.pixel_size_nm is None:
        raise ValueError(
            f"target {target.label} needs the size of a pixel; add pixel_size_nm to [source], or give resolution_px"
        )
    return target.model_copy(update={"against": against})


def check_targets(study: Study) -> None:
    """Refuse targets that the study's cells cannot be measured by; raises ValueError."""
    for target in study.targets:
        resolved_target(target, study)
