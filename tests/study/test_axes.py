"""Recipes and objects as axes of a study: what a file says, what is refused, the cells, their names and filters."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import several
from hypothesis import given, strategies as st
from named_faults import faults_of
from pydantic import ValidationError
from several import RECIPES, SHARED
from tiny import TEXT, tiny_study

from fly64dask.base import InputError
from fly64dask.study import Cell, Filters, Recipe, Study, cells, parse_study, sections, skip_reasons

DATA = Path(__file__).resolve().parents[2] / "data"
SEVERAL = several.TEXT.replace("seed_pair = [7, 8]", "seed_pair = 1")
TWO_OBJECTS = several.TEXT


def parsed(text: str) -> Study:
    return parse_study(text, origin="study.toml")


def study_with(recipes: str, shared: str = SHARED) -> Study:
    """The tiny study with a list of recipes in TOML."""
    return parsed(TEXT.replace(SHARED, f"{shared}\nrecipes = [{recipes}]"))


def message_of(recipes: str, shared: str = SHARED) -> str:
    with pytest.raises(InputError) as refused:
        study_with(recipes, shared)
    return str(refused.value)


def test_recipe_of_has_the_settings_that_a_recipe_gives() -> None:
    recipe = parsed(SEVERAL).recipe_of(Cell(dose=1e4, view="all", split="train", recipe_name="poisson"))
    assert (recipe.noise_model, recipe.batch_size) == ("poisson", 60)


def test_recipe_of_has_the_shared_settings_that_a_recipe_leaves_out() -> None:
    recipe = parsed(SEVERAL).recipe_of(Cell(dose=1e4, view="all", split="train", recipe_name="poisson"))
    assert (recipe.accelerated, recipe.device) == (True, "cpu")


def test_recipe_of_is_the_recipe_of_a_study_that_says_the_same_without_a_name() -> None:
    alone = parsed(
        TEXT.replace("n_epochs = 3, batch_size = 16", 'n_epochs = 2, batch_size = 60, noise_model = "poisson"')
    )
    assert parsed(SEVERAL).recipe_of(Cell(dose=1e4, view="all", split="train", recipe_name="poisson")) == alone.recipe


def test_recipe_of_is_the_shared_recipe_where_no_recipe_has_a_name() -> None:
    assert tiny_study().recipe_of(Cell(dose=1e4, view="all", split="train")) == tiny_study().recipe


def test_a_recipe_that_keeps_the_last_epoch_takes_over_no_patience() -> None:
    shared = SHARED.replace("n_epochs", 'stop = "half_sets", patience = 4, n_epochs')
    study = study_with('{name = "rule"}, {name = "last", stop = "epochs", halves = "none"}', shared)
    assert [(recipe.stop, recipe.patience) for recipe in study.recipes] == [("half_sets", 4), ("epochs", None)]


def test_a_recipe_of_another_algorithm_takes_over_no_setting_that_it_does_not_have() -> None:
    shared = 'recipe = {n_epochs = 3, noise_model = "poisson", object_step_size = 0.5, device = "cpu"}'
    text = '{name = "lsqml"}, {name = "rpie", algorithm = "rPIE"}, {name = "dm", algorithm = "DM"}'
    _, rpie, dm = study_with(text, shared).recipes
    assert (rpie.noise_model, rpie.object_step_size) == ("gaussian", 0.5)
    assert (dm.noise_model, dm.object_step_size) == ("gaussian", 1.0)


def test_a_rule_of_a_recipe_brings_its_half_sets_and_its_patience() -> None:
    study = study_with('{name = "last"}, {name = "rule", stop = "half_sets"}')
    assert [(recipe.halves, recipe.patience) for recipe in study.recipes] == [("none", None), ("counts", 10)]


@pytest.mark.parametrize(
    "text", [SEVERAL, TWO_OBJECTS, TWO_OBJECTS.replace("n_epochs", 'stop = "half_sets", n_epochs')]
)
def test_study_of_several_recipes_and_objects_survives_json(text: str) -> None:
    study = parsed(text)
    # As a run directory keeps it: without what is absent.
    assert Study.model_validate_json(study.model_dump_json(exclude_none=True)) == study


def test_with_recipe_changes_every_recipe_of_a_study() -> None:
    changed = parsed(SEVERAL).with_recipe(n_epochs=7)
    assert [recipe.n_epochs for recipe in (changed.recipe, *changed.recipes)] == [7, 7, 7]


def test_with_recipe_leaves_the_other_settings_of_every_recipe() -> None:
    study = parsed(SEVERAL)
    assert study.with_recipe(accelerated=False).with_recipe(accelerated=True) == study


@pytest.mark.parametrize(
    ("recipes", "parts"),
    [
        ('{name = "a"}, {name = "b", batch_size = -1}', ["recipes[1].batch_size = -1", "'b'", "at least 1"]),
        ('{name = "a"}, {name = "b", batch_siz = 8}', ["recipes[1].batch_siz = 8", "'b'", "did you mean 'batch_size'"]),
        ('{name = "a"}, {name = "b", patience = 3}', ["recipes[1]", "'b'", "leave patience out"]),
        ('{name = "A b"}', ["recipes[0].name = 'A b'", "needed a name"]),
        ("{batch_size = 8}", ["recipes[0].name: missing", "add it"]),
        ('{name = "a"}, {name = "a", batch_size = 8}', ["recipe 'a' is given 2 times", "keep it once"]),
        ('{name = "a"}, {name = "b"}', ["recipes 'a' and 'b' have the same settings", "keep one of them"]),
        ('{name = "a", device = "cuda"}', ["recipe 'a' has device 'cuda'", "'cpu'", "set device in [recipe] alone"]),
        ('{name = "a", threads = 4}', ["recipe 'a' has threads 4", "set threads in [recipe] alone"]),
        ('"gauss"', ["recipes[0]", "'gauss'", "correct it"]),
    ],
)
def test_parse_study_names_the_recipe_that_is_wrong_and_what_to_do(recipes: str, parts: list[str]) -> None:
    message = message_of(recipes)
    assert [part for part in parts if part not in message] == []


def test_parse_study_names_a_wrong_setting_once_though_all_recipes_share_it() -> None:
    faults = faults_of(message_of('{name = "a"}, {name = "b", batch_size = 8}', SHARED.replace("= 3", "= 0")))
    assert [fault.split(" = ")[0].strip() for fault in faults] == ["recipe.n_epochs"]


@pytest.mark.parametrize(
    ("seeds", "part"),
    [
        ("[]", "at least 1"),
        ("[7, 7]", "seed '7' is given 2 times"),
        ("[7, -1]", "seed_pair[1] = -1"),
        ("[7, true]", "seed_pair[1] = True"),
        ("true", "seed_pair = True"),
        ('"7"', "seed_pair = '7'"),
    ],
)
def test_parse_study_names_what_is_wrong_with_the_seeds_of_objects_as_one_fault(seeds: str, part: str) -> None:
    with pytest.raises(InputError) as refused:
        parsed(TEXT.replace("seed_pair = 1", f"seed_pair = {seeds}"))
    (fault,) = faults_of(str(refused.value))
    assert part in fault


def test_of_object_is_the_study_of_that_object_alone() -> None:
    several = parsed(TEXT.replace("seed_pair = 1", "seed_pair = [7, 8]"))
    assert several.of_object(8) == parsed(TEXT.replace("seed_pair = 1", "seed_pair = 8"))


def test_cells_of_one_recipe_and_one_object_have_neither_coordinate() -> None:
    assert {(cell.recipe_name, cell.object_seed) for cell in cells(tiny_study())} == {(None, None)}


def test_cells_are_the_product_of_all_axes() -> None:
    study = parsed(TWO_OBJECTS.replace("schema_version = 1", "schema_version = 1\nrepeats = 2"))
    found = [(c.dose, c.view, c.split, c.recipe_name, c.object_seed, c.repeat) for c in cells(study)]
    axes = ((1e4, 1e5), ("all", "few", "one"), ("train", "test"), ("gauss", "poisson"), (7, 8), (0, 1))
    assert found == list(itertools.product(*axes))


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (Cell(dose=1e3, view="sparse", split="train", recipe_name="poisson"), "dose_1000/sparse/train.poisson"),
        (Cell(dose=1e3, view="sparse", split="train", object_seed=8), "dose_1000.object_8/sparse/train"),
        (
            Cell(dose=1e3, view="sparse", split="train", object_seed=8, repeat=1, recipe_name="poisson"),
            "dose_1000.object_8.repeat_1/sparse/train.poisson",
        ),
    ],
)
def test_cell_is_named_after_its_object_and_its_recipe(cell: Cell, name: str) -> None:
    assert cell.name == name


@given(
    st.lists(st.integers(0, 2**40), min_size=1, max_size=4, unique=True),
    st.lists(st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True), min_size=1, max_size=4, unique=True),
    st.integers(1, 3),
)
def test_cells_of_all_axes_have_names_of_which_none_lies_in_another(
    seeds: list[int], names: list[str], repeats: int
) -> None:
    recipes = ", ".join(f'{{name = "{name}", batch_size = {1 + i}}}' for i, name in enumerate(names))
    text = SEVERAL.replace(RECIPES, f"\nrecipes = [{recipes}]\nrepeats = {repeats}\n")
    matrix = cells(parsed(text.replace("seed_pair = 1", f"seed_pair = {seeds}")))
    # With those of a study without these axes, which may have run in the same directory.
    matrix += cells(tiny_study(repeats=repeats))
    everything = {cell.name for cell in matrix}
    assert len(everything) == len(matrix)
    assert not {str(parent) for name in everything for parent in Path(name).parents} & everything


def test_sections_are_the_recipes_with_their_objects() -> None:
    labels = [section.label for section in sections(parsed(TWO_OBJECTS))]
    assert labels == ["gauss, object 7", "gauss, object 8", "poisson, object 7", "poisson, object 8"]


def test_the_section_of_a_study_without_these_axes_has_no_label() -> None:
    assert [section.label for section in sections(tiny_study())] == [""]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(recipe=("poisson",)), {("poisson", 7), ("poisson", 8)}),
        (Filters(object=(8,)), {("gauss", 8), ("poisson", 8)}),
        (Filters(recipe=("gauss",), object=(7,)), {("gauss", 7)}),
    ],
)
def test_skip_reasons_keeps_the_wanted_recipes_and_objects(filters: Filters, kept: set[tuple[str, int]]) -> None:
    study = parsed(TWO_OBJECTS)
    skipped = skip_reasons(study, filters)
    assert {(cell.recipe_name, cell.object_seed) for cell in cells(study) if cell not in skipped} == kept


def test_skip_reasons_names_the_recipe_that_is_left_out() -> None:
    skipped = skip_reasons(parsed(SEVERAL), Filters(recipe=("poisson",)))
    assert set(skipped.values()) == {"recipe gauss is not in --recipe poisson"}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (Filters(recipe=("poison",)), "--recipe poison: study 'tiny' has gauss, poisson"),
        (Filters(object=(9,)), "--object 9: study 'tiny' has 7, 8"),
    ],
)
def test_skip_reasons_refuses_a_recipe_or_object_that_the_study_does_not_have(filters: Filters, message: str) -> None:
    with pytest.raises(InputError, match=message):
        skip_reasons(parsed(TWO_OBJECTS), filters)


@pytest.mark.parametrize("filters", [Filters(recipe=("gauss",)), Filters(object=(1,))])
def test_skip_reasons_says_that_a_study_has_no_such_axis(filters: Filters) -> None:
    with pytest.raises(InputError, match=r"leave --(recipe|object) out"):
        skip_reasons(tiny_study(), filters)


def test_study_refuses_recipes_from_python_by_name() -> None:
    study = parsed(SEVERAL)
    with pytest.raises(ValidationError, match="'gauss' and 'poisson' have the same settings"):
        Study.model_validate(
            study.model_dump()
            | {"recipes": [Recipe().model_dump() | {"name": name, "device": "cpu"} for name in ("gauss", "poisson")]}
        )


def test_the_shipped_study_of_recipes_has_each_noise_model_with_small_and_full_batches() -> None:
    study = Study.from_toml(DATA / "recipes.toml")
    pairs = {(recipe.noise_model, recipe.batch_size) for recipe in study.recipes}
    assert pairs == {(noise, batch) for noise in ("gaussian", "poisson") for batch in (96, "all")}


def test_the_shipped_study_of_recipes_has_the_demos_scan_at_three_doses() -> None:
    study, demo = Study.from_toml(DATA / "recipes.toml"), Study.from_toml(DATA / "demo.toml")
    assert study.source == demo.source
    assert study.doses_photons == (1e3, 1e4, 1e5)


def test_a_recipe_with_a_fixed_probe_takes_over_no_settings_of_a_changing_one() -> None:
    shared = SHARED.replace("}", ", probe_step_size = 0.5}")
    first, second = study_with('{name = "a"}, {name = "b", optimise_probe = false}', shared).recipes
    assert (first.probe_step_size, second.probe_step_size) == (0.5, 1.0)
