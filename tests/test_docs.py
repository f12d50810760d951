"""The documents tell the truth about the tree: files they name exist, files that exist are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "cluster" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_testing_page_lists_every_test_file():
    listed = set(re.findall(r"^\| `([\w/]*test_\w+\.py)` \|", (ROOT / "docs" / "testing.md").read_text(), re.MULTILINE))
    assert listed >= {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_links_to_files_that_exist(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_readme_names_every_study_file():
    readme = (ROOT / "README.md").read_text()
    assert [path.name for path in (ROOT / "data").glob("*.toml") if f"`data/{path.name}`" not in readme] == []


def test_readme_example_is_a_study_that_parses():
    from fly64dask.study import parse_study

    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert parse_study(example, origin="README.md").name == "mine"
