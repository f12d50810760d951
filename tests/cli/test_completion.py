"""Shells complete commands, options, values and paths."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

# Bash's own variables and answer, as it calls the function that completes a word.
COMPLETE = """
eval "$(fly64dask completion bash)"
COMP_WORDS=(fly64dask "$@")
COMP_CWORD=$#
_fly64dask_completion fly64dask
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def completed(tmp_path: Path):
    """What bash offers for the last of some words, in an empty directory with one study file."""
    program, script = tmp_path / "bin" / "fly64dask", tmp_path / "script" / "fly64dask"
    for path in (program, script):
        path.parent.mkdir()
    script.write_text("from fly64dask.cli.main import main\nmain()\n")
    # Not by `#!`, which takes no space in Python's path.
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(script))} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.toml").touch()
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}

    def of(*words: str) -> set[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", COMPLETE, "bash", *words],
            cwd=tmp_path / "here",
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return set(done.stdout.split())

    return of


def test_bash_completes_commands(completed):
    assert completed("re") == {"report", "rerun"}


def test_bash_completes_values_of_an_option(completed):
    assert completed("run", "--device", "c") == {"cpu", "cuda"}


def test_bash_completes_options(completed):
    assert "--template" in completed("new", "--")


@pytest.mark.parametrize(
    ("shell", "words"),
    [("zsh", "compdef _fly64dask_completion fly64dask"), ("fish", "complete --no-files --command fly64dask")],
)
def test_other_shells_get_a_script_of_their_own(fly64dask, shell: str, words: str):
    assert words in fly64dask("completion", shell).stdout
