"""The proof for a GPU runs on the CPU, small; a section that fails does not look as if it held."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from forked_python import forked_python

from fly64dask.base import installed_gpus

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.mark.slow
@pytest.mark.cluster
def test_smoke_runs_every_section_and_all_of_them_hold(tmp_path):
    found = tmp_path / "found.json"
    command = [forked_python(), SCRIPTS / "gpu_proof.py", "--smoke", "--json", found]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    sections = json.loads(found.read_text())["sections"]
    timeless = {"agreement", "unmodified", "checkpoints", "failures", "killed"}
    assert set(sections) == timeless | {"packed", "epochs", "slots", "memory", "full-card"}
    assert all(section["rows"] for section in sections.values())


@pytest.mark.skipif(bool(installed_gpus()), reason="there is a GPU here")
def test_proof_without_a_gpu_says_that_nothing_was_proven():
    command = [sys.executable, SCRIPTS / "gpu_proof.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 1
    assert "nothing was proven" in done.stderr


@pytest.fixture
def proof(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import gpu_proof

    return gpu_proof


def test_section_that_raises_keeps_what_it_had_found(proof, tmp_path, monkeypatch):
    (tmp_path / "section_of_test.py").write_text(
        "def fail(notes, folder):\n    notes.row(figure=1)\n    raise ValueError('as told')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(proof.SECTIONS, "fail", "section_of_test:fail")
    assert proof.run_section("fail", proof.Notes(tmp_path / "fail", "cpu", True)) == 1
    written = json.loads((tmp_path / "fail").read_text())
    assert (written["rows"], written["error"]) == ([{"figure": 1}], "ValueError: as told")


@pytest.mark.parametrize(
    ("code", "found", "needed", "holds"), [(0, 1.0, 1.0, True), (0, 2.0, 1.0, False), (3, 1.0, 1.0, False)]
)
def test_end_takes_a_section_by_its_exit_code_and_its_expectations(proof, tmp_path, capsys, code, found, needed, holds):
    proof.Notes(tmp_path / "one", "cpu", True).most("a figure", found, needed)
    (tmp_path / "one.log").write_text("what it said")
    process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"], start_new_session=True)
    assert proof.end("one", process, tmp_path, time.monotonic() + 300)["holds"] is holds
    assert ("what it said" in capsys.readouterr().out) is not holds


def test_end_ends_a_section_that_takes_too_long(proof, tmp_path):
    (tmp_path / "long.log").write_text("")
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    found = proof.end("long", process, tmp_path, time.monotonic())
    assert (found["holds"], found["exit_code"]) == (False, -9)
