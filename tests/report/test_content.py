"""A page carries what the published schema says, and nothing that a run holds can end its script element."""

from __future__ import annotations

import html
import json
import re

import jsonschema
import tiny
from faulty_engine import MARKUP
from several import several_study

from fly64dask.base import GLOSSARY
from fly64dask.records import write_run_study
from fly64dask.report import ReportContent, write_report
from fly64dask.store import RunLayout
from fly64dask.study import parse_study

TINY = parse_study(tiny.TEXT, origin="tiny.toml")
SCHEMA = ReportContent.model_json_schema(mode="serialization")


def carried(page: str) -> dict:
    """What the page's script reads."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def page_of(tmp_path, study=TINY, **changes) -> str:
    """The page of a run that has not begun."""
    layout, study = RunLayout(tmp_path), study.model_copy(update=changes)
    write_run_study(layout, study)
    write_report(study, layout, layout.report_file)
    return layout.report_file.read_text()


def test_page_of_a_run_that_has_not_begun_is_of_the_published_schema(tmp_path):
    content = carried(page_of(tmp_path))
    jsonschema.validate(content, SCHEMA)
    assert {cell["state"] for cell in content["cells"]} == {"pending"}


def test_page_explains_its_words_as_the_glossary_does(tmp_path):
    page = page_of(tmp_path)
    for word in ("cell", "floor", "empty object"):
        meaning = GLOSSARY[word].meaning.replace("`", "")
        assert f"<dt>{word}</dt><dd>{html.escape(meaning, quote=False)}</dd>" in page.replace("&#39;", "'")


def test_page_puts_each_recipe_and_object_into_a_section_of_its_own(tmp_path):
    content = carried(page_of(tmp_path, several_study()))
    jsonschema.validate(content, SCHEMA)
    assert content["sections"] == ["gauss, object 7", "gauss, object 8", "poisson, object 7", "poisson, object 8"]
    section_of = {cell["name"]: cell["section"] for cell in content["cells"]}
    assert section_of["dose_100000.object_8/few/test.poisson"] == "poisson, object 8"
    places = [(place["dose"], place["view"], place["split"], place["section"]) for place in content["places"]]
    assert len(set(places)) == len(places) == len(content["cells"]) == 24
    assert all(section_of[name] == place["section"] for place in content["places"] for name in place["cells"])


def test_page_of_many_cells_shows_some_doses_and_says_so(tmp_path):
    page = page_of(tmp_path, doses_photons=tuple(float(dose) for dose in range(1, 201)))
    content = carried(page)
    assert (len(content["cells"]), content["counts"]) == (498, {"pending": 1200})
    assert content["notices"][0]["text"].startswith("This page shows 498 of 1200 cells")
    assert len(page) < 3_000_000


def test_page_of_all_cells_says_nothing_of_a_part(tmp_path):
    assert not any("This page shows" in notice["text"] for notice in carried(page_of(tmp_path))["notices"])


def test_page_shows_the_view_that_is_asked_for(tmp_path):
    layout = RunLayout(tmp_path)
    write_run_study(layout, TINY)
    write_report(TINY, layout, layout.report_file, views=["few"])
    content = carried(layout.report_file.read_text())
    assert (content["views"], {cell["view"] for cell in content["cells"]}) == (["few"], {"few"})


def test_schema_names_every_key(tmp_path):
    content = carried(page_of(tmp_path))
    cell = content["cells"][0]
    for changed in (content | {"surprise": 1}, content | {"cells": [cell | {"surprise": 1}]}):
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(changed)


def test_page_escapes_what_a_study_is_called(tmp_path):
    page = page_of(tmp_path, name=MARKUP)
    assert carried(page)["study"] == MARKUP
    assert MARKUP not in page
    assert page.count("<script") == 2
