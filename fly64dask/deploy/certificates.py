"""Reads certificates into distributed's `Security`, or makes temporary ones, kept on disk while a run lasts."""

from __future__ import annotations

import contextlib
import os
import shlex
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificates
from cryptography.x509.oid import NameOID
from distributed.security import Security

from fly64dask.base import InputError
from fly64dask.deploy.certificate_folder import remove_certificates

CA_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.pem", "cert.pem", "key.pem"
ROLES = ("client", "scheduler", "worker")
CLOCKS_DIFFER, LASTING = timedelta(days=1), timedelta(days=365)  # wrong time zones differ by less; a year is Dask's


def temporary_certificates() -> Security:
    """Make the certificates of one cluster, in memory: one for all of its processes, which no other cluster trusts.

    They are valid from a day ago. Dask's own are valid from now on, so a machine whose clock is behind could not join.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fly64dask")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - CLOCKS_DIFFER).not_valid_after(now + LASTING)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Security(
        require_encryption=True,
        tls_ca_file=certificate,
        **{f"tls_{role}_cert": certificate for role in ROLES},
        **{f"tls_{role}_key": written for role in ROLES},
    )


def read_certificates(directory: Path) -> Security:
    """Read the certificates of a cluster and its clients, `ca.pem`, `cert.pem` and `key.pem`, for encrypted links
    alone.

    Raises InputError if a file is missing or not PEM, the key is readable by group or others, or two processes with
    these certificates would refuse each other.
    """
    ca, certificate, key = (directory.absolute() / name for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE))
    for path in (ca, certificate, key):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"certificates: cannot read {path} ({error.strerror})",
                remedy=f"give a directory with {CA_FILE}, {CERTIFICATE_FILE} and {KEY_FILE}",
            ) from error
        try:
            _ = load_pem_private_key(content, password=None) if path == key else load_pem_x509_certificates(content)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            needed = "one private key without a password" if path == key else "certificates"
            raise InputError(
                f"certificates: {path} is not what is needed, {needed} in PEM ({error})", remedy="convert the file"
            ) from error
    _check_private(key)
    security = Security(
        require_encryption=True,
        tls_ca_file=str(ca),
        **{f"tls_{role}_cert": str(certificate) for role in ROLES},
        **{f"tls_{role}_key": str(key) for role in ROLES},
    )
    try:
        _shake_hands(security)
    except ssl.SSLError as error:
        raise InputError(
            f"certificates: two processes with those of {directory} cannot connect to each other ({error})",
            remedy=f"needed: {KEY_FILE} of {CERTIFICATE_FILE}, which {CA_FILE} has signed and which is valid today",
        ) from error
    return security


@contextlib.contextmanager
def published_certificates(security: Security, directory: Path) -> Iterator[None]:
    """Keep temporary certificates on disk for as long as the block lasts, readable by their owner alone.

    The directory is made in an existing one. It and its files are created with the modes 0700 and 0600, so that others
    can never read them. Raises InputError if the file system does not keep a file private.
    """
    remove_certificates(directory)
    directory.mkdir(mode=0o700)
    try:
        for name, field in (
            (CA_FILE, "tls_ca_file"),
            (CERTIFICATE_FILE, "tls_worker_cert"),
            (KEY_FILE, "tls_worker_key"),
        ):
            descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="ascii") as stream:
                _check_private(directory / name)
                stream.write(getattr(security, field))
        yield
    finally:
        remove_certificates(directory)


def certificate_options(directory: Path) -> list[str]:
    """Name the certificates of a directory as Dask's own commands, `dask worker` and `dask scheduler`, take them."""
    options = (("--tls-ca-file", CA_FILE), ("--tls-cert", CERTIFICATE_FILE), ("--tls-key", KEY_FILE))
    return [word for option, name in options for word in (option, str(directory / name))]


def _check_private(key: Path) -> None:
    mode = key.stat().st_mode & 0o777
    if mode & 0o077:
        raise InputError(
            f"certificates: {key} has mode {mode:04o}, needed 0600: group or others can use it",
            remedy=f"chmod 600 {shlex.quote(str(key))}, on a file system that keeps modes",
        )


def _shake_hands(security: Security) -> None:
    """Connect two ends in memory, which checks trust, dates, purposes and the match of key and certificate at once."""
    to_scheduler, to_worker = ssl.MemoryBIO(), ssl.MemoryBIO()
    worker = security.get_connection_args("worker")["ssl_context"].wrap_bio(to_worker, to_scheduler)
    listening: ssl.SSLContext = security.get_listen_args("scheduler")["ssl_context"]
    scheduler = listening.wrap_bio(to_scheduler, to_worker, server_side=True)
    # TLS 1.2 takes three rounds of each end, and one more if the ends do not agree on a curve at first.
    for _ in range(4):
        for end in (worker, scheduler):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    scheduler.do_handshake()
