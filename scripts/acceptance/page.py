"""Writes the generated parts of docs/explanation/acceptance.md, which stand between markers, and its figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from acceptance.figures import draw
from acceptance.results import CellValue, Claim, Result, Spread, Table, shown_number

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "acceptance.md"
PICTURES = ROOT / "docs" / "pictures" / "acceptance"
RESULTS = ROOT / "data" / "studies" / "results"
SUMMARY = "summary"


def write_page(results: Mapping[str, Result], page: Path = PAGE, pictures: Path = PICTURES) -> None:
    """Put the tables of all results into their places on a page, and draw the figure of each."""
    text = page.read_text(encoding="utf-8")
    for name, part in parts(results).items():
        text = with_part(text, name, part)
    page.write_text(text, encoding="utf-8")
    for result in results.values():
        if result.finding.panels:
            draw(result.finding.panels, pictures / f"{result.study}.png")


def parts(results: Mapping[str, Result]) -> dict[str, str]:
    """Give each generated part of the page by its name: the summary, and one for each result."""
    return {SUMMARY: summary(list(results.values()))} | {name: section(each) for name, each in results.items()}


def part_of(text: str, name: str) -> str:
    """Read a generated part of a page."""
    found = re.search(pattern(name), text, re.DOTALL)
    if found is None:
        raise ValueError(f"the page has no part {name!r}: add the lines `<!-- {name} -->` and `<!-- end of {name} -->`")
    return found[1]


def with_part(text: str, name: str, part: str) -> str:
    """Replace a generated part of a page."""
    part_of(text, name)
    return re.sub(pattern(name), lambda _: f"<!-- {name} -->\n{part}\n<!-- end of {name} -->", text, flags=re.DOTALL)


def pattern(name: str) -> str:
    """Match the markers of a part and what stands between."""
    return rf"<!-- {name} -->\n(.*?)\n?<!-- end of {name} -->"


def summary(results: Sequence[Result]) -> str:
    """List the studies with their verdicts, cells and the sum of the cells' wall times."""
    lines = ["| study | as published | not as published | cells | their minutes |", "|---|---|---|---|---|"]
    for result in results:
        verdicts = [claim.verdict for claim in result.finding.claims]
        agreeing, other = (verdicts.count(word) for word in ("as published", "not as published"))
        lines.append(
            f"| [{result.title}](#{result.title.lower().replace(' ', '-')}) | {agreeing or '-'} | {other or '-'} | "
            f"{result.n_cells} | {result.cell_seconds / 60:.1f} |"
        )
    if results:
        minutes = sum(result.cell_seconds for result in results) / 60
        lines += [
            "",
            f"One after the other, their cells took {minutes:.0f} minutes; two workers take half of that.",
            "",
        ]
        lines.append(f"Made on {results[0].made_on}.")
    return "\n".join(lines)


def section(result: Result) -> str:
    """Write the claims and the tables of a result."""
    made = f"{result.n_cells} cells, {result.cell_seconds / 60:.1f} minutes of one worker"
    failed = f", {result.n_failed} of them without a reconstruction" if result.n_failed else ""
    parts = [claims_table(result.finding.claims), *map(table, result.finding.tables), f"{made}{failed}."]
    return "\n\n".join(parts)


def claims_table(claims: Sequence[Claim]) -> str:
    """Write claims as a table, the published number beside ours."""
    lines = ["| published | source | here | bar | |", "|---|---|---|---|---|"]
    for each in claims:
        verdict = {"as published": "✔ as published", "not as published": "✘ **not as published**", "no bar": ""}
        row = (each.published, each.source, each.ours, each.rule, verdict[each.verdict])
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def table(of: Table) -> str:
    """Write a table in Markdown."""
    lines = [f"| {' | '.join(of.columns)} |", "|" + "---|" * len(of.columns)]
    lines += [f"| {' | '.join(map(shown, row))} |" for row in of.rows]
    return "\n".join(lines)


def shown(value: CellValue) -> str:
    """Write a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, Spread | str | int):
        return str(value)
    return shown_number(value)
