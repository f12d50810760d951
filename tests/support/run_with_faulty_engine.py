"""`fly64dask run` as a program, but with an engine of the tests: it starts in a second, as it needs no torch."""

from __future__ import annotations

import sys
from pathlib import Path

from faulty_engine import ENGINE

from fly64dask.deploy import Placement
from fly64dask.runs import run_study
from fly64dask.study import Study

if __name__ == "__main__":
    study, out, where, *engines = sys.argv[1:]
    report = run_study(
        Study.from_toml(Path(study)),
        out,
        placement=Placement(where=where, n_workers=2),
        say=lambda line: print(line, file=sys.stderr, flush=True),
        engine=engines[0] if engines else ENGINE,
    )
    sys.exit(report.n_failed(allow_missing=False) > 0)
