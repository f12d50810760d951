"""Study files: what is read, what is refused and with which words, the matrix and its filters."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from named_faults import faults_of
from pydantic import ValidationError

from fly64dask.base import InputError, digest
from fly64dask.study import (
    Cell,
    Filters,
    Recipe,
    Remedy,
    Study,
    cells,
    checked_study,
    dose_name,
    overridden_by_guard,
    parse_study,
    remedied_recipe,
    skip_reasons,
)

DATA = Path(__file__).resolve().parents[2] / "data"
STUDY = """
schema_version = 1
name = "a-study-with-a-name-of-some-length"
doses_photons = [1e3, 1e4, 1e5]

[source]
kind = "synthetic"
object_shape_px = [64, 48]
probe_shape_px = [16, 16]
seed_pair = 7

[source.scan]
kind = "uniform"
n_exposures = 20
low_px = 8
high_px = 40

[[views]]
name = "baseline"
rule = "baseline"

[[views]]
name = "dense"
rule = "min_spacing"
array_overlap = 0.7
patch_size_px = 128

[[views]]
name = "sparse"
rule = "min_spacing"
threshold_px = 102.4

[split]
fraction = 0.5

[overlap]
diameter_px = 8.0

[recipe]
n_epochs = 5
"""
SPACING = "array_overlap = 0.7\npatch_size_px = 128"
SOURCE = STUDY[STUDY.index("[source]") : STUDY.index("[[views]]")]
DOSES = "[1e3, 1e4, 1e5]"
positive_doses = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
study_doses = st.floats(min_value=0, exclude_min=True, max_value=1e9)


def study_with(old: str, new: str) -> str:
    """Text of the study with one part replaced, checked to be in it exactly once."""
    assert STUDY.count(old) == 1, f"{old!r} must name one place of the study"
    return STUDY.replace(old, new)


def message_of(text: str) -> str:
    with pytest.raises(InputError) as refused:
        parse_study(text, origin="wrong.toml")
    return str(refused.value)


@pytest.fixture
def study() -> Study:
    return parse_study(STUDY, origin="study.toml")


# What is changed, what to, the key and the value the message must name, and what it must tell a person to do.
BAD_STUDIES = {
    "unknown_key_close_spelling": ("n_epochs = 5", "n_epoch = 5", "recipe.n_epoch", "5", "did you mean 'n_epochs'"),
    "unknown_key": ("n_epochs = 5", "colour = 5", "recipe.colour", "5", "remove it"),
    "unknown_key_as_another_table_has_it": (
        SPACING,
        "overlap = 0.7",
        "views[1].overlap",
        "0.7",
        "unknown key; did you mean 'array_overlap'",
    ),
    "unknown_table": ("[recipe]", "[reciep]", "reciep", "{'n_epochs': 5}", "did you mean 'recipe'"),
    "dose_zero": (DOSES, "[0]", "doses_photons[0]", "0", "needed more than 0"),
    "dose_negative": (DOSES, "[1e3, -5.0]", "doses_photons[1]", "-5.0", "needed more than 0"),
    "dose_nan": (DOSES, "[nan]", "doses_photons[0]", "nan", "finite"),
    "dose_beyond_32_bits": (DOSES, "[1e10]", "doses_photons[0]", "10000000000.0", "less than or equal to 1000000000"),
    "dose_infinite": (DOSES, "[inf]", "doses_photons[0]", "inf", "finite"),
    "dose_misspelt": (DOSES, '["measure"]', "doses_photons[0]", "'measure'", "correct it"),
    "dose_boolean": (DOSES, "[true]", "doses_photons[0]", "True", "correct it"),
    "dose_quoted": (DOSES, '["1e3"]', "doses_photons[0]", "'1e3'", "correct it"),
    "dose_twice": (DOSES, "[1e3, 1e4, 1e3]", "doses_photons", "'dose_1000'", "keep it once"),
    "dose_twice_as_integer_and_float": (DOSES, "[1000, 1e3]", "doses_photons", "'dose_1000'", "keep it once"),
    "doses_empty": (DOSES, "[]", "doses_photons", "[]", "at least 1"),
    "dose_word_without_quotes": (DOSES, "[noise_free]", "TOML", "line", "a word needs quotes"),
    "table_twice": ("[recipe]", "[split]", "TOML", "line", "write [[split]] for each of several"),
    "dose_noise_free_twice": (
        DOSES,
        '["noise_free", "noise_free"]',
        "doses_photons",
        "'dose_noise_free'",
        "keep it once",
    ),
    "dose_measured_but_synthetic": (DOSES, '["measured"]', "doses_photons", "'measured'", "write the dose in photons"),
    "array_overlap_one": (SPACING, "array_overlap = 1.0\npatch_size_px = 9", "array_overlap", "1.0", "less"),
    "array_overlap_negative": (
        SPACING,
        "array_overlap = -0.1\npatch_size_px = 9",
        "array_overlap",
        "-0.1",
        "needed at least 0",
    ),
    "array_overlap_by_its_former_name": (
        "array_overlap",
        "overlap_fraction",
        "views[1].overlap_fraction",
        "0.7",
        "now called 'array_overlap'; rename it",
    ),
    "view_name_twice": ('name = "dense"', 'name = "baseline"', "views", "'baseline'", "keep it once"),
    "view_threshold_and_overlap": (
        SPACING,
        "threshold_px = 38.4\narray_overlap = 0.7\npatch_size_px = 128",
        "views[1]",
        "'dense'",
        "give either threshold_px, or both array_overlap and patch_size_px",
    ),
    "view_neither": (SPACING, "", "views[1]", "'dense'", "give either threshold_px"),
    "view_overlap_without_patch": (SPACING, "array_overlap = 0.7", "views[1]", "'dense'", "patch_size_px"),
    "view_threshold_zero": (SPACING, "threshold_px = 0", "threshold_px", "0", "needed at least 1e-06"),
    "view_name_climbs": ('name = "dense"', 'name = "../x"', "name", "'../x'", "needed a name"),
    "view_name_with_space": ('name = "dense"', 'name = "A B"', "name", "'A B'", "needed a name"),
    "view_name_with_newline": ('name = "dense"', 'name = "a\\n"', "name", "'a\\n'", "needed a name"),
    "view_rule_unknown": ('rule = "baseline"', 'rule = "every"', "views[0]", "'every'", "'baseline', 'min_spacing'"),
    "split_fraction_zero": ("fraction = 0.5", "fraction = 0", "split.fraction", "0", "needed more than 0"),
    "split_fraction_one": ("fraction = 0.5", "fraction = 1", "split.fraction", "1", "needed less than 1"),
    "n_epochs_zero": ("n_epochs = 5", "n_epochs = 0", "recipe.n_epochs", "0", "needed at least 1"),
    "n_epochs_boolean": ("n_epochs = 5", "n_epochs = true", "recipe.n_epochs", "True", "correct it"),
    "n_epochs_quoted": ("n_epochs = 5", 'n_epochs = "5"', "recipe.n_epochs", "'5'", "correct it"),
    "algorithm_unknown": ("n_epochs = 5", 'algorithm = "RAAR"', "recipe.algorithm", "'RAAR'", "'LSQML', 'rPIE'"),
    "batch_size_zero": ("n_epochs = 5", "batch_size = 0", "recipe.batch_size", "0", "needed at least 1"),
    "batch_size_unknown_word": ("n_epochs = 5", 'batch_size = "full"', "recipe.batch_size", "'full'", "'all'"),
    "batch_size_boolean": ("n_epochs = 5", "batch_size = true", "recipe.batch_size", "True", "correct it"),
    "batching_unknown": (
        "n_epochs = 5",
        'batching = "sparse"',
        "recipe.batching",
        "'sparse'",
        "'compact' or 'uniform'",
    ),
    "step_size_zero": ("n_epochs = 5", "object_step_size = 0", "recipe.object_step_size", "0", "needed at least 1e-06"),
    "step_size_nan": ("n_epochs = 5", "probe_step_size = nan", "recipe.probe_step_size", "nan", "finite"),
    "momentum_negative": ("n_epochs = 5", "momentum_gain = -0.5", "recipe.momentum_gain", "-0.5", "needed at least 0"),
    "start_zero": ("n_epochs = 5", "probe_update_start = 0", "recipe.probe_update_start", "0", "needed at least 1"),
    "modes_zero": ("n_epochs = 5", "probe_modes = 0", "recipe.probe_modes", "0", "needed at least 1"),
    "modes_many": ("n_epochs = 5", "probe_modes = 17", "recipe.probe_modes", "17", "needed at most 16"),
    "device_unknown": ("n_epochs = 5", 'device = "tpu"', "recipe.device", "'tpu'", "'auto', 'cpu' or 'cuda'"),
    "shape_of_no_axis": (
        "object_shape_px = [64, 48]",
        "object_shape_px = []",
        "object_shape_px[0]",
        "missing",
        "add it",
    ),
    "shape_of_one_axis": (
        "probe_shape_px = [16, 16]",
        "probe_shape_px = [16]",
        "probe_shape_px[1]",
        "missing",
        "add it",
    ),
    "source_missing": (SOURCE, "", "source", "missing", "add it"),
    "source_kind_unknown": ('kind = "synthetic"', 'kind = "made"', "source", "'made'", "'synthetic', 'pair'"),
    "schema_version_newer": ("schema_version = 1", "schema_version = 2", "schema_version", "2", "needed 1"),
    "not_toml": ("n_epochs = 5", "n_epochs = ", "TOML", "line", "correct that line"),
    "not_toml_key_twice": ("n_epochs = 5", "n_epochs = 5\nn_epochs = 6", "TOML", "line", "correct that line"),
    "scan_low_equals_high": ("low_px = 8", "low_px = 40", "low_px", "40", "swap or widen"),
    "scan_low_above_high": ("low_px = 8", "low_px = 41", "low_px", "41", "swap or widen"),
    "scan_low_nan": ("low_px = 8", "low_px = nan", "low_px", "nan", "finite"),
    "scan_of_no_exposures": ("n_exposures = 20", "n_exposures = 0", "n_exposures", "0", "needed at least 1"),
    "seed_negative": ("[split]", "[seeds]\ngrouping = -1\n[split]", "seeds.grouping", "-1", "needed at least 0"),
}


@pytest.mark.parametrize(("old", "new", "key", "value", "remedy"), BAD_STUDIES.values(), ids=BAD_STUDIES)
def test_parse_study_names_key_value_and_remedy_when_refused(
    old: str, new: str, key: str, value: str, remedy: str
) -> None:
    message = message_of(study_with(old, new))
    assert message.startswith("read study wrong.toml")
    assert remedy in message
    key_then_value = re.escape(key) + r".*(?<![\w.])" + re.escape(value) + r"(?![\w.])"
    assert re.search(key_then_value, message.replace(remedy, "")), message


@pytest.mark.parametrize("fault", ["dose_zero", "dose_nan", "n_epochs_zero", "view_neither", "source_missing"])
def test_parse_study_gives_one_fault_when_one_value_is_wrong(fault: str) -> None:
    old, new, *_ = BAD_STUDIES[fault]
    faults = faults_of(message_of(study_with(old, new)))
    assert len(faults) == 1, faults


def test_parse_study_names_every_fault_when_there_are_two() -> None:
    message = message_of(study_with("n_epochs = 5", "n_epochs = 0\nbatch_size = 0"))
    assert "recipe.n_epochs" in message
    assert "recipe.batch_size" in message


def test_parse_study_refuses_deep_nesting() -> None:
    assert "not valid TOML" in message_of("a = " + "[" * 100_000)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"algorithm": "rPIE", "noise_model": "poisson"}, "rPIE replaces amplitudes and has no noise model"),
        ({"algorithm": "ePIE", "momentum_gain": 0.5}, "ePIE has no momentum"),
        ({"algorithm": "DM", "probe_step_size": 0.5}, "DM solves for object and probe and has no step sizes"),
        ({"algorithm": "DM", "batching": "compact"}, "DM updates once an epoch"),
        ({"batching": "uniform", "batch_size": "all"}, "batch_size 'all' does not"),
        ({"momentum_gain": 0.5, "optimise_probe": False}, "acts on the probe alone unless batching is 'compact'"),
        ({"probe_modes": 2, "optimise_probe": False}, "are made to be optimised"),
        ({"opr_modes": 2, "optimise_probe": False}, "opr_modes 2 are made to be optimised"),
        ({"opr_modes": 2, "algorithm": "rPIE"}, "rPIE has one OPR mode, found opr_modes 2; leave it out or take LSQML"),
        ({"probe_step_size": 0.5, "optimise_probe": False}, "probe_step_size 0.5, and optimise_probe is false"),
        ({"probe_support": 0.1, "optimise_probe": False}, "probe_support 0.1 is of a probe that changes"),
        ({"probe_power_photons": 1e4, "optimise_probe": False}, "probe_power_photons 10000 is of a probe that changes"),
        ({"position_limit_px": 2.0}, "position_limit_px 2 is about refined positions"),
        ({"refine_positions": True, "position_update_start": 200}, "position_update_start 200 is after the last"),
        ({"n_slices": 2}, "n_slices: multislice objects are not reconstructed"),
        ({"n_epochs": 5, "object_update_start": 6}, "object_update_start 6 is after the last of 5 epochs"),
        ({"n_epochs": 5, "probe_update_start": 6}, "probe_update_start 6 is after the last of 5 epochs"),
        ({"probe_update_start": 2, "optimise_probe": False}, "and optimise_probe is false"),
        ({"stop": "half_sets", "object_update_start": 11}, "beyond a patience of 10 epochs"),
        (
            {"guarded": True, "batching": "compact"},
            "batching 'compact' is not followed where guarded is true; leave one",
        ),
        ({"guarded": True, "refine_positions": True}, "refine_positions True is not followed where guarded is true"),
        ({"guarded": True, "opr_modes": 2}, "opr_modes 2 is not followed where guarded is true"),
        ({"guarded": True, "probe_step_size": 0.5, "optimise_probe": False}, "and optimise_probe is false"),
    ],
    ids=str,
)
def test_recipe_refuses_keys_that_cannot_go_together(keys: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Recipe.model_validate(keys)


def test_guarded_remedy_of_any_recipe_is_a_recipe_that_a_record_may_hold() -> None:
    recipe = Recipe(
        **{"probe_modes": 2, "opr_modes": 3, "momentum_gain": 0.5, "batching": "compact", "probe_support": 0.1},
        **{"object_update_start": 40, "probe_update_start": 60, "refine_positions": True, "position_limit_px": 2.0},
    )
    remedied = remedied_recipe(recipe, Remedy(kind="guarded"))
    assert Recipe.model_validate_json(remedied.model_dump_json()) == remedied


def test_overridden_by_guard_names_what_the_guard_does_not_follow() -> None:
    recipe = Recipe(n_epochs=31, batching="compact", probe_step_size=0.5, object_step_size=0.5, opr_modes=1)
    assert overridden_by_guard(recipe, is_probe_frozen=False) == ("n_epochs = 31", "batching = 'compact'")
    frozen = overridden_by_guard(recipe, is_probe_frozen=True)
    assert frozen[2:] == ("optimise_probe = True", "probe_step_size = 0.5")


def test_overridden_by_guard_names_nothing_of_a_recipe_that_the_guard_follows() -> None:
    recipe = Recipe(n_epochs=30, guarded=True, optimise_probe=False)
    assert overridden_by_guard(recipe, is_probe_frozen=True) == ()


def test_recipe_names_every_key_that_cannot_go_together() -> None:
    with pytest.raises(ValueError, match=r"no momentum.*; DM solves.*; DM updates once"):
        Recipe(algorithm="DM", momentum_gain=0.5, object_step_size=0.1, batching="uniform")


@pytest.mark.parametrize("path", sorted(DATA.glob("*.toml")), ids=lambda path: path.stem)
def test_parse_study_reads_each_shipped_study(path: Path) -> None:
    assert parse_study(path.read_text(encoding="utf-8"), origin=str(path)).name == path.stem


def test_shipped_studies_are_the_known_ones() -> None:
    assert {path.stem for path in DATA.glob("*.toml")} >= {"demo", "fly64", "recipes", "star", "toy"}


@pytest.fixture(scope="module")
def fly64() -> Study:
    return parse_study((DATA / "fly64.toml").read_text(encoding="utf-8"), origin="fly64.toml")


def test_fly64_study_has_18_cells(fly64: Study) -> None:
    assert len(cells(fly64)) == 18


def test_fly64_study_has_10304_exposures(fly64: Study) -> None:
    assert fly64.source.kind == "synthetic"
    assert fly64.source.scan.kind == "uniform"
    assert fly64.source.scan.n_exposures == 10304


def test_fly64_study_has_three_doses(fly64: Study) -> None:
    assert fly64.doses_photons == (1e3, 1e4, 1e5)


def test_fly64_study_has_the_spacings_of_the_design(fly64: Study) -> None:
    spacings = {view.name: view.spacing_threshold_px for view in fly64.views if view.rule == "min_spacing"}
    assert spacings == {"dense": 38.4, "sparse": 102.4}


def test_fly64_study_has_the_engine_of_the_design(fly64: Study) -> None:
    recipe = fly64.recipe
    found = (recipe.algorithm, recipe.n_epochs, recipe.batch_size, recipe.noise_model)
    assert found == ("LSQML", 100, 96, "gaussian")


def test_fly64_study_has_the_seeds_of_the_design(fly64: Study) -> None:
    assert (fly64.seeds.simulation, fly64.seeds.grouping, fly64.seeds.subsampling) == (42, 123, 456)


def test_parse_study_takes_the_design_for_what_is_left_out() -> None:
    study = parse_study(study_with("[recipe]\nn_epochs = 5", ""), origin="study.toml")
    assert (study.recipe.n_epochs, study.recipe.batch_size, study.seeds.simulation) == (100, 96, 42)


@given(
    doses=st.lists(study_doses, min_size=1, max_size=5, unique=True),
    spacing=st.floats(min_value=1e-6, max_value=1e6),
    fraction=st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True),
    n_epochs=st.integers(1, 1_000_000),
    seed=st.integers(0, 2**32 - 1),
)
def test_study_survives_json(doses: list[float], spacing: float, fraction: float, n_epochs: int, seed: int) -> None:
    text = study_with("102.4", repr(spacing)).replace("n_epochs = 5", f"n_epochs={n_epochs}")
    text = text.replace("fraction = 0.5", f"fraction = {fraction!r}\n[seeds]\nsimulation = {seed}")
    text = text.replace(DOSES, repr(doses))  # the last one: a dose may hold the digits of another
    study = parse_study(text, origin="study.toml")
    assert Study.model_validate_json(study.model_dump_json()) == study


@given(st.lists(positive_doses, min_size=2, max_size=30, unique=True))
def test_dose_name_is_distinct_for_distinct_doses(doses: list[float]) -> None:
    assert len({dose_name(dose) for dose in doses}) == len(doses)


@given(positive_doses)
def test_dose_name_differs_from_the_next_float(dose: float) -> None:
    assert dose_name(dose) != dose_name(math.nextafter(dose, 0.0))


@given(positive_doses)
def test_dose_name_reads_back_as_the_dose(dose: float) -> None:
    assert float(dose_name(dose).removeprefix("dose_")) == dose


@pytest.mark.parametrize(
    ("dose", "name"),
    [
        (1000, "dose_1000"),
        (1e3, "dose_1000"),
        (1e5, "dose_100000"),
        (1500.5, "dose_1500.5"),
        (1e22, "dose_1e+22"),
        ("measured", "dose_measured"),
    ],
)
def test_dose_name_is_the_shortest_decimal(dose: float | str, name: str) -> None:
    assert dose_name(dose) == name


def test_cells_lists_dose_then_view_then_split(study: Study) -> None:
    assert [cell.name for cell in cells(study)] == [
        f"dose_{dose}/{view}/{split}"
        for dose in ("1000", "10000", "100000")
        for view in ("baseline", "dense", "sparse")
        for split in ("train", "test")
    ]


@given(st.lists(study_doses, min_size=1, max_size=6, unique=True))
def test_cells_have_distinct_names(doses: list[float]) -> None:
    matrix = cells(parse_study(study_with(DOSES, repr(doses)), origin="study.toml"))
    assert len({cell.name for cell in matrix}) == len(matrix) == len(doses) * 3 * 2


def test_skip_reasons_is_empty_when_nothing_is_filtered(study: Study) -> None:
    assert skip_reasons(study, Filters()) == {}


def test_skip_reasons_leaves_17_out_when_one_cell_is_filtered_in(study: Study) -> None:
    skipped = skip_reasons(study, Filters(dose=(1000,), view=("sparse",), split=("train",)))
    assert set(cells(study)) - set(skipped) == {Cell(dose=1000.0, view="sparse", split="train")}
    assert len(skipped) == 17


@pytest.mark.parametrize(("gridsize", "views"), [(1, {"baseline"}), (2, {"dense", "sparse"})])
def test_skip_reasons_keeps_the_views_of_a_gridsize(study: Study, gridsize: int, views: set[str]) -> None:
    skipped = skip_reasons(study, Filters(gridsize=(gridsize,)))
    assert {cell.view for cell in cells(study) if cell not in skipped} == views


def test_skip_reasons_names_the_filter_and_both_values(study: Study) -> None:
    skipped = skip_reasons(study, Filters(dose=(1e3, 1e4)))
    reason = skipped[Cell(dose=1e5, view="dense", split="test")]
    assert reason == "dose 100000 is not in --dose 1000 10000"


def test_skip_reasons_tells_doses_apart_when_they_are_neighbours() -> None:
    above = 0.1 + 0.2  # 0.30000000000000004
    study = parse_study(study_with(DOSES, f"[0.3, {above!r}]"), origin="study.toml")
    skipped = skip_reasons(study, Filters(dose=(0.3,)))
    assert skipped[Cell(dose=above, view="dense", split="test")] == f"dose {above!r} is not in --dose 0.3"


subsets = st.tuples(
    st.sets(st.sampled_from([1e3, 1e4, 1e5])),
    st.sets(st.sampled_from(["baseline", "dense", "sparse"])),
    st.sets(st.sampled_from(["train", "test"])),
)


@given(subsets)
def test_skip_reasons_keeps_the_product_of_the_wanted_values(
    wanted: tuple[set[float], set[str], set[str]],
) -> None:
    study = parse_study(STUDY, origin="study.toml")
    doses, views, splits = wanted
    skipped = skip_reasons(study, Filters(dose=tuple(doses), view=tuple(views), split=tuple(splits)))
    kept = {(cell.dose, cell.view, cell.split) for cell in cells(study) if cell not in skipped}
    everything = ((1e3, 1e4, 1e5), ("baseline", "dense", "sparse"), ("train", "test"))
    assert kept == set(itertools.product(*(some or whole for some, whole in zip(wanted, everything, strict=True))))


@pytest.mark.parametrize(
    ("filters", "flag", "known"),
    [
        (Filters(dose=(2e3,)), "--dose 2000", "1000, 10000, 100000"),
        (Filters(dose=("measured",)), "--dose measured", "1000, 10000, 100000"),
        (Filters(view=("dens",)), "--view dens", "baseline, dense, sparse"),
        (Filters(split=("validation",)), "--split validation", "train, test"),
        (Filters(gridsize=(3,)), "--gridsize 3", "1, 2"),
        (Filters(dose=(1e3, 7.0)), "--dose 7", "1000, 10000, 100000"),
    ],
)
def test_skip_reasons_refuses_a_value_that_the_study_does_not_have(
    study: Study, filters: Filters, flag: str, known: str
) -> None:
    with pytest.raises(InputError) as refused:
        skip_reasons(study, filters)
    assert [part for part in (flag, known, "give one of these") if part not in str(refused.value)] == []


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=6)
)
def test_digest_does_not_depend_on_the_order_of_keys(document: dict[str, object]) -> None:
    assert digest(dict(reversed(document.items()))) == digest(document)


def test_digest_is_the_sha256_of_sorted_compact_json() -> None:
    # printf '{"a":[1,2.5],"b":"x"}' | sha256sum
    expected = "5cefae54a95b31dc660d6cbbb2198f0811fc70ee37b1cc85b1989870cd293ffb"
    assert digest({"b": "x", "a": [1, 2.5]}) == expected


def whole_field(word: str = "none") -> str:
    """Text of the study with a word for its split."""
    return study_with("[split]\nfraction = 0.5\n", "").replace("[source]", f"split = {word!r}\n\n[source]", 1)


def test_study_without_a_split_has_one_cell_a_dose_and_view() -> None:
    study = parse_study(whole_field(), origin="study.toml")
    names = [cell.name for cell in cells(study)]
    assert names == [
        f"dose_{dose}/{view}/whole" for dose in (1000, 10000, 100000) for view in ("baseline", "dense", "sparse")
    ]
    assert Study.model_validate_json(study.model_dump_json()) == study


def test_study_without_a_split_refuses_to_filter_by_one() -> None:
    study = parse_study(whole_field(), origin="study.toml")
    with pytest.raises(InputError, match=r"filter --split train: .* has whole"):
        skip_reasons(study, Filters(split=("train",)))


def test_split_that_is_another_word_is_one_fault() -> None:
    (fault,) = faults_of(message_of(whole_field("all")))
    assert "split = 'all': needed 'none', or a table [split]" in fault


def test_with_recipe_changes_what_is_named_and_leaves_the_rest() -> None:
    study = Study.from_toml(DATA / "demo.toml")
    changed = study.with_recipe(n_epochs=50)
    assert changed.recipe.n_epochs == 50
    assert changed.with_recipe(n_epochs=study.recipe.n_epochs) == study


def test_with_recipe_refuses_a_setting_that_no_recipe_has() -> None:
    with pytest.raises(ValidationError, match="n_epoch"):
        Study.from_toml(DATA / "demo.toml").with_recipe(n_epoch=50)


MEASURED_SOURCE = '[source]\nkind = "measured"\npath = "scan.zarr"\n\n'


def test_noise_free_dose_is_refused_for_a_measured_source() -> None:
    told = message_of(study_with(SOURCE, MEASURED_SOURCE).replace(DOSES, '["measured", "noise_free"]'))
    assert "'noise_free', which needs a simulated source" in told


def test_noise_free_dose_has_one_cell_a_view_and_split_whatever_the_repeats() -> None:
    study = parse_study(study_with(DOSES, '[1e3, "noise_free"]\nrepeats = 5'), origin="study.toml")
    names = [cell.name for cell in cells(study) if cell.dose == "noise_free"]
    assert names == [f"dose_noise_free/{view.name}/{split}" for view in study.views for split in ("train", "test")]


def test_repeats_of_doses_whose_photons_are_not_drawn_are_refused() -> None:
    assert "leave repeats out" in message_of(study_with(DOSES, '["noise_free"]\nrepeats = 5'))


@pytest.mark.parametrize("stop", ["half_sets", "held_out"])
def test_recipe_of_a_noise_free_cell_keeps_the_last_epoch_without_halves_of_counts(study: Study, stop: str) -> None:
    ruled = study.with_recipe(stop=stop, halves="counts")
    found = ruled.recipe_of(Cell(dose="noise_free", view="dense", split="train"))
    assert found == ruled.recipe.model_copy(update={"stop": "epochs", "patience": None, "halves": "none"})


def test_recipe_of_a_noise_free_cell_keeps_halves_of_the_exposures(study: Study) -> None:
    noise_free = Cell(dose="noise_free", view="dense", split="train")
    assert study.with_recipe(halves="exposures").recipe_of(noise_free).halves == "exposures"


def test_recipe_of_a_cell_with_photons_is_that_of_the_study(study: Study) -> None:
    ruled = study.with_recipe(stop="half_sets", halves="counts")
    assert ruled.recipe_of(Cell(dose=1e3, view="dense", split="train")) == ruled.recipe


def test_photons_of_all_exposures_together_may_be_more_than_a_count_holds():
    text = STUDY.replace("[1e3, 1e4, 1e5]", "[1.0304e9]")
    assert "less than or equal to 1000000000" in message_of(text)
    in_total = parse_study('dose_by = "total"\n' + text, origin="study.toml")
    assert in_total.doses_photons == (1.0304e9,)


@pytest.mark.parametrize("doses", ["[1e3, 1e5]", '[1e3, "noise_free"]'])
def test_one_power_of_the_probe_is_refused_for_several_doses(doses: str) -> None:
    text = STUDY.replace("[1e3, 1e4, 1e5]", doses) + "probe_power_photons = 1e3\n"
    assert "give one dose, in photons per exposure" in message_of(text)


def test_one_power_of_the_probe_is_taken_for_one_dose() -> None:
    text = STUDY.replace("[1e3, 1e4, 1e5]", "[1e3]") + "probe_power_photons = 1e3\n"
    assert parse_study(text, origin="study.toml").recipe.probe_power_photons == 1e3


def test_a_path_in_the_place_of_a_study_is_refused_with_what_reads_it() -> None:
    with pytest.raises(InputError, match=r"'demo\.toml': needed a Study; give fly64dask\.Study\.from_toml\(PATH\)"):
        checked_study("demo.toml")  # type: ignore[arg-type]
