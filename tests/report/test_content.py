"""A page carries what the published schema says, and nothing that a run holds can end its script element."""

from __future__ import annotations

import json
import re

import jsonschema
import tiny
from faulty_engine import MARKUP

from fly64dask.records import write_run_study
from fly64dask.report import ReportContent, write_report
from fly64dask.store import RunLayout
from fly64dask.study import parse_study

SCHEMA = ReportContent.model_json_schema(mode="serialization")


def carried(page: str) -> dict:
    """What the page's script reads."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def page_of(tmp_path, **changes) -> str:
    """The page of a run that has not begun."""
    layout, study = RunLayout(tmp_path), parse_study(tiny.TEXT, origin="tiny.toml").model_copy(update=changes)
    write_run_study(layout, study)
    write_report(study, layout, layout.report_file)
    return layout.report_file.read_text()


def test_page_of_a_run_that_has_not_begun_is_of_the_published_schema(tmp_path):
    content = carried(page_of(tmp_path))
    jsonschema.validate(content, SCHEMA)
    assert {cell["state"] for cell in content["cells"]} == {"pending"}


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
