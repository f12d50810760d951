"""The table `[setup]` of a study file: its values and lists, the cells that they make, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from tiny import TEXT, tiny_study

from fly64dask.base import InputError
from fly64dask.study import Filters, Setup, SetupAxes, Study, cells, parse_study, realisations, skip_reasons

ROOT = Path(__file__).resolve().parents[2]


def parsed(setup: str, text: str = TEXT) -> Study:
    return parse_study(f"{text}\n[setup]\n{setup}\n", origin="study.toml")


def message_of(setup: str, text: str = TEXT) -> str:
    with pytest.raises(InputError) as refused:
        parsed(setup, text)
    return str(refused.value)


def test_a_study_without_a_setup_has_an_ideal_one_without_a_name() -> None:
    assert tiny_study().setup_names == (None,)
    assert tiny_study().setup_of(None) == Setup()
    assert Setup().is_ideal


def test_a_setup_of_single_values_has_no_name_and_changes_no_path() -> None:
    study = parsed("background_photons = 0.1")
    assert study.setup_of(None) == Setup(background_photons=0.1)
    assert [cell.name for cell in cells(study)] == [cell.name for cell in cells(tiny_study())]


def test_lists_make_the_product_of_their_values_named_after_keys_and_values() -> None:
    study = parsed('gap_px = [2, 4]\nbackground_photons = [0, 0.1]\nmask = "unknown"')
    assert study.setup_names == (
        *("background_photons_0.gap_px_2", "background_photons_0.gap_px_4"),
        *("background_photons_0.1.gap_px_2", "background_photons_0.1.gap_px_4"),
    )
    assert study.setup_of("background_photons_0.1.gap_px_4") == Setup(gap_px=4, background_photons=0.1, mask="unknown")


def test_each_setup_has_cells_and_realisations_of_its_own() -> None:
    study = parsed("gap_px = [0, 2]")
    names = [cell.name for cell in cells(study)]
    assert len(names) == len(set(names)) == 2 * len(cells(tiny_study()))
    assert names[:2] == ["dose_10000.gap_px_0/all/train", "dose_10000.gap_px_2/all/train"]
    assert realisations(study, cells(study)[:2])[1].name == "dose_10000.gap_px_2/train"


def test_skip_reasons_keeps_the_wanted_setup() -> None:
    study = parsed("gap_px = [0, 2]")
    skipped = skip_reasons(study, Filters(setup=("gap_px_2",)))
    assert {cell.setup_name for cell in cells(study) if cell not in skipped} == {"gap_px_2"}
    with pytest.raises(InputError, match="--setup gap_px_3: study 'tiny' has gap_px_0, gap_px_2"):
        skip_reasons(study, Filters(setup=("gap_px_3",)))


def test_study_of_several_setups_survives_json_and_pickle() -> None:
    study = parsed('gap_px = [0, 2]\nmask = ["known", "unknown"]')
    assert Study.model_validate_json(study.model_dump_json(exclude_none=True)) == study
    assert pickle.loads(pickle.dumps(study)) == study


def test_every_key_may_have_one_value_or_several() -> None:
    assert SetupAxes.model_fields.keys() == Setup.model_fields.keys()
    assert SetupAxes().setups == {None: Setup()}


@pytest.mark.parametrize(
    ("setup", "parts"),
    [
        ("background_photons = -1", ["setup.background_photons = -1", "needed at least 0"]),
        ("background_photons = [0, -1]", ["setup.background_photons[1] = -1", "needed at least 0"]),
        ("gap_px = 1.5", ["setup.gap_px = 1.5", "needed a whole number"]),
        ("gap_px = [2, 2]", ["gap_px value '2' is given 2 times"]),
        ("gap_pxx = 2", ["setup.gap_pxx", "did you mean 'gap_px'"]),
        ('mask = "unknown"', ["mask 'unknown'", "leave mask out"]),
        ("full_well_photons = 0.5", ["holds no photon"]),
        ("full_well_photons = [0, 5]\ngain_photons = [1, 6]", ["gain_photons 6 is not below full_well_photons 5"]),
        ("full_well_photons = 5\nbackground_photons = 5", ["background_photons 5 is not below full_well_photons 5"]),
        (f"gap_px = {list(range(40))}\nbackground_photons = {list(range(40))}", ["1600 setups, more than 1000"]),
    ],
)
def test_parse_study_refuses_a_setup_by_name(setup: str, parts: list[str]) -> None:
    message = message_of(setup)
    assert [part for part in parts if part not in message] == []


def test_the_example_has_gaps_in_every_setup() -> None:
    study = Study.from_toml(ROOT / "data" / "setups.toml")
    assert [(study.setup_of(name).gap_px, study.setup_of(name).mask) for name in study.setup_names] == [
        *((2, "known"), (2, "unknown")),
        *((2, "known"), (2, "unknown")),
    ]


def test_a_measured_study_has_no_setup() -> None:
    source = '[source]\nkind = "measured"\npath = "scan.zarr"\n'
    assert "setup describes the faults of a simulated experiment" in message_of(
        "gap_px = 2", TEXT[: TEXT.index("[source]")] + source
    )
