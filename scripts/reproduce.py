"""Run the acceptance studies: published results on dose and overlap, each beside what this program gives.

    python scripts/reproduce.py --list           # what there is
    python scripts/reproduce.py fractionation    # one study; its run and its result are in runs/acceptance
    python scripts/reproduce.py all --page       # all of them, and docs/explanation/acceptance.md from what they gave

A study that was interrupted goes on where it was. The results of the usual sizes are committed in data/studies/results,
from which `--page` alone writes the page again without a run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from acceptance.page import RESULTS, ROOT, write_page
from acceptance.results import Result, read_result, write_result
from acceptance.studies import STUDIES, AcceptanceStudy, SizeName

from fly64dask import Run, open_run, run_study
from fly64dask.study import cells, skip_reasons

sys.path.insert(0, str(Path(__file__).with_name("bench")))
from measuring import machine, machine_line


def main() -> int:
    """Run what the command line names; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", choices=[*STUDIES, "all"], metavar="NAME", help="of a study, or all")
    parser.add_argument("--list", action="store_true", help="names and titles of the studies")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "acceptance", help="directory of the runs")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="more repeats, doses and epochs: for a GPU, or a night")
    size.add_argument(
        "--quick", action="store_true", help="a few epochs, to see that it works; its numbers say nothing"
    )
    parser.add_argument("--reduce", action="store_true", help="reduce the runs that are there, and run nothing")
    parser.add_argument(
        "--page", action="store_true", help="keep the results in data/studies/results and write the page"
    )
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(f"{study.name:14} {study.title}" for study in STUDIES.values()))
        return 0
    if arguments.study is None and not arguments.page:
        parser.error("give the name of a study, all, --list or --page")
    if arguments.page and (arguments.full or arguments.quick):
        parser.error("the page is of the usual sizes; leave --full and --quick out")
    sizes: SizeName = "full" if arguments.full else "quick" if arguments.quick else "usual"
    chosen = STUDIES if arguments.study == "all" else [arguments.study] if arguments.study else []
    failed = 0
    for name in chosen:
        result = reproduce(STUDIES[name], arguments.out / sizes, sizes, is_reduced_alone=arguments.reduce)
        print(f"{result.title}: {write_result(result, arguments.out / sizes)}")
        for claim in result.finding.claims:
            print(f"  {claim.verdict}: {claim.ours} (published: {claim.published}; {claim.source})")
        failed += result.n_failed
        if arguments.page:
            write_result(result, RESULTS)
    if arguments.page:
        write_page(committed_results())
    return 1 if failed else 0


def reproduce(study: AcceptanceStudy, out: Path, sizes: SizeName, *, is_reduced_alone: bool) -> Result:
    """Run the files of a study, or continue them, and reduce their runs."""
    runs: dict[str, Run] = {}
    states: list[str] = []
    for name, (each, filters) in study.runs(sizes).items():
        run = open_run(out / name) if is_reduced_alone else run_study(each, out / name, filters=filters, progress=True)
        left_out, found = skip_reasons(each, filters), run.states
        states += [found[cell] for cell in cells(each) if cell not in left_out]
        runs[name] = run
    return Result(
        study=study.name,
        title=study.title,
        sizes=sizes,
        cell_seconds=sum(float(run.table()["seconds"].sum()) for run in runs.values()),
        n_cells=len(states),
        n_failed=sum(state not in ("completed", "skipped") for state in states),
        made_on=machine_line(machine()),
        finding=study.reduce(runs),
    )


def committed_results() -> dict[str, Result]:
    """Read the results that the page is written of, in the order of the studies."""
    paths = {name: RESULTS / f"{name}.json" for name in STUDIES}
    return {name: read_result(path) for name, path in paths.items() if path.exists()}


if __name__ == "__main__":
    sys.exit(main())
