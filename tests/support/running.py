"""A study that runs in a process of its own, slowly enough to be watched: the engine of the tests, real workers."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny
from command_line import Command, Wishes
from faulty_engine import ENGINE, EPOCH_S, FOLDER, tell
from forked_python import forked_python
from process_families import kill_family

from fly64dask.store import RunLayout

SUPPORT = Path(__file__).parent
PATHS = os.pathsep.join([str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])])
# 18 cells, the six of view `one` degenerate.
MATRIX = tiny.TEXT.replace("[1e4, 1e5]", "[1e3, 1e4, 1e5]").replace("n_epochs = 3", "n_epochs = 6")


@dataclass(frozen=True, slots=True)
class Running:
    """A run under way; `folder` is where its engine is told what to do."""

    folder: Path
    process: Command
    layout: RunLayout
    said: Path

    def address(self, page: str) -> str:
        """Of a page on its dashboard, once it has said where that is."""
        self.wait_for(lambda: "matrix: " in self.said.read_text())
        found = re.search(r"^matrix: (http://127\.0\.0\.1:\d+)/fly64$", self.said.read_text(), re.MULTILINE)
        assert found, self.said.read_text()
        return f"{found[1]}/{page}"

    def get(self, page: str) -> str:
        """What a page answers."""
        with urllib.request.urlopen(self.address(page), timeout=120) as answer:
            return answer.read().decode()

    def state(self) -> dict[str, Any]:
        """What its own page shows."""
        return json.loads(self.get("fly64/state.json"))

    def wait_for(self, happened: Callable[[], Any], seconds: float = 300) -> None:
        """Wait for something while it runs."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert self.process.poll() is None, f"it ended first: {self.said.read_text()}"
            assert time.monotonic() < deadline, self.said.read_text()
            time.sleep(0.05)

    def tell(self, faults: Mapping[str, str | int | None]) -> None:
        """Say what is to happen to cells from now on, as `faulty_engine` has it."""
        tell(self.folder, faults)

    def kill(self) -> None:
        """End the command and all it has started, as a power cut would."""
        kill_family(self.process.pid)
        self.process.wait()


@contextmanager
def running(
    folder: Path,
    *,
    study: str = MATRIX,
    faults: Mapping[str, str | int | None] | None = None,
    epoch_s: float = 0.4,
    where: str = "local",
    engine: str = ENGINE,
) -> Iterator[Running]:
    """Run a study below a folder for as long as the block lasts; its faults are those of `faulty_engine`."""
    folder.mkdir(exist_ok=True)
    tell(folder, faults or {})
    (folder / "study.toml").write_text(study)
    said, out = folder / "said", folder / "run"
    process = Command(
        *("run_with_faulty_engine", folder / "study.toml", out, where, engine),
        stdout=Path(os.devnull),
        stderr=said,
        environment={"PYTHONPATH": PATHS, FOLDER: str(folder), EPOCH_S: str(epoch_s)},
        wishes=Wishes(python=forked_python()),
    )
    found = Running(folder, process, RunLayout(out), said)
    try:
        yield found
    finally:
        if process.poll() is None:
            found.kill()
