"""Pictures and generated tables of the documentation are what their commands made, of inputs as they are now."""

from __future__ import annotations

import json
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
    made = [place for figure in registry() for place in (*figure.tables, *(table.place for table in figure.written))]
    assert sorted(made) == sorted(marked)


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


@pytest.mark.parametrize("changed", ["page.css", "new.js"])
def test_a_picture_of_a_page_is_stale_when_a_file_of_the_page_has_changed(changed, tmp_path, monkeypatch):
    import make_figures

    monkeypatch.setattr(make_figures, "ROOT", tmp_path)
    monkeypatch.setattr(make_figures, "LEDGER", tmp_path / "ledger.json")
    web, picture = tmp_path / "web", tmp_path / "page.png"
    web.mkdir()
    (web / "page.css").write_text("td { color: red }")
    picture.write_bytes(b"a picture")
    figure = make_figures.Figure(name="page", minutes=1, pictures=(picture.name,), inputs=("web",))
    make_figures.record(figure)
    assert list(make_figures.complaints(figure)) == []
    (web / changed).write_text("another design")
    assert list(make_figures.complaints(figure)) == [f"stale: web/{changed}"]


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A figure with a measurement of one row, and its table on a page."""
    import make_figures
    import measured_tables
    from measuring import write_measurement

    script = ROOT / "scripts" / "bench" / "store.py"
    monkeypatch.setattr("sys.argv", [str(script), "--rounds", "2", "--json", str(tmp_path / "m.json")])
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("<!-- part -->\n<!-- end of part -->\n")
    versions = dict.fromkeys(("ptychi", "torch", "zarr", "dask"), "1")
    facts = {"processor": "p", "cores": 2, "memory_bytes": 2**34, "gpus": [], "load_average": 0.1}
    write_measurement(tmp_path / "m.json", facts | {"versions": versions}, {"rows": [{"n": 8, "epoch_s": 0.01234}]})
    table = measured_tables.MeasuredTable(
        place="page.md#part", rows="rows", columns=(("exposures", "{n}"), ("ms", "{epoch_s:ms 3}"))
    )
    figure = make_figures.Figure(
        name="m", minutes=1, measurement=str(tmp_path / "m.json"), measures=("fly64dask/store",), written=(table,)
    )
    monkeypatch.setattr(make_figures, "ROOT", tmp_path)
    measured_tables.trim(tmp_path / "m.json", figure.measures)
    make_figures.put(figure.parts())
    return figure


def test_a_measured_table_is_its_measurement_with_how_and_where_it_was_made(measured, tmp_path):
    from make_figures import complaints

    text = (tmp_path / "docs" / "page.md").read_text()
    assert text.splitlines()[1:4] == ["| exposures | ms |", "|---|---|", "| 8 | 12.3 |"]
    assert "`python scripts/bench/store.py --rounds 2` on 20" in text
    assert list(complaints(measured)) == []


def test_a_measured_table_that_was_changed_by_hand_is_named(measured, tmp_path):
    from make_figures import complaints

    page = tmp_path / "docs" / "page.md"
    page.write_text(page.read_text().replace("12.3", "11.3"))
    assert list(complaints(measured)) == [f"not what {measured.measurement} says: page.md#part"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("fly64dask/store/layout.py", ["stale: fly64dask/store/layout.py"]),
        ("scripts/bench/store.py", ["stale: scripts/bench/store.py"]),
        ("fly64dask/store/deleted.py", ["stale: fly64dask/store/deleted.py"]),
    ],
)
def test_a_measurement_is_stale_when_what_it_measures_has_changed(measured, changed, said):
    from make_figures import complaints

    path = Path(measured.measurement)
    found = json.loads(path.read_text())
    found["code"][changed] = "another"
    path.write_text(json.dumps(found))
    assert list(complaints(measured)) == said


def test_a_measurement_names_modules_and_folders_that_exist():
    named = [ROOT / name for figure in registry() for name in figure.measures]
    assert [path for path in named if not path.exists()] == []


def test_figures_of_an_object_are_rows_with_words_for_their_keys():
    from measured_tables import MeasuredTable, markdown, rows_of

    table = MeasuredTable(
        place="p#t", rows="ours", names={"end_s": "the end, s"}, columns=(("what", "{key}"), ("median", "{value:2}"))
    )
    rows = rows_of({"ours": {"end_s": 1.51, "other": 2.0}}, table)
    assert markdown(table, rows).splitlines()[2:] == ["| the end, s | 1.5 |"]


def test_a_column_that_no_row_fills_is_refused():
    from measured_tables import MeasuredTable, markdown

    with pytest.raises(SystemExit, match="column 'ms'"):
        markdown(MeasuredTable(place="p#t", rows="rows", columns=(("ms", "{epoch_s:3}"),)), [{"epoch": 1.0}])


@pytest.mark.parametrize(
    ("value", "n_digits", "text"),
    [
        (1170.4, 3, "1170"),
        (19.46, 3, "19.5"),
        (9.999, 3, "10.0"),
        (0.0516, 2, "0.052"),
        (2.6e-5, 2, "2.6e-5"),
        (0, 3, "0"),
    ],
)
def test_rounded_shows_so_many_digits_and_no_power_of_ten_where_none_is_needed(value, n_digits, text):
    from measured_tables import rounded

    assert rounded(value, n_digits) == text


# Cells that are numbers by definition: what a rule costs in reconstructions, and a convention of another program.
DEFINED = ('| `"epochs"`', '| `"half_sets"`', '| `"held_out"`', "| negative SSIM")
NUMBER = re.compile(r"[*~]*[-+]?\d[\d .,]*(e-?\d+)?( ?(%|s|ms|us|MB|GB|kB|MB/s|px|rad|x|min))?[*]*")
# What only a stopwatch tells.
TIMED = re.compile(
    r"\d (ms|us|MB/s)\b|\d s of (CPU|one core)|\d times (as long|as fast|faster)"
    r"|(second|minute|hour)s? (on|of) (one|two|a|2) |fraction of a (milli)?second"
)


def typed_lines(page):
    """Lines of a page that a person wrote: no generated part, no code, no output of a command."""
    text = re.sub(r"<!-- (\w+) -->\n.*?<!-- end of \1 -->", "", page.read_text(), flags=re.DOTALL)
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE).splitlines()


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("[!_]*/**/*.md"))], ids=lambda page: page.name
)
def test_no_number_of_a_measurement_is_typed(page):
    lines = [line for line in typed_lines(page) if not line.startswith(DEFINED)]
    tables = [line for line in lines if line.startswith("|")]
    numbers = [line for line in tables if any(NUMBER.fullmatch(cell.strip()) for cell in line.split("|")[2:-1])]
    times = [line for line in lines if line not in tables and TIMED.search(re.sub(r"`[^`]*`", "", line))]
    assert numbers + times == [], "a script prints it or measures it; see Testing, pictures and tables"
