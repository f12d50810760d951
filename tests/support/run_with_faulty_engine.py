"""`fly64dask run` as a program, but with an engine of the tests: it starts in a second, as it needs no torch.

A run at an object store takes the lock of another machine as soon as FLY64DASK_TEST_LEASE_S seconds say.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from faulty_engine import ENGINE

from fly64dask.deploy import LOOPBACK_ONLY, Access, Placement
from fly64dask.monitoring import ignore_event
from fly64dask.runs import run_study
from fly64dask.runs.remote import Patience, run_at_store
from fly64dask.store import is_url
from fly64dask.study import Study

LEASE_S = "FLY64DASK_TEST_LEASE_S"
DEFAULTS = (ENGINE, LOOPBACK_ONLY.listen)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    study, out, where, *further = sys.argv[1:]
    engine, listen = (*further, *DEFAULTS[len(further) :])
    placement = Placement(where=where, n_workers=2, access=Access(listen=listen))
    asked = {"placement": placement, "engine": engine, "say": say}
    study = Study.from_toml(Path(study))
    with contextlib.ExitStack() as stack:
        if is_url(out) and LEASE_S in os.environ:
            patience = Patience(lease_s=float(os.environ[LEASE_S]))
            mirror = stack.enter_context(run_at_store(out, study.name, say=say, patience=patience))
            out, asked["notify"] = mirror.layout.root, mirror.watching(ignore_event)
        report = run_study(study, out, **asked)
    sys.exit(report.n_failed(allow_missing=False) > 0)
