"""The model of a study file, checked as it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator

from fly64dask.base import Frozen
from fly64dask.study.adaptive import Adaptive, Addition, check_adaptive
from fly64dask.study.names import Dose, DoseBy, check_doses, dose_name
from fly64dask.study.quantities import SafeName, refuse_repeats
from fly64dask.study.recipes import Checkpoints, Limits, NamedRecipe, Recipe, check_recipes, without_counts
from fly64dask.study.reference import Reference, check_reference
from fly64dask.study.settings import OverlapMeasure, Seeds, SplitRule, Splitting
from fly64dask.study.sources.setup import Setup, SetupAxes
from fly64dask.study.sources.source import Source
from fly64dask.study.targets import Target, check_targets
from fly64dask.study.views import View

if TYPE_CHECKING:
    from _typeshed import StrPath

    from fly64dask.study.matrix import Cell
    from fly64dask.study.names import Split


class Study(Frozen):
    """The content of one study file: what is exposed, selected and reconstructed.

    Parameters
    ----------
    schema_version : 1
        Version of this format; always 1.
    name : str
        Name of the study in tables, reports and job names.
    doses_photons : tuple of float, "measured" or "noise_free"
        Doses of the matrix, in the unit that `dose_by` says. "measured" is a measured scan as it is, "noise_free"
        reconstructs the expected intensities of a simulation.
    dose_by : "exposure", "fluence" or "total"
        What a dose counts: detected photons per exposure (mean over the scan), per px² of the illuminated area, or of a
        whole cell.
    source : SyntheticSource, PairSource or MeasuredSource
        Where the exposures come from.
    setup : SetupAxes, optional
        What is not ideal about a simulated experiment; if omitted it is ideal.
    views : tuple of views
        Rules by which exposures are kept; each view is a column of the matrix.
    split : SplitRule or "none"
        How the field of view is cut into train and test; "none" leaves it whole.
    seeds : Seeds
        Seeds of the random streams.
    overlap : OverlapMeasure
        How the overlap of neighbouring discs is reported; it changes no reconstruction.
    recipe : Recipe
        Settings of the engine. In the file of a measured study `halves` is "counts" unless it says otherwise, because
        only half sets give a resolution there.
    recipes : tuple of NamedRecipe
        Several recipes, with each of which every cell is run; if omitted there is one, without a name.
    limits : Limits
        Time and memory after which a cell is ended.
    checkpoints : Checkpoints
        How often the state of a running cell is saved.
    repeats : int
        Noise realisations of each cell, 1 to 1000 (our choice); they differ in their photons alone.
    reference : CellReference or FileReference, optional
        What the cells of a measured study are compared with.
    targets : tuple of Target
        What a reconstruction must reach; the run then says the lowest dose and overlap that reach it.
    adaptive : Adaptive, optional
        Rounds of further doses and repeats that narrow the limit of one target; if omitted there are none.
    added : tuple of Addition
        What rounds have added. The run writes it into the study that its directory keeps; a study file has none.

    Examples
    --------
    >>> study = Study.from_toml("data/demo.toml")  # doctest: +SKIP
    >>> study.model_copy(update={"doses_photons": (1e4,), "repeats": 3})  # doctest: +SKIP
    """

    schema_version: Literal[1]
    name: SafeName
    doses_photons: tuple[Dose, ...] = Field(min_length=1)
    dose_by: DoseBy = "exposure"
    source: Source
    setup: SetupAxes | None = None
    views: tuple[View, ...] = Field(min_length=1)
    split: Splitting = SplitRule()
    seeds: Seeds = Seeds()
    overlap: OverlapMeasure = OverlapMeasure()
    recipe: Recipe = Recipe()
    recipes: tuple[NamedRecipe, ...] = ()
    limits: Limits = Limits()
    checkpoints: Checkpoints = Checkpoints()
    repeats: int = Field(default=1, ge=1, le=1000)
    reference: Reference | None = None
    targets: tuple[Target, ...] = ()
    adaptive: Adaptive | None = None
    added: tuple[Addition, ...] = ()

    @classmethod
    def from_toml(cls, path: StrPath) -> Study:
        """Read a study from a TOML file.

        Parameters
        ----------
        path : str or path
            The file. A relative path of its source starts at the file's own directory.

        Returns
        -------
        Study

        Raises
        ------
        InputError
            If the file cannot be read, or naming every key in it that is wrong.

        Examples
        --------
        >>> Study.from_toml("data/demo.toml").doses_photons  # doctest: +SKIP
        (1000.0, 10000.0, 100000.0)
        """
        from fly64dask.study.files import load_study

        return load_study(path)

    @property
    def recipe_names(self) -> tuple[str | None, ...]:
        """Names of the recipes; None is that of the only one where the study names none."""
        return tuple(recipe.name for recipe in self.recipes) or (None,)

    @property
    def splits(self) -> tuple[Split, ...]:
        """Parts of the field of view, in the order of every table; the whole where it is not parted."""
        return ("whole",) if self.split == "none" else ("train", "test")

    @property
    def object_seeds(self) -> tuple[int | None, ...]:
        """Seeds of the objects; None is that of the only one where the study lists none."""
        seeds = self.source.seed_pair if self.source.kind == "synthetic" else None
        return seeds if isinstance(seeds, tuple) else (None,)

    @property
    def setup_names(self) -> tuple[str | None, ...]:
        """Names of the setups, after the keys of `[setup]` that list values; None is that of the only one."""
        return (None,) if self.setup is None else tuple(self.setup.setups)

    def setup_of(self, setup_name: str | None) -> Setup:
        """Return one of the study's setups; the ideal one where the study says nothing of setups."""
        return Setup() if self.setup is None else self.setup.setups[setup_name]

    def recipe_of(self, cell: Cell) -> Recipe:
        """Return the recipe of one of the study's cells; one without noise keeps the last epoch (`without_counts`).

        Parameters
        ----------
        cell : Cell
            One of the study's cells.
        """
        recipe = self.recipe
        if cell.recipe_name is not None:
            recipe = next(named.settings for named in self.recipes if named.name == cell.recipe_name)
        return without_counts(recipe) if cell.dose == "noise_free" else recipe

    def of_object(self, object_seed: int | None) -> Study:
        """Return the study of one of its objects alone; of the first where None is given."""
        seed = self.object_seeds[0] if object_seed is None else object_seed
        if seed is None:
            return self
        return self.model_copy(update={"source": self.source.model_copy(update={"seed_pair": seed})})

    def with_recipe(self, **settings: object) -> Study:
        """Return the same study with other settings in its recipe; in each of them, if it has several.

        Parameters
        ----------
        **settings : object
            Fields of the recipe.

        Returns
        -------
        Study

        Raises
        ------
        ValidationError
            If the recipe has no such field, or the field not such a value.

        Examples
        --------
        >>> Study.from_toml("data/demo.toml").with_recipe(n_epochs=50)  # doctest: +SKIP
        """
        recipe = Recipe.model_validate(self.recipe.model_dump() | settings)
        recipes = tuple(NamedRecipe.model_validate(named.model_dump() | settings) for named in self.recipes)
        return self.model_copy(update={"recipe": recipe, "recipes": recipes})

    @field_validator("doses_photons")
    @classmethod
    def _distinct_doses(cls, doses: tuple[Dose, ...]) -> tuple[Dose, ...]:
        refuse_repeats("dose", [dose_name(dose) for dose in doses])
        return doses

    @field_validator("views")
    @classmethod
    def _distinct_views(cls, views: tuple[View, ...]) -> tuple[View, ...]:
        refuse_repeats("view", [view.name for view in views])
        return views

    @field_validator("recipes")
    @classmethod
    def _distinct_recipes(cls, recipes: tuple[NamedRecipe, ...]) -> tuple[NamedRecipe, ...]:
        refuse_repeats("recipe", [recipe.name for recipe in recipes])
        return recipes

    @model_validator(mode="after")
    def _recipes_fit_together(self) -> Study:
        check_recipes(self.recipe, self.recipes)
        return self

    @model_validator(mode="after")
    def _reference_is_there(self) -> Study:
        check_reference(self)
        return self

    @model_validator(mode="after")
    def _targets_can_be_measured(self) -> Study:
        check_targets(self)
        check_adaptive(self)
        return self

    @model_validator(mode="after")
    def _setup_is_simulated(self) -> Study:
        if self.setup is not None and self.source.kind == "measured":
            raise ValueError(
                "setup describes the faults of a simulated experiment, found source.kind = 'measured'; leave setup out"
            )
        return self

    @model_validator(mode="after")
    def _doses_can_be_had(self) -> Study:
        check_doses(self)
        return self
