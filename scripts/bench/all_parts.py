"""Everything that is measured on a CPU, in one run: the matrix against four other ways, store, selection, the commands.

    make bench                                  # all of it, some 20 minutes on two quiet cores
    python scripts/bench/all_parts.py --quick            # small studies, one round, 4 minutes: for a look
    python scripts/bench/all_parts.py --part selection    # one part; repeatable

It writes `bench.json` and `bench.md` (`--out FOLDER`, `.bench` if not given) and prints the latter. Nothing
is a test: a figure that misses its bar is shown as such, and only ways that disagree on the result end it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matrix
import selection
import store
from measuring import ROOT, Bar, bars_json, bars_table, machine, machine_line

Part = tuple[Callable[..., dict[str, Any]], Callable[[dict[str, Any]], str], Callable[[dict[str, Any]], list[Bar]], int]
# Of the matrix. The slow ways take minutes each: `matrix.py` by itself runs them as often as ours.
ROUNDS = {
    10: {matrix.LOOP: 4, "naive dask": 2, "snakemake -j2": 2, "one process per cell": 1},
    25: {matrix.LOOP: 1},
    50: {matrix.LOOP: 1},
}
# What measures, what shows, what has to be reached, and rounds.
PARTS: dict[str, Part] = {
    "matrix": (partial(matrix.measure, rounds=ROUNDS), matrix.report, matrix.bars, 4),
    "store": (store.measure, store.report, store.bars, 3),
    "selection": (selection.measure, selection.report, selection.bars, 3),
}


def main() -> None:
    """Run the benchmarks, write and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small studies, one round")
    parser.add_argument("--part", action="append", choices=sorted(PARTS), help="only this; repeatable")
    parser.add_argument("--out", type=Path, default=ROOT / ".bench", help="folder for bench.json and bench.md")
    arguments = parser.parse_args()
    facts = machine()
    found = {}
    for name, (measure, _, _, n_rounds) in PARTS.items():
        if name in (arguments.part or PARTS):
            found[name] = measure(n_rounds=1 if arguments.quick else n_rounds, quick=arguments.quick)
    arguments.out.mkdir(parents=True, exist_ok=True)
    text, document = summary(facts, found, quick=arguments.quick)
    (arguments.out / "bench.json").write_text(json.dumps(document, indent=2))
    (arguments.out / "bench.md").write_text(text)
    print(text)


def summary(facts: dict[str, Any], found: dict[str, dict[str, Any]], *, quick: bool) -> tuple[str, dict[str, Any]]:
    """Put the parts together.

    Parameters
    ----------
    facts : dict
        The machine.
    found : dict of str to dict
        Figures of each part.
    quick : bool
        Whether they are only for a look.

    Returns
    -------
    text : str
        Markdown: the machine, the table of bars, each part's own.
    document : dict
        The same for programs.
    """
    bars = [bar for name, figures in found.items() for bar in PARTS[name][2](figures)]
    note = "Quick: small studies and one round; for a look, not for a table.\n\n" if quick else ""
    parts = [f"## {name}\n{PARTS[name][1](figures)}" for name, figures in found.items()]
    text = f"{machine_line(facts)}\n\n{note}{bars_table(bars)}\n\n" + "\n".join(parts)
    return text, {"machine": facts, "quick": quick, "bars": bars_json(bars), **found}


if __name__ == "__main__":
    main()
