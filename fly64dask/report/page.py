"""Makes one self-contained HTML page of a report's content and the table that it offers to download."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING

from fly64dask.base import GLOSSARY, utc_now
from fly64dask.report.columns import FlatRow
from fly64dask.report.content import ReportContent
from fly64dask.report.table import TableColumns, cell_columns, csv_bytes, parquet_bytes

if TYPE_CHECKING:
    from fly64dask.report.several.content import RunsContent

# The `tojson` of templates escapes what could end the script element; here it also refuses NaN and keeps the order.
JSON_OPTIONS = {"allow_nan": False, "separators": (",", ":"), "sort_keys": False}
# In the order of the page: `use strict` first, and last the script that draws the page.
SHARED_SCRIPTS = ("answer.js", "limit_curves.js", "drawing.js", "keep.js", "keyboard.js", "matrix.js")
SCRIPTS = {
    "report": (*SHARED_SCRIPTS, "outcome.js", "frames.js", "pictures.js", "cell.js", "table.js", "report.js"),
    "runs": (*SHARED_SCRIPTS, "runs.js"),
}
# Words of the glossary that the page uses.
WORDS = (
    *("cell", "dose", "fluence", "view", "split", "repeat", "recipe", "setup", "linear overlap", "illuminated area"),
    *("truth", "phase error", "empty object", "floor", "ring correlation", "resolution", "half set", "reference"),
    *("target", "limit", "guard", "underdetermined", "remedy", "manifest"),
)

OF_ONE_RUN = ("illuminated area", "half set", "guard", "manifest")


def render_page(content: ReportContent, flat_rows: Sequence[FlatRow]) -> str:
    """Join the content, the rows of the table for download, style and scripts to one page of HTML.

    The policy of the page lets nothing be loaded and only its own scripts run, whatever names and messages of the run
    contain; these are passed as JSON and always set as text.
    """
    columns = cell_columns(flat_rows)
    return _page(
        "report",
        content,
        WORDS,
        csv=base64.b64encode(csv_bytes(columns)).decode(),
        parquet=_parquet(content, columns),
    )


def render_runs_page(content: RunsContent) -> str:
    """Join content, style and script of several runs to one page of HTML, under the same policy."""
    return _page("runs", content, [word for word in WORDS if word not in OF_ONE_RUN])


def page_time() -> str:
    """Write the time now, to the second: `2026-11-28 09:30:00 UTC`."""
    return utc_now()[:19].replace("T", " ") + " UTC"


def _page(name: str, content: ReportContent | RunsContent, words: Iterable[str], **values: object) -> str:
    """Fill the template of a page with its content, style and scripts."""
    style = _file("monitoring.dashboard", "page.css") + _file("report", "report.css")
    script = "".join(_file("report", script) for script in SCRIPTS[name])
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return render_template(
        f"{name}.html",
        study=content.study,
        policy=policy,
        style=style,
        script=script,
        words={word: GLOSSARY[word] for word in words},
        content=content.model_dump(mode="json", exclude_none=True),
        **values,
    )


def _parquet(content: ReportContent, columns: TableColumns) -> str | None:
    """Encode the table as Parquet in base64; None if pyarrow is not installed, and the page then offers CSV alone."""
    if importlib.util.find_spec("pyarrow") is None:
        return None
    return base64.b64encode(parquet_bytes(content.provenance.study, columns)).decode()


def render_template(name: str, **values: object) -> str:
    """Fill a template of the folder `web`; values are escaped unless it says `safe`, and one that is missing is an
    error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fly64dask.report", "web"), autoescape=True, undefined=StrictUndefined
    )
    environment.policies["json.dumps_kwargs"] = JSON_OPTIONS
    return environment.get_template(name).render(**values)


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _file(package: str, name: str) -> str:
    """Read a static file as text; the page of a run under way and the report share their colours."""
    return resources.files(f"fly64dask.{package}").joinpath("web", name).read_text(encoding="utf-8")
