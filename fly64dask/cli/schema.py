"""The command `schema`: the JSON schemas of the files that a person or a script reads and writes."""

from __future__ import annotations

import click

from fly64dask.base import Frozen
from fly64dask.cli.options import example, print_json
from fly64dask.study import Study


@click.command(epilog=example("fly64dask schema manifest > manifest.schema.json"))
@click.argument(
    "document",
    type=click.Choice(["study", "manifest", "skip-summary", "record", "comparison", "limits", "report"]),
    default="study",
)
def schema(document: str) -> None:
    """Print the JSON schema of a study file, of a file in a run directory, or of what a report's page carries."""
    from fly64dask.records import Answer, CellRecord, Manifest, SkipSummary
    from fly64dask.report import ReportContent
    from fly64dask.runs import RunComparison
    from fly64dask.store import document_schema

    written: dict[str, type[Frozen]] = {
        "manifest": Manifest,
        "skip-summary": SkipSummary,
        "record": CellRecord,
        "comparison": RunComparison,
        "limits": Answer,
    }
    if document in written:
        print_json(document_schema(written[document]))
    elif document == "report":
        print_json(ReportContent.model_json_schema(mode="serialization"))
    else:
        print_json(Study.model_json_schema())
