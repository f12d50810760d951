"""The documents tell the truth about the tree: files they name exist, files that exist are named."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "cluster" / "README.md", ROOT / "docs" / "index.md"]
PAGES += sorted((ROOT / "docs").glob("[!_]*/**/*.md"))


def test_testing_page_names_every_mark_and_files_that_exist():
    page = (ROOT / "docs" / "how-to" / "testing.md").read_text()
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == {marker.split(":")[0] for marker in markers}
    named = re.findall(r"`(?:tests/)?(\w+/[\w/]*\w+\.py)`", page)
    assert named
    assert [name for name in named if not (ROOT / "tests" / name).exists()] == []


def test_architecture_page_lists_every_package():
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    packages = [path.parent.name for path in (ROOT / "fly64dask").glob("*/__init__.py")]
    assert [name for name in packages if not re.search(rf"^\| `{name}`", page, re.MULTILINE)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_links_to_files_that_exist(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_picture_is_on_a_page():
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in re.findall(r"!\[[^]]*\]\((?!https?:)([^)#]+)\)", page.read_text())
    }
    pictures = {path for path in (ROOT / "docs" / "pictures").rglob("*") if path.is_file()}
    assert {path.name for path in pictures - shown} == set()


def test_index_links_to_every_page():
    links = set(re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs" / "index.md").read_text()))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").glob("[!_]*/**/*.md")}
    assert pages - links == set()


@pytest.mark.parametrize("top", ["docs", "scripts"])
def test_no_folder_holds_more_than_thirteen_files(top):
    folders = [ROOT / top, *(path for path in (ROOT / top).rglob("*") if path.is_dir())]
    folders = [folder for folder in folders if not {"__pycache__", "_build"} & set(folder.parts)]
    files = {folder: [path for path in folder.iterdir() if path.is_file()] for folder in folders}
    assert {folder: len(names) for folder, names in files.items() if len(names) > 13} == {}


STUDY_PAGE = ROOT / "docs" / "reference" / "study" / "study_file.md"


def test_readme_has_at_most_120_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_study_page_names_every_study_file():
    page = STUDY_PAGE.read_text()
    assert [path.name for path in (ROOT / "data").glob("*.toml") if f"`data/{path.name}`" not in page] == []


def test_example_of_the_study_page_is_a_study_that_parses():
    from fly64dask.study import parse_study

    (example,) = re.findall(r"```toml\n(.*?)```", STUDY_PAGE.read_text(), re.DOTALL)
    assert parse_study(example, origin=STUDY_PAGE.name).name == "mine"


def test_glossary_is_in_order_and_its_pages_exist():
    from fly64dask.base import GLOSSARY

    assert list(GLOSSARY) == sorted(GLOSSARY)
    assert [term.page for term in GLOSSARY.values() if not (ROOT / "docs" / term.page).exists()] == []


def test_links_to_the_glossary_name_its_terms():
    from fly64dask.base import GLOSSARY

    linked = {name for page in PAGES for name in re.findall(r"glossary\.md#([\w-]+)\)", page.read_text())}
    assert linked - {name.replace(" ", "-") for name in GLOSSARY} == set()


@pytest.mark.parametrize("document", ["study file", "cluster file"])
def test_schema_says_what_each_key_means(document):
    from fly64dask.deploy.slurm.site import SlurmFile
    from fly64dask.study import Study

    schema = {"study file": Study, "cluster file": SlurmFile}[document].model_json_schema()
    records = {document: schema} | schema["$defs"]
    keys = {(name, key): field for name, record in records.items() for key, field in record["properties"].items()}
    assert len(keys) > 20
    assert [key for key, field in keys.items() if not field.get("description", "").endswith(".")] == []


def test_readme_quotes_what_the_page_of_the_demo_says_it_prints():
    """That page is compared with what the demo prints by `integration/test_demo.py`."""
    quoted = re.findall(r"^> (.+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    printed = (ROOT / "docs" / "tutorials" / "demo.md").read_text().splitlines()
    assert quoted
    assert [line for line in quoted if line not in printed] == []
