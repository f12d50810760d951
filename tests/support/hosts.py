"""Hosts of a network on this machine: a network namespace for each, joined by a cable that can be pulled.

A host has its own addresses, and may have a clock that is wrong (libfaketime) and a slow file system (`poor_host`). The
files are those of this machine, as on hosts that share a file system.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent
LIBRARY = "/usr/lib/*/faketime/libfaketime.so.1"
ADDRESSES = ("10.64.0.1", "10.64.0.2")  # nothing else is reached in a namespace, so any will do


def clock_library() -> Path | None:
    """The library that makes a process's clock wrong, of Debian's package libfaketime."""
    return next(Path("/").glob(LIBRARY.lstrip("/")), None)


@dataclass(frozen=True, slots=True)
class Host:
    """One of two hosts: the name of its namespace, and its address."""

    name: str
    address: str

    @property
    def namespace(self) -> Path:
        """The file that stands for its namespace."""
        return Path("/run/netns", self.name)

    def pull(self) -> None:
        """Pull the cable out."""
        _ip("-n", self.name, "link", "set", "cable", "down")

    def plug(self) -> None:
        """Plug the cable in again."""
        _ip("-n", self.name, "link", "set", "cable", "up")

    @contextlib.contextmanager
    def shell(
        self,
        command: str,
        log: Path,
        *,
        clock_off_s: int = 0,
        slow_folder: Path | None = None,
        slow_s: float = 0.0,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command in a shell of the host, all of it ended with the block.

        `clock_off_s` is how wrong its clock is; each access below a slow folder takes `slow_s` longer.
        """
        variables = {**os.environ, **(environment or {})}
        variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # Python imports `sitecustomize` as it starts.
        variables["PYTHONPATH"] = os.pathsep.join([str(SUPPORT / "poor_host"), variables.get("PYTHONPATH", "")])
        if clock_off_s:
            variables |= {"LD_PRELOAD": str(clock_library()), "FAKETIME": f"{clock_off_s:+d}"}
            # Files have the times of their file system, and a monotonic clock shows no time of day.
            variables |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
        if slow_folder is not None:
            variables["FLY64DASK_TEST_SLOW"] = f"{slow_s}:{slow_folder}"
        with log.open("wb") as stream:
            words = ["ip", "netns", "exec", self.name, "sh", "-c", command]
            process = subprocess.Popen(words, env=variables, stdout=stream, stderr=stream, start_new_session=True)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Join two hosts by a cable for as long as the block lasts; in CI it is an error if there can be none."""
    missing = _missing()
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs hosts: {missing}")
        pytest.skip(f"no hosts here: {missing}")
    names = [f"fly64-{uuid.uuid4().hex[:6]}-{number}" for number in (1, 2)]
    hosts = tuple(Host(name, address) for name, address in zip(names, ADDRESSES, strict=True))
    try:
        for host in hosts:
            _ip("netns", "add", host.name)
        one, other = names
        _ip("-n", one, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", other)
        for host in hosts:
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "cable")
            _ip("-n", host.name, "link", "set", "lo", "up")
            host.plug()
        yield hosts[0], hosts[1]
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "delete", host.name], check=False, capture_output=True)


def _missing() -> str:
    """What is not there of what hosts need; empty if all is."""
    if shutil.which("ip") is None:
        return "ip of Debian's iproute2 is not found"
    if clock_library() is None:
        return f"{LIBRARY} of Debian's libfaketime is not found"
    made = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True, text=True)
    return made.stderr.strip()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)
