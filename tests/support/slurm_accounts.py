"""Accounts of a real Slurm: a database of its own, slurmdbd, and one user with one account; loopback only."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ACCOUNT = "project"
PROGRAMS = ("slurmdbd", "mariadbd", "mariadb", "mariadb-install-db", "sacctmgr", "sacct")


def missing_programs() -> list[str]:
    """What accounts need that is not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path="/usr/bin:/usr/sbin") is None]


def account_settings(folder: Path, port: int) -> str:
    """Lines of slurm.conf with which Slurm keeps accounts, and to their limits."""
    return f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations,limits,qos
"""


@contextmanager
def accounts(folder: Path, environment: dict[str, str], port: int, database_port: int) -> Iterator[None]:
    """Keep accounts for as long as the block lasts; munge runs already, and the environment has SLURM_CONF."""
    with _database(folder, environment, database_port), _daemon(folder, environment, port, database_port):
        for words in (("cluster", "lab"), ("account", ACCOUNT), ("user", getpass.getuser(), f"account={ACCOUNT}")):
            subprocess.run(("sacctmgr", "-i", "add", *words), env=environment, check=True, capture_output=True)
        yield


@contextmanager
def _database(folder: Path, environment: dict[str, str], port: int) -> Iterator[None]:
    data, user = folder / "database", getpass.getuser()
    make = ("mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db")
    subprocess.run((*make, f"--user={user}", f"--datadir={data}"), env=environment, check=True, capture_output=True)
    server = ("mariadbd", "--no-defaults", f"--user={user}", f"--datadir={data}", f"--socket={folder}/database.socket")
    server += ("--bind-address=127.0.0.1", f"--port={port}", f"--pid-file={folder}/database.pid")
    grants = "CREATE USER slurm@'127.0.0.1' IDENTIFIED BY 'x'; GRANT ALL ON *.* TO slurm@'127.0.0.1'"
    client = ("mariadb", "--no-defaults", f"--socket={folder}/database.socket", "--user=root", f"--execute={grants}")
    with _process(server, folder / "log" / "database.log", environment):
        _until(lambda: subprocess.run(client, env=environment, capture_output=True, check=False).returncode == 0)
        yield


@contextmanager
def _daemon(folder: Path, environment: dict[str, str], port: int, database_port: int) -> Iterator[None]:
    conf = folder / "slurmdbd.conf"
    conf.write_text(
        f"""\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={socket.gethostname().split(".")[0]}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={getpass.getuser()}
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass=x
StorageLoc=accounts
"""
    )
    conf.chmod(0o600)
    with _process(("slurmdbd", "-D"), folder / "log" / "slurmdbd.log", environment):
        _until(lambda: _answers(port))
        yield


@contextmanager
def _process(command: tuple[str, ...], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("w") as stream, subprocess.Popen(command, env=environment, stdout=stream, stderr=stream) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=120)


def _answers(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0


def _until(done) -> None:
    deadline = time.monotonic() + 300
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)
