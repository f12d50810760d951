"""Doses and splits, and how they are written in names of directories."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

Split = Literal["train", "test"]

SPLITS: tuple[Split, ...] = ("train", "test")

# What a study's doses count: detected photons per exposure, per px^2 of the lit area, or of a cell in total.
DoseBy = Literal["exposure", "fluence", "total"]

# 1e9 photons in one pixel still fit the 32 bits that a count is stored in.
Photons = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]

# Told apart by type, so that a wrong dose is one fault and not one for each alternative.
Dose = Annotated[
    Annotated[Photons, Tag("photons")] | Annotated[Literal["measured"], Tag("word")],
    Discriminator(lambda dose: "word" if isinstance(dose, str) else "photons"),
]


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
    """Name the directory of one noise realisation of a dose.

    Parameters
    ----------
    dose : float or "measured"
        Photons per exposure.
    repeat : int
        Number of the realisation, from 0.

    Returns
    -------
    str
        `dose_1000` for repeat 0, `dose_1000.repeat_2`: no number has these letters, so no dose is named so.
    """
    return f"{dose_name(dose)}.repeat_{repeat}" if repeat else dose_name(dose)
