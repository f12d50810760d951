"""What is stored of an installation is what Git and the installed metadata say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fly64dask.base import software_versions
from fly64dask.base.provenance import source_commit

ROOT = Path(__file__).resolve().parents[2]


def test_source_commit_is_the_checkouts_head():
    if not (ROOT / ".git").exists():
        pytest.skip("not run from a Git checkout")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert (source_commit() or "").removesuffix("+changes") == head


def test_software_versions_name_the_code_that_runs_whatever_the_installed_metadata_say():
    code = (ROOT / "fly64dask" / "base" / "version.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', code, re.MULTILINE)
    assert software_versions()["fly64dask"] == version


def test_software_versions_are_those_that_the_libraries_tell():
    assert software_versions()["numpy"] == np.__version__
