"""The commands `schema` and `glossary`: what the keys of files mean, and the words of this program."""

from __future__ import annotations

import click

from fly64dask.base import GLOSSARY, Frozen, InputError
from fly64dask.cli.options import example, print_json
from fly64dask.study import Study


@click.command(epilog=example("fly64dask schema manifest > manifest.schema.json"))
@click.argument(
    "document",
    type=click.Choice(
        ["study", "cluster-file", "manifest", "skip-summary", "record", "comparison", "limits", "report"]
    ),
    default="study",
)
def schema(document: str) -> None:
    """Print the JSON schema of a file.

    The file is a study or cluster file, a file in a run directory, or a report's content; without a name it is a study.
    """
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
    elif document == "cluster-file":
        from fly64dask.deploy.slurm import SlurmFile

        print_json(SlurmFile.model_json_schema())
    elif document == "report":
        print_json(ReportContent.model_json_schema(mode="serialization"))
    else:
        print_json(Study.model_json_schema())


@click.command(epilog=example("fly64dask glossary cell view split"))
@click.argument("words", nargs=-1, metavar="[WORD]...")
def glossary(words: tuple[str, ...]) -> None:
    """Print what the words of this program mean.

    Such words are cell, view, dose and floor; without WORD all of them are printed.
    """
    unknown = [word for word in words if word.lower() not in GLOSSARY]
    if unknown:
        raise InputError(
            f"explain {unknown[0]!r}: it is not in the glossary, which has {', '.join(GLOSSARY)}",
            remedy="give one of these, in quotes if it has a blank",
        )
    formatter = click.HelpFormatter(width=100)
    formatter.write_dl([(word, GLOSSARY[word].meaning) for word in map(str.lower, words or GLOSSARY)])
    click.echo(formatter.getvalue(), nl=False)
