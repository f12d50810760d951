"""A real Slurm of two nodes on this machine: its own daemons, ports and folder, loopback only, nothing under /etc."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from free_ports import free_ports
from slurm_accounts import account_settings, accounts

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
NODES = ("n0", "n1")
# A GPU must be a character device that exists: then --gres=gpu:1 works and CUDA_VISIBLE_DEVICES is set.
DEVICES = ("/dev/null",)
START_S, END_S = 300.0, 120.0  # a machine may be ten times slower than ours
WITHOUT_ACCOUNTS = "AccountingStorageType=accounting_storage/none\n"


def missing_daemons() -> list[str]:
    """What of Slurm is not installed here."""
    return [name for name in DAEMONS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]


@contextmanager
def slurm_lab(folder: Path, *, has_accounts: bool = False) -> Iterator[Path]:
    """Run a Slurm for as long as the block lasts, with accounts and their limits or without; gives its slurm.conf."""
    for name in ("munge", "state", "log", *(f"spool/{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    (folder / "munge").chmod(0o700)
    conf = folder / "slurm.conf"
    accounts_port, database_port = free_ports(2)
    settings = account_settings(folder, accounts_port) if has_accounts else WITHOUT_ACCOUNTS
    conf.write_text(_configuration(folder) + settings)
    (folder / "gres.conf").write_text(
        "".join(f"NodeName={node} Name=gpu File={device}\n" for node in NODES for device in DEVICES)
    )
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    with ExitStack() as stack:
        stack.callback(_stop, folder, ("munged",))
        _start_munge(folder, environment)
        if has_accounts:
            stack.enter_context(accounts(folder, environment, accounts_port, database_port))
        stack.callback(_stop, folder, (*(f"slurmd-{node}" for node in NODES), "slurmctld"))
        stack.callback(_end_jobs, environment)
        for command in (["slurmctld"], *(["slurmd", "-N", node] for node in NODES)):
            _start([*command, "-f", str(conf)], environment)
        _wait_until_idle(folder, environment)
        yield conf


def _start_munge(folder: Path, environment: dict[str, str]) -> None:
    key = folder / "munge" / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    munge = [f"--key-file={key}", f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"]
    munge += [f"--log-file={folder}/munge/munged.log", f"--seed-file={folder}/munge/munged.seed"]
    # Test folders are private, which munged does not like without --force.
    _start(["munged", "--force", *munge], environment)


def _start(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=START_S)


def _wait_until_idle(folder: Path, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        states = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%t"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split()
        if states == ["idle"] * len(NODES):
            return
        time.sleep(0.1)
    logs = "\n".join(path.read_text()[-2000:] for path in (folder / "log").iterdir())
    raise RuntimeError(f"Slurm did not come up: {states}\n{logs}")


def _end_jobs(environment: dict[str, str]) -> None:
    """Before the daemons end: steps of jobs would outlive these."""
    subprocess.run(["scancel", "--quiet", "--me"], env=environment, check=False, capture_output=True, timeout=START_S)
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline:
        left = subprocess.run(
            ["squeue", "--noheader"], env=environment, capture_output=True, check=False, timeout=START_S
        )
        if not left.stdout.strip():
            break
        time.sleep(0.1)


def _stop(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        file = folder / f"{name}.pid"
        if file.exists() and file.read_text().strip():
            pid = int(file.read_text())
            subprocess.run(["kill", str(pid)], check=False, capture_output=True)
            deadline = time.monotonic() + END_S
            while _lives(pid) and time.monotonic() < deadline:
                time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _configuration(folder: Path) -> str:
    host = socket.gethostname().split(".")[0]
    ports = free_ports(1 + len(NODES))
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 Boards=1 SocketsPerBoard=1 "
        f"CoresPerSocket=4 ThreadsPerCore=1 RealMemory=16000 Gres=gpu:{len(DEVICES)} State=UNKNOWN"
        for node, port in zip(NODES, ports[1:], strict=True)
    )
    return f"""\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={getpass.getuser()}
SlurmdUser={getpass.getuser()}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=30
MinJobAge=600
GresTypes=gpu
DefMemPerCPU=500
{nodes}
PartitionName=debug Nodes=n[0-{len(NODES) - 1}] Default=YES MaxTime=INFINITE DefaultTime=01:00:00 State=UP
"""
