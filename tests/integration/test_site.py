"""The documentation as a browser shows it: pages that `make docs` has built, judged by axe-core, light and dark."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from accessibility import axe_violations
from browser import chromium, opened_browser

SITE = Path(__file__).resolve().parents[2] / "docs" / "_build" / "html"
# The first page, one with pictures, formulas and tables, one with code that was run, and the listing of a source.
PAGES = (
    "index.html",
    "explanation/limits.html",
    "tutorials/first_matrix.html",
    "_modules/fly64dask/study/model.html",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium()
    with opened_browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious_on_a_page_of_the_documentation(browser, name, dark):
    if not (SITE / name).exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs {SITE / name}: make docs")
        pytest.skip("the documentation is not built: make docs")
    browser.open((SITE / name).as_uri(), dark=dark)
    browser.wait_for("document.readyState === 'complete'")
    assert axe_violations(browser) == []
