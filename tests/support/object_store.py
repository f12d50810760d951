"""A real S3 server on loopback, for the tests that push and pull runs.

`FLY64DASK_TEST_S3=http://127.0.0.1:8333` has them use a server that runs there instead of moto's: with an empty bucket
`bucket`, which user `nobody` with the key `nothing` may use.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from free_ports import free_ports

START_S = 120.0
GIVEN = "FLY64DASK_TEST_S3"


@contextmanager
def s3_server() -> Iterator[Mapping[str, str]]:
    """Start moto's server with a bucket `bucket`, unless one is given; gives the environment by which it is reached."""
    if GIVEN in os.environ:
        yield _variables(os.environ[GIVEN])
        return
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        with urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT"), timeout=60):
            pass
        yield _variables(address)
    finally:
        server.terminate()
        server.wait()


def _variables(address: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
    }


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for as long as the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert server.poll() is None, "the S3 server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the S3 server did not answer within {START_S:.0f} s")


class Gate:
    """A door on loopback before a server, that can be shut: then nobody answers, and who was being answered is cut off.

    It is open when its block begins.
    """

    def __init__(self, address: str) -> None:
        self._port = int(address.rpartition(":")[2])
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._is_open = threading.Event()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Gate:
        self._is_open.set()
        self._threads.append(threading.Thread(target=self._serve, daemon=True))
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # which ends the wait of the thread that accepts
        self._threads[0].join()  # no more of them come
        self.shut()
        for thread in self._threads:
            thread.join()
        for end in (self._listening, *itertools.chain(*self._pairs)):
            end.close()

    def shut(self) -> None:
        """Cut off everybody, and whoever comes until it is opened."""
        self._is_open.clear()
        for pair in list(self._pairs):
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Let everybody through again."""
        self._is_open.set()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the end of the block
            while True:
                client = self._listening.accept()[0]
                if not self._is_open.is_set():
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._port))
                self._pairs.add((client, server))
                for pair in ((client, server), (server, client)):
                    self._threads.append(threading.Thread(target=_pass_on, args=pair, daemon=True))
                    self._threads[-1].start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
