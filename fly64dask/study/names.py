"""Doses and splits: their types, their names in paths, and which doses a study cannot have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import Discriminator, Field, Tag

if TYPE_CHECKING:
    from fly64dask.study.model import Study

# Parts of the field of view; the whole where a study parts it not.
Split = Literal["train", "test", "whole"]
SPLIT_NAMES: tuple[Split, ...] = get_args(Split)

# What a study's doses count: detected photons per exposure, per px^2 of the illuminated area, or of a cell in total.
DoseBy = Literal["exposure", "fluence", "total"]
DOSE_UNITS: dict[DoseBy, str] = {
    "exposure": "photons per exposure",
    "fluence": "photons/px²",
    "total": "photons in total",
}
# Doses that are no number of photons: all that a measurement has, and expected intensities, which have no noise.
DoseWord = Literal["measured", "noise_free"]
DOSE_WORDS: tuple[DoseWord, ...] = get_args(DoseWord)

# Of an exposure: 1e9 photons in one pixel still fit the 32 bits that a count is stored in.
MAX_DOSE_PHOTONS = 1e9
# Of all exposures of a cell: so many times as much (our choice).
MAX_TOTAL_PHOTONS = 1e15
Photons = Annotated[float, Field(gt=0, le=MAX_TOTAL_PHOTONS, allow_inf_nan=False)]

# Told apart by type, so that a wrong dose is one fault and not one for each alternative.
Dose = Annotated[
    Annotated[Photons, Tag("photons")] | Annotated[DoseWord, Tag("word")],
    Discriminator(lambda dose: "word" if isinstance(dose, str) else "photons"),
]


def dose_name(dose: float | str) -> str:
    """Name a dose's directory; distinct doses have distinct names.

    Parameters
    ----------
    dose : float, "measured" or "noise_free"
        Photons per exposure.

    Returns
    -------
    str
        `dose_1000`, `dose_1500.5`, `dose_1e+22`, `dose_measured`, `dose_noise_free`: Python's shortest decimal
        that reads back as the same float, without a trailing `.0`.
    """
    return f"dose_{dose}" if isinstance(dose, str) else f"dose_{repr(float(dose)).removesuffix('.0')}"


def photons_name(
    dose: float | str,
    repeat: int,
    object_seed: int | None = None,
    view: str | None = None,
    setup_name: str | None = None,
) -> str:
    """Name the directory of one noise realisation of a dose, of one object and one setup where a study has several.

    Parameters
    ----------
    dose : float, "measured" or "noise_free"
        Photons per exposure.
    repeat : int
        Number of the realisation, from 0.
    object_seed : int or None
        Seed of the object; None for the only one of a study.
    view : str or None
        The view that it is for; None if all views share it.
    setup_name : str or None
        Name of the setup; None for the only one of a study.

    Returns
    -------
    str
        `dose_1000` for repeat 0, `dose_1000.repeat_2`, `dose_1000.object_8.repeat_2`, `dose_1000.view_sparse`,
        `dose_1000.gap_px_2.repeat_1`: no number has these letters, so no dose is named so, no view has a point in its
        name, and no key of a setup is called so.
    """
    of_setup = "" if setup_name is None else f".{setup_name}"
    repeated = f".repeat_{repeat}" if repeat else ""
    of_view = "" if view is None else f".view_{view}"
    return f"{object_name(dose_name(dose), object_seed)}{of_setup}{repeated}{of_view}"


def object_name(name: str, object_seed: int | None) -> str:
    """Add the object to the name of something that each object of a study has: `scan`, `scan.object_8`."""
    return name if object_seed is None else f"{name}.object_{object_seed}"


def check_doses(study: Study) -> None:
    """Refuse doses that the study's source cannot give, that no count can hold, or that its recipes contradict.

    Raises
    ------
    ValueError
        With what was found, and what to write instead.
    """
    _words_suit_the_source(study)
    _exposures_fit_a_count(study)
    _a_power_is_of_one_dose(study)
    words = [dose for dose in study.doses_photons if isinstance(dose, str)]
    if study.repeats > 1 and len(words) == len(study.doses_photons):
        raise ValueError(
            f"repeats = {study.repeats} draws the photons of a dose again, and those of dose {words[0]!r} are not "
            "drawn; leave repeats out, or add doses in photons"
        )


def _words_suit_the_source(study: Study) -> None:
    is_measured = study.source.kind == "measured"
    if "measured" in study.doses_photons and not is_measured:
        raise ValueError(
            f"doses_photons holds 'measured', which needs source.kind = 'measured', found {study.source.kind!r}; "
            "write the dose in photons"
        )
    if "noise_free" in study.doses_photons and is_measured:
        raise ValueError(
            "doses_photons holds 'noise_free', which needs a simulated source, found source.kind = 'measured'; "
            "leave it out: what was measured has noise"
        )


def _exposures_fit_a_count(study: Study) -> None:
    for number, dose in enumerate(study.doses_photons):
        if study.dose_by == "exposure" and not isinstance(dose, str) and dose > MAX_DOSE_PHOTONS:
            raise ValueError(
                f"doses_photons[{number}] is {dose} photons per exposure; "
                f"give a number less than or equal to {MAX_DOSE_PHOTONS:.0f}, which a count can hold"
            )


def _a_power_is_of_one_dose(study: Study) -> None:
    powers = [recipe.probe_power_photons for recipe in (study.recipe, *study.recipes)]
    held = [power for power in powers if power is not None]
    if held and (len(study.doses_photons) > 1 or study.dose_by != "exposure"):
        raise ValueError(
            f"probe_power_photons {held[0]:g} is what lights each exposure, and exposures of {study.name!r} have "
            "different numbers of photons; give one dose, in photons per exposure, or leave probe_power_photons out"
        )
