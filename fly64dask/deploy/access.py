"""Decides who may reach a run's cluster: where it listens, which certificates its links need, and how workers join."""

from __future__ import annotations

import getpass
import ipaddress
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distributed.comm.addressing import get_address_host, parse_address
from distributed.security import Security

from fly64dask.base import InputError, ResourceError
from fly64dask.deploy.certificates import (
    CA_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    published_certificates,
    read_certificates,
    temporary_certificates,
)

if TYPE_CHECKING:
    from distributed import Client

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The way to a run's cluster: where it listens, and how its links are protected."""

    listen: str = LOOPBACK  # address on which the embedded scheduler and its workers listen
    tls_directory: Path | None = None  # certificates of the cluster, or of the client of another
    insecure: bool = False  # whether links beyond loopback may go without TLS

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        if self.insecure and self.tls_directory is not None:
            raise InputError(
                f"cluster: --insecure asks for links without TLS, --tls {self.tls_directory} for links with it",
                remedy="give one of them",
            )


LOOPBACK_ONLY = Access()


def is_loopback(host: str) -> bool:
    """Tell whether a host is certainly this machine: a loopback address or `localhost`; no name is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def cluster_security(access: Access) -> Security | None:
    """Check where an embedded cluster listens, and choose its certificates.

    These are the given ones; else, beyond loopback, temporary ones in memory; None without TLS. Raises InputError if
    this machine has no such address, or the given certificates cannot be used.
    """
    _check_listen(access.listen)
    if access.tls_directory is not None:
        return read_certificates(access.tls_directory)
    if access.insecure or is_loopback(access.listen):
        return None
    return temporary_certificates()


def client_security(address: str, access: Access) -> Security | None:
    """Choose the certificates for joining a scheduler at an address; None if the link goes without TLS.

    Raises InputError if the address cannot be read, or certificates are missing, superfluous or unusable, and
    ResourceError if the link would leave this machine without TLS and that was not accepted.
    """
    if access.listen != LOOPBACK:
        raise InputError(
            f"cluster: --listen {access.listen} goes with the embedded cluster, found --cluster {address}",
            remedy="drop one of them",
        )
    try:
        scheme, host = parse_address(address)[0], get_address_host(address)
    except ValueError as error:
        raise InputError(
            f"cluster: {address!r} is no scheduler's address ({error})",
            remedy="give `local`, an address such as tcp://127.0.0.1:8786, or a cluster file, whose name ends in .toml",
        ) from error
    if scheme == "tls":
        if access.tls_directory is None:
            raise InputError(
                f"cluster: {address} asks for certificates, found no --tls",
                remedy=f"give --tls DIRECTORY, which holds {CA_FILE}, {CERTIFICATE_FILE} and {KEY_FILE}",
            )
        return read_certificates(access.tls_directory)
    if access.tls_directory is not None:
        raise InputError(
            f"cluster: --tls {access.tls_directory} is for a scheduler with TLS, found {address}",
            remedy="give its address as tls://HOST:PORT, or drop --tls",
        )
    if not access.insecure and not is_loopback(host):
        raise ResourceError(
            f"cluster: the link to {address} has no TLS, so others on the network could read it and run code",
            remedy="use tls://HOST:PORT with --tls DIRECTORY, or accept that with --insecure",
        )
    return None


@contextmanager
def joinable(client: Client, access: Access, tls_directory: Path) -> Iterator[str | None]:
    """Let workers of other machines find their certificates for as long as the block lasts.

    Parameters
    ----------
    client : distributed.Client
        From `connect`.
    access : Access
        The same as `connect` was given.
    tls_directory : Path
        Directory in which temporary certificates lie while the block lasts.

    Yields
    ------
    str or None
        The command with which workers of another machine join; None unless a local cluster listens beyond loopback.
    """
    if client.cluster is None or is_loopback(access.listen):
        yield None
    elif access.insecure or access.tls_directory is not None:
        certificates = access.tls_directory.absolute() if access.tls_directory else None
        yield join_command(client.cluster.scheduler_address, certificates)
    else:
        with published_certificates(client.security, tls_directory):
            yield join_command(client.cluster.scheduler_address, tls_directory)


def join_command(address: str, certificates: Path | None) -> str:
    """Write the shell command with which another machine joins a scheduler; None stands for no TLS."""
    how = ["--insecure"] if certificates is None else ["--tls", str(certificates)]
    return shlex.join(["fly64dask", "worker", address, *how])


def tunnel_command(node: str, port: int, *, login: str | None = None) -> str:
    """Write the shell command that brings a dashboard on a node's loopback to a browser elsewhere.

    `port` is that of the dashboard on its node, and `login` the host by which the node is reached, if that is needed.
    """
    jump = ("-J", f"{getpass.getuser()}@{login}") if login and login != node and not is_loopback(login) else ()
    return shlex.join(["ssh", "-N", *jump, "-L", f"8787:127.0.0.1:{port}", f"{getpass.getuser()}@{node}"])


def _check_listen(host: str) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.bind(address)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"cluster: cannot listen on {host!r} ({error})",
            remedy="give --listen an address of this machine, or 0.0.0.0 for all of them",
        ) from error
