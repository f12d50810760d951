"""The command `limits`: how low dose and overlap can go in a run before its cells miss a target."""

from __future__ import annotations

from typing import Any

import click
from pydantic import ValidationError

from fly64dask.cli.options import example, json_option, print_json, runs_records_argument
from fly64dask.store import RunLayout
from fly64dask.study import Target


class TargetType(click.ParamType[Any]):
    """The type of a target: `KEY=VALUE`, with further keys after commas."""

    name = "key=value"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse one --target."""
        if isinstance(value, Target):
            return value
        pairs = [part.partition("=") for part in str(value).split(",")]
        if not all(name and mark and text for name, mark, text in pairs):
            self.fail(f"{value!r} is not KEY=VALUE, such as resolution_px=3,share=0.8", param, ctx)
        unknown = [name.strip() for name, _, _ in pairs if name.strip() not in Target.model_fields]
        if unknown:
            self.fail(f"{unknown[0]!r} is not one of {', '.join(Target.model_fields)}", param, ctx)
        try:
            return Target.model_validate({name.strip(): text.strip() for name, _, text in pairs})
        except ValidationError as error:
            faults = "; ".join(_fault(fault["loc"], fault["msg"]) for fault in error.errors())
            self.fail(f"{value!r}: {faults}", param, ctx)


def _fault(location: tuple[int | str, ...], message: str) -> str:
    key = ".".join(map(str, location))
    words = message.removeprefix("Value error, ")
    return f"{key}: {words}" if key else words


@click.command(
    epilog=example(
        "fly64dask limits runs/demo --target resolution_px=3 --target phase_error_rad=0.05,share=0.8",
        "fly64dask limits runs/short runs/long --target phase_error_rad=0.05",
    )
)
@runs_records_argument
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=TargetType(),
    metavar="KEY=VALUE[,...]",
    help="Instead of the study's [[targets]]: resolution_px, resolution_nm, phase_error_rad or error_over_floor; "
    "then criterion, against and share as in a study. Repeatable.",
)
@json_option
def limits(layouts: list[tuple[str, RunLayout]], targets: tuple[Target, ...], as_json: bool) -> None:
    """Find how low dose and overlap can go in a run, or in several runs beside each other.

    The dose is that of each view, and the overlap is that at equal fluence.

    A limit lies between the last dose that misses the target and the first that reaches it, interpolated in logarithms.
    The interval in brackets comes from the spread of the repeats and holds the limit in 90 of 100 cases. Without
    repeats there is no interval, and the two doses are named instead.

    Of several runs each limit is found in the cells of its run alone, for the targets of all studies. The settings in
    which the studies differ come first.
    """
    from fly64dask.runs import run_or_runs

    answer = run_or_runs(layouts).limits(*targets)
    if as_json:
        print_json(answer.model_dump(mode="json", exclude_none=True))
        return
    from fly64dask.cli.terminal import differing_table, limits_table, make_console, print_lines

    console = make_console()
    if answer.differing:
        console.print(differing_table(answer.differing, answer.runs))
    print_lines(console, answer.notes)
    for target_limits in answer.targets:
        console.print(limits_table(target_limits, answer.dose_by))
        print_lines(console, target_limits.sentences)
