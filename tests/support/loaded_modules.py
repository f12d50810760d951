"""The libraries that a program has loaded by its end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

END = "\nimport json, sys\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def loaded_by(program: str) -> set[str]:
    """Run a program in a new interpreter, and give the top-level modules that it has loaded."""
    done = subprocess.run([sys.executable, "-c", program + END], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def loaded_by_status(root: Path) -> set[str]:
    """Give what `fly64dask status` of a run loads."""
    return loaded_by(f"from fly64dask.cli.main import cli\ncli(['status', {str(root)!r}], standalone_mode=False)")
