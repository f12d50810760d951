"""Pictures and generated tables of the documentation are what their commands made, of inputs as they are now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


def registry():
    from make_figures import read_registry

    return read_registry()


def test_every_picture_is_made_by_one_command():
    made = [picture for figure in registry() for picture in figure.pictures]
    files = [path for path in (ROOT / "docs" / "pictures").rglob("*") if path.is_file()]
    assert sorted(made) == sorted(path.relative_to(ROOT).as_posix() for path in files)


def test_every_generated_table_is_made_by_one_command():
    from make_figures import pages_of

    marked = [
        f"{page.name}#{name}"
        for page in pages_of("*.md")
        if page.name != "acceptance.md"  # whose parts have a test of their own
        for name in re.findall(r"^<!-- end of (\w+) -->$", page.read_text(), re.MULTILINE)
    ]
    assert sorted(table for figure in registry() for table in figure.tables) == sorted(marked)


def test_no_picture_or_table_is_stale_or_changed_by_hand():
    from make_figures import complaints

    found = {figure.name: list(complaints(figure)) for figure in registry()}
    assert {name: said for name, said in found.items() if said} == {}, (
        "make figures FIGURES='NAME ...', and look at them"
    )


def test_the_digest_of_code_knows_no_comment_and_no_docstring(tmp_path):
    from make_figures import content

    plain, told = tmp_path / "plain.py", tmp_path / "told.py"
    plain.write_text("def f(x):\n    return 'x'\n")
    told.write_text('"""Module."""\n\n\ndef f(x):\n    """Words.\n\n    More.\n    """\n    # why\n    return \'x\'\n')
    assert content(plain) == content(told)


def test_the_digest_of_code_knows_its_numbers(tmp_path):
    from make_figures import content

    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("X = 1\n")
    two.write_text("X = 2\n")
    assert content(one) != content(two)
