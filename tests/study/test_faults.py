"""Faults of a study file are named by their key, in the words of a person who writes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fly64dask.base import InputError
from fly64dask.study import Study, parse_study

DEMO = (Path(__file__).resolve().parents[2] / "data" / "demo.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (
            'rule = "baseline"',
            'rule = "all"',
            "views[0].rule = 'all', of 'baseline': needed 'baseline', ",
        ),
        ('rule = "baseline"\n', "", "views[0].rule, of 'baseline': missing; add it"),
        ('kind = "uniform"', 'kind = "spiral"', "source.scan.kind = 'spiral': needed 'uniform', 'listed', 'file', "),
        ("n_exposures = 640", "n_exposures = 0", "source.scan.n_exposures = 0: needed at least 1;"),
        ("n_exposures = 640", "n_exposures = 0.5", "source.scan.n_exposures = 0.5: needed a whole number;"),
        ('name = "demo"', 'name = "My demo"', "name = 'My demo': needed a name of a-z, 0-9, - and _ that begins with "),
        ("batch_size = 96", 'batch_size = "some"', "recipe.batch_size = 'some': needed 'all', or a number "),
        (
            'noise_model = "poisson"',
            'noise_model = "none"',
            "recipe.noise_model = 'none': needed 'gaussian' or ",
        ),
        ('noise_model = "poisson"', "optimise_probe = 1", "recipe.optimise_probe = 1: needed true or false;"),
    ],
)
def test_parse_study_says_what_a_wrong_key_needs(right, wrong, words):
    assert right in DEMO
    with pytest.raises(InputError) as caught:
        parse_study(DEMO.replace(right, wrong, 1), origin="demo.toml")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("right", "wrong", "key"),
    [
        ("n_epochs = 40", "n_epochs = 0", "n_epochs"),
        ("n_epochs = 40", "n_epoch = 40", "n_epochs"),
        ("seed_pair = 7", "", "seed_pair"),
        ("[1e3, 1e4, 1e5]", '["1e3"]', "doses_photons"),
    ],
)
def test_parse_study_says_what_a_wrong_or_missing_key_means(right, wrong, key):
    schema = Study.model_json_schema()
    tables = [schema, *schema["$defs"].values()]
    meaning = next(entry["description"] for table in tables if (entry := table.get("properties", {}).get(key)))
    with pytest.raises(InputError) as caught:
        parse_study(DEMO.replace(right, wrong, 1), origin="demo.toml")
    assert f"\n    {key}: {meaning}" in str(caught.value)


def test_parse_study_says_once_what_a_key_means():
    with pytest.raises(InputError) as caught:
        parse_study(DEMO.replace("seed_pair", "seed_pairs", 1), origin="demo.toml")
    assert str(caught.value).count("\n    seed_pair: ") == 1


def test_parse_study_says_how_a_list_of_tables_is_written():
    text = 'schema_version = 1\nname = "x"\ndoses_photons = [1e3]\n[views]\nname = "all"\nrule = "baseline"\n'
    with pytest.raises(InputError, match=r"views = \{.*\}: needed a list of tables, each under \[\[views\]\];"):
        parse_study(text, origin="x.toml")
