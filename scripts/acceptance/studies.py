"""The acceptance studies by name: their files, how their runs are reduced, and what other sizes change in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from acceptance import fly64, fractionation, modes, overlap, raster, recipes, slope
from acceptance.results import Finding
from fly64dask import Filters, Run, Study

DATA = Path(__file__).resolve().parents[2] / "data"
SizeName = Literal["quick", "usual", "full"]
Setting = float | int | str | bool | tuple[float | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a size changes in a study file: settings of the study, its recipes and its source; and which cells run.

    `part` names the run where a size has several of one file.
    """

    part: str = ""
    study: Mapping[str, Setting] = field(default_factory=dict)
    recipe: Mapping[str, Setting] = field(default_factory=dict)
    source: Mapping[str, Setting] = field(default_factory=dict)
    filters: Filters = field(default_factory=Filters)

    def of(self, study: Study) -> Study:
        """Give a study in this size."""
        changed = study.model_copy(update={"source": study.source.model_copy(update=dict(self.source)), **self.study})
        return changed.with_recipe(**self.recipe) if self.recipe else changed


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceStudy:
    """A published result: the study files that look for it, and the function that reduces their runs to a finding."""

    name: str
    title: str
    files: tuple[str, ...]
    reduce: Callable[[Mapping[str, Run]], Finding]
    quick: tuple[Sizes, ...]
    full: tuple[Sizes, ...]
    usual: tuple[Sizes, ...] = (Sizes(),)
    folder: Path = DATA / "studies"

    def runs(self, size: SizeName) -> dict[str, tuple[Study, Filters]]:
        """Give the studies of a size and the cells of each that run, by name of the run."""
        found = {}
        for name in self.files:
            study = Study.from_toml(self.folder / f"{name}.toml")
            for sizes in getattr(self, size):
                found["-".join(filter(None, (name, sizes.part)))] = (sizes.of(study), sizes.filters)
        return found


STUDIES = {
    study.name: study
    for study in (
        AcceptanceStudy(
            name="fractionation",
            title="Dose fractionation",
            files=("fractionation",),
            reduce=fractionation.reduce,
            quick=(Sizes(study={"repeats": 2, "doses_photons": (1e5,)}, recipe={"n_epochs": 2}),),
            full=(Sizes(study={"repeats": 20, "doses_photons": (3e4, 1e5, 3e5, 1e6, 3e6)}, recipe={"n_epochs": 400}),),
        ),
        AcceptanceStudy(
            name="slope",
            title="Slope of shot noise",
            files=("slope_speckle", "slope_star"),
            reduce=slope.reduce,
            quick=(Sizes(study={"repeats": 1, "doses_photons": (1e5, 1e6, 1e7)}, recipe={"n_epochs": 2}),),
            full=(Sizes(study={"repeats": 10}, recipe={"n_epochs": 1000, "patience": 60}),),
        ),
        AcceptanceStudy(
            name="overlap",
            title="Overlap at equal fluence",
            files=("overlap",),
            reduce=overlap.reduce,
            quick=(Sizes(study={"repeats": 1}, recipe={"n_epochs": 2}),),
            full=(Sizes(study={"repeats": 10, "doses_photons": (100, 300, 1000, "noise_free")}),),
        ),
        AcceptanceStudy(
            name="raster",
            title="Regular and jittered raster",
            files=("raster_regular", "raster_jittered"),
            reduce=raster.reduce,
            quick=(Sizes(study={"repeats": 2}, recipe={"n_epochs": 2}),),
            full=(Sizes(study={"repeats": 20, "doses_photons": (1e4, 1e5, "noise_free")}, recipe={"n_epochs": 1000}),),
        ),
        AcceptanceStudy(
            name="modes",
            title="Modes in partially coherent light",
            files=("modes",),
            reduce=modes.reduce,
            quick=(Sizes(study={"repeats": 2, "doses_photons": (1e4,)}, recipe={"n_epochs": 2}),),
            full=(Sizes(study={"repeats": 10, "doses_photons": (1e3, 3e3, 1e4, 3e4, 1e5)}, recipe={"n_epochs": 600}),),
        ),
        AcceptanceStudy(
            name="recipes",
            title="Recipes at low dose",
            files=("recipes",),
            reduce=recipes.reduce,
            quick=(Sizes(study={"repeats": 1}, recipe={"n_epochs": 2}),),
            full=(Sizes(study={"repeats": 20, "doses_photons": (50, 1e2, 2e2, 4e2, 8e2, 1.6e3, 3.2e3)}),),
        ),
        AcceptanceStudy(
            name="fly64",
            title="The fly64 matrix",
            files=("fly64",),
            folder=DATA,
            reduce=fly64.reduce,
            quick=(Sizes(recipe={"n_epochs": 2}, filters=Filters(dose=(1e3,), view=("sparse",))),),
            usual=(
                Sizes(part="spaced", filters=Filters(view=("dense", "sparse"))),
                # Of its 100 epochs as many as two cores have minutes for.
                Sizes(
                    part="baseline",
                    recipe={"n_epochs": 10},
                    filters=Filters(dose=(1e5,), view=("baseline",), split=("train",)),
                ),
            ),
            full=(Sizes(),),
        ),
    )
}
