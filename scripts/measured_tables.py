"""Writes tables of the documentation: rows are figures that a script has measured, columns are described.

A column is a head and a template of `str.format` that a row fills, `"{n_exposures} of {side_px} x {side_px}"`. After
a colon stands how many digits a number shows, with a unit before it that its seconds, bytes or share are turned into:
`{epoch_s:ms 3}`, `{peak_bytes:MB 3}`, `{busy:% 2}`. What a row does not have leaves its place empty.
"""

from __future__ import annotations

import json
import math
import re
import string
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fly64dask.base import Frozen

sys.path.insert(0, str(Path(__file__).with_name("bench")))
from measuring import ROOT, code_content, code_digests, digest, machine_line

FACTORS = {"": 1.0, "us": 1e6, "ms": 1e3, "kB": 1e-3, "MB": 1e-6, "GB": 1e-9, "%": 100.0}
Row = Mapping[str, Any]


class MeasuredTable(Frozen):
    """A table of a page.

    Attributes
    ----------
    place : str
        `PAGE#PART`: the page, in whichever folder of docs it is, and the name of the markers there.
    rows : str
        Names that lead to the rows in the measurement, with points between; an object instead of a list gives a row for
        each of its keys, which is `key` of the row.
    columns : tuple of (str, str)
        Head and template of each; left out: those of bars.
    only : str
        Rows without this are left out.
    least : (str, float)
        Rows in which a figure is lower than this are left out.
    names : mapping of str to str or None
        Words for the keys of such an object, of which the others are left out.
    """

    place: str
    rows: str
    columns: tuple[tuple[str, str], ...] = (
        ("what", "{name}"),
        ("measured", "{measured}"),
        ("bar", "{bar}"),
        ("", "{verdict}"),
    )
    only: str = ""
    least: tuple[str, float] | None = None
    names: Mapping[str, str] | None = None


class Figures(string.Formatter):
    """Fills a template with a row's figures; lists are written with commas."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Write one figure."""
        if value is None:
            raise KeyError("no figure")
        if isinstance(value, list | tuple):
            return ", ".join(self.format_field(one, format_spec) for one in value)
        spec = re.fullmatch(rf"({'|'.join(FACTORS)}) ?(\d)", format_spec)
        return rounded(FACTORS[spec[1]] * value, int(spec[2])) if spec else format(value, format_spec)


def rounded(value: float, n_digits: int) -> str:
    """Write a number with so many digits, or all before the point; very small ones with a power of ten."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    value = float(f"{value:.{n_digits - 1}e}")
    if abs(value) < 1e-3:
        mantissa, _, power = f"{value:.{n_digits - 1}e}".partition("e")
        return f"{mantissa}e{int(power)}"
    return f"{value:.{max(0, n_digits - 1 - math.floor(math.log10(abs(value))))}f}"


def written(measurement: Row, tables: Sequence[MeasuredTable]) -> dict[str, str]:
    """Give each table by its place; what was measured, where and when stands below the last."""
    texts = {table.place: markdown(table, rows_of(measurement, table)) for table in tables}
    texts[tables[-1].place] += f"\n\n*{origin(measurement)}*"
    return texts


def rows_of(measurement: Row, table: MeasuredTable) -> list[Row]:
    """Find the rows of a table."""
    found: Any = measurement
    for name in table.rows.split("."):
        found = found[name]
    if isinstance(found, dict):
        names = table.names or {key: key for key in found}
        values = {words: found[key] for key, words in names.items()}
        found = [{"key": key} | (of if isinstance(of, dict) else {"value": of}) for key, of in values.items()]
    rows: list[Row] = [row for row in found if not table.only or table.only in row]
    return [row for row in rows if table.least is None or row[table.least[0]] >= table.least[1]]


def markdown(table: MeasuredTable, rows: Sequence[Row]) -> str:
    """Write a table; a column in which nothing stands is an error of its description."""
    columns = [[filled(template, row) for row in rows] for _, template in table.columns]
    for (head, template), cells in zip(table.columns, columns, strict=True):
        if not any(cells):
            raise SystemExit(f"{table.place}: no row has {template!r}, column {head!r}")
    lines = [f"| {' | '.join(head for head, _ in table.columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True)]
    return "\n".join(lines)


def filled(template: str, row: Row) -> str:
    """Fill a template, or give nothing if the row lacks a figure of it."""
    try:
        return Figures().vformat(template, (), row)
    except (KeyError, IndexError):
        return ""


def origin(measurement: Row) -> str:
    """Say how, when and on what something was measured."""
    return f"`{measurement['command']}` on {measurement['date']}: {machine_line(measurement['machine'])}."


def older_than(path: Path, measures: Sequence[str]) -> Iterator[str]:
    """Name what has changed since something was measured: its script, and modules of the package."""
    then = json.loads(path.read_text(encoding="utf-8")).get("code", {})
    now = digests_of(then, measures)
    yield from sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))


def digests_of(code: Mapping[str, str], measures: Sequence[str]) -> dict[str, str]:
    """Give digests, as they are now, of the script in `code` and of measured modules, by file or folder."""
    scripts = {name: digest(code_content(ROOT / name)) for name in code if name.startswith("scripts/")}
    modules = code_digests().items()
    return scripts | {name: of for name, of in modules if any(f"{name}/".startswith(f"{each}/") for each in measures)}


def trim(path: Path, measures: Sequence[str], *, is_new: bool = False) -> None:
    """Leave of a measurement's digests those of what it measures; if it counts as new, those of the code as it is."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if "code" in found:
        now = digests_of(found["code"], measures)
        code = now if is_new else {name: of for name, of in found["code"].items() if name in now}
        path.write_text(json.dumps(found | {"code": code}, indent=1) + "\n", encoding="utf-8")
