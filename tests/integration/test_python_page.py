"""The code of docs/tutorials/python.md runs as it stands there, one block after the other, on a small study."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from finished_runs import make_run
from forked_python import forked_python

import fly64dask as fly
from fly64dask.store import RunLayout

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.cluster]
# The tiny study with the demo's names of views; `sparse` keeps one exposure of each split, which is degenerate.
STUDY = tiny.TEXT.replace('"all"', '"baseline"').replace('"few"', '"dense"').replace('"one"', '"sparse"')
STRICT = "import warnings; warnings.simplefilter('error', FutureWarning)"


def blocks():
    return re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "tutorials" / "python.md").read_text(), re.DOTALL | re.MULTILINE
    )


def test_python_page_runs_as_it_stands(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo.toml").write_text(STUDY.replace('name = "tiny"', 'name = "demo"'))
    study = fly.Study.from_toml(tmp_path / "data" / "demo.toml")
    make_run(study, RunLayout(tmp_path / "runs" / "demo"))
    # Worker processes import the main module: what starts them stands below this line.
    lines = "\n".join(blocks()).replace("\n", "\n    ")
    (tmp_path / "page.py").write_text(f'{STRICT}\nif __name__ == "__main__":\n    {lines}\n')
    done = subprocess.run(
        [forked_python(), "page.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "<Run 'demo' in runs/demo: 8 completed, 4 failed>" in done.stdout
    assert "phase error against the truth rad" in done.stdout
    assert "degenerate_scan kept 1 of" in done.stdout
    assert "<Run 'demo' in runs/few: 2 completed" in done.stdout
    assert (tmp_path / "cell.png").stat().st_size > 10_000


def test_a_script_without_its_guard_fails_with_what_it_lacks_and_leaves_nothing(tmp_path):
    (tmp_path / "tiny.toml").write_text(tiny.TEXT)
    (tmp_path / "script.py").write_text(
        'import fly64dask as fly\nfly.run_study(fly.Study.from_toml("tiny.toml"), "run")\nprint("done")\n'
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=800
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("fly64dask.base.errors.ResourceError: start workers: a worker process ended before it was")
    assert 'put what starts a run below `if __name__ == "__main__":`' in last
    assert "InputError: run: called by a worker process" in done.stderr
    assert "another run is using it" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()
