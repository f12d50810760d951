"""Who reaches a cluster: certificates on disk, refused links, and real knocks on every listening port."""

from __future__ import annotations

import contextlib
import datetime
import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import dask
import psutil
import pytest
import tiny
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed import Client
from distributed.security import Security

from fly64dask.base import InputError, ResourceError
from fly64dask.deploy import Access, Placement, connect, joinable, tunnel_command
from fly64dask.deploy.access import LOOPBACK_ONLY, client_security, cluster_security, is_loopback, join_command
from fly64dask.deploy.certificates import published_certificates, read_certificates, temporary_certificates
from fly64dask.runs import run_study
from fly64dask.store import RunLayout, held_run

NAMES = {"ca.pem", "cert.pem", "key.pem"}
# Reserved for documentation (RFC 5737): no machine has it.
NOBODY = "203.0.113.1"
LOOPBACKS = {"127.0.0.1", "::1"}


def make_certificates(directory: Path, *, age: int = 0, password: bytes | None = None) -> Path:
    """Certificates as an administrator makes them: a CA, and one that it signed `age` days ago, for a day."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("laboratory", "cluster")]
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=age, minutes=5)

    def sign(number: int, *, days: int) -> bytes:
        builder = x509.CertificateBuilder().subject_name(names[number]).issuer_name(names[0])
        builder = builder.public_key(keys[number].public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
        return builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    directory.mkdir(parents=True, exist_ok=True)
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    key = keys[1].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    for name, content in (("ca.pem", sign(0, days=3650)), ("cert.pem", sign(1, days=1)), ("key.pem", key)):
        (directory / name).write_bytes(content)
    (directory / "key.pem").chmod(0o600)
    return directory


def listening() -> set[tuple[str, int]]:
    """Address and port of every listening TCP socket of this process and its descendants, from the kernel."""
    found = set()
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            for connection in process.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add((connection.laddr.ip, connection.laddr.port))
    return found


def port_of(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


def knock(host: str, port: int, certificates: Path | None = None) -> bytes:
    """First byte that a TLS client gets to read, who believes any server and shows `certificates` or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificates is not None:
        context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    with socket.create_connection((host, port), timeout=60) as plain, context.wrap_socket(plain) as link:
        return link.recv(1)


@pytest.fixture(scope="module")
def host() -> str:
    """An address of this machine that other machines can reach."""
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            is_up = psutil.net_if_stats()[name].isup
            if is_up and address.family == socket.AF_INET and not address.address.startswith("127."):
                return address.address
    pytest.skip("this machine has no IPv4 address beyond loopback")


@pytest.fixture(scope="module")
def opened(host, tmp_path_factory):
    """A cluster that listens beyond loopback: client, directory of its certificates, sockets."""
    access, directory = Access(listen=host), tmp_path_factory.mktemp("opened") / "tls"
    before = listening()
    with (
        connect("local", device="cpu", n_workers=1, n_cells=1, access=access) as client,
        joinable(client, access, directory),
    ):
        client.wait_for_workers(1, timeout=300)
        yield client, directory, listening() - before


@pytest.fixture
def temporary() -> Security:
    return temporary_certificates()


@pytest.fixture
def shell():
    """Start commands in a shell that finds this environment's programs; ended with the test."""
    started = []

    def start(command: str) -> subprocess.Popen:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        started.append(subprocess.Popen(command, shell=True, env=environment, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# Certificates on disk.


def test_published_certificates_are_created_private_from_the_start(tmp_path):
    program = """
import os, stat, sys
from pathlib import Path
from fly64dask.deploy.certificates import published_certificates, temporary_certificates
changed = []
sys.addaudithook(lambda event, arguments: changed.append(arguments[0]) if event in ("os.chmod", "os.rename") else None)
os.umask(0)
directory = Path(sys.argv[1])
with published_certificates(temporary_certificates(), directory):
    for path in (directory, *sorted(directory.iterdir())):
        print(path.name, oct(stat.S_IMODE(path.stat().st_mode)))
print(changed)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "tls")], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["tls 0o700", "ca.pem 0o600", "cert.pem 0o600", "key.pem 0o600", "[]"]


def test_published_certificates_are_read_back(tmp_path, temporary):
    with published_certificates(temporary, tmp_path / "tls"):
        read = read_certificates(tmp_path / "tls")
        texts = [Path(read.tls_ca_file).read_text(), Path(read.tls_worker_key).read_text()]
    assert texts == [temporary.tls_ca_file, temporary.tls_worker_key]


def test_temporary_certificates_are_valid_for_machines_whose_clocks_are_behind(temporary):
    (certificate,) = x509.load_pem_x509_certificates(temporary.tls_ca_file.encode())
    now = datetime.datetime.now(datetime.UTC)
    assert now - certificate.not_valid_before_utc >= datetime.timedelta(hours=23)
    assert certificate.not_valid_after_utc - now >= datetime.timedelta(days=364)


def test_published_certificates_are_removed_when_the_block_fails(tmp_path, temporary):
    with pytest.raises(KeyboardInterrupt), published_certificates(temporary, tmp_path / "tls"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_published_certificates_replace_those_of_a_killed_run(tmp_path, temporary):
    directory = make_certificates(tmp_path / "tls")
    (directory / "more.pem").touch()
    with published_certificates(temporary, directory):
        assert {path.name for path in directory.iterdir()} == NAMES
        assert (directory / "key.pem").read_text() == temporary.tls_worker_key


def test_published_certificates_are_not_written_through_a_link(tmp_path, temporary):
    elsewhere = make_certificates(tmp_path / "elsewhere")
    before = {path: path.read_bytes() for path in elsewhere.iterdir()}
    (tmp_path / "tls").symlink_to(elsewhere)
    with published_certificates(temporary, tmp_path / "tls"):
        assert {path: path.read_bytes() for path in elsewhere.iterdir()} == before


def test_read_certificates_requires_encryption(tmp_path):
    assert read_certificates(make_certificates(tmp_path)).require_encryption is True


@pytest.mark.parametrize("name", sorted(NAMES))
def test_read_certificates_names_a_missing_file(tmp_path, name):
    (make_certificates(tmp_path) / name).unlink()
    with pytest.raises(InputError, match=rf"cannot read \S*/{name} \(No such file"):
        read_certificates(tmp_path)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_read_certificates_names_an_unreadable_file(tmp_path, name):
    (make_certificates(tmp_path) / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=rf"cannot read \S*/{name} \(Is a directory"):
        read_certificates(tmp_path)


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("content", [b"", b"\x30\x82\x01\xff", b"-----BEGIN CERTIFICATE-----\nnone\n"])
def test_read_certificates_names_a_file_that_is_not_pem(tmp_path, name, content):
    (make_certificates(tmp_path) / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"/{name} is not what is needed"):
        read_certificates(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_read_certificates_refuses_a_key_that_others_can_use(tmp_path, mode):
    (make_certificates(tmp_path) / "key.pem").chmod(mode)
    with pytest.raises(InputError, match=rf"key.pem has mode {mode:04o}, needed 0600.*chmod 600 \S*/key.pem"):
        read_certificates(tmp_path)


def test_read_certificates_refuses_a_key_with_a_password(tmp_path):
    with pytest.raises(InputError, match=r"key\.pem is not what is needed, one private key without a password"):
        read_certificates(make_certificates(tmp_path, password=b"secret"))


@pytest.mark.parametrize("name", ["ca.pem", "key.pem"])
def test_read_certificates_refuses_files_that_do_not_belong_together(tmp_path, name):
    content = (make_certificates(tmp_path / "other") / name).read_bytes()
    (make_certificates(tmp_path) / name).write_bytes(content)
    with pytest.raises(InputError, match="cannot connect to each other"):
        read_certificates(tmp_path)


def test_read_certificates_refuses_an_expired_certificate(tmp_path):
    with pytest.raises(InputError, match=r"cannot connect to each other.*expired"):
        read_certificates(make_certificates(tmp_path, age=2))


# Which links are refused.


@pytest.mark.parametrize("name", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_is_loopback_knows_this_machine(name):
    assert is_loopback(name)


@pytest.mark.parametrize("name", ["0.0.0.0", "::", "", NOBODY, "fe80::1", "127.0.0.1.example.org", "localhost.org"])
def test_is_loopback_trusts_nothing_else(name):
    assert not is_loopback(name)


def test_access_refuses_certificates_that_are_not_to_be_used(tmp_path):
    with pytest.raises(InputError, match="--insecure"):
        Access(tls_directory=tmp_path, insecure=True)


@pytest.mark.parametrize("listen", ["127.0.0.1", "localhost"])
def test_cluster_security_is_none_on_loopback(listen):
    assert cluster_security(Access(listen=listen)) is None


def test_cluster_security_is_on_when_every_address_listens():
    assert cluster_security(Access(listen="0.0.0.0")).require_encryption is True


def test_cluster_security_is_off_beyond_loopback_when_that_is_accepted():
    assert cluster_security(Access(listen="0.0.0.0", insecure=True)) is None


@pytest.mark.parametrize("listen", ["", NOBODY, "tcp://127.0.0.1", "127.0.0.1:8786"])
def test_cluster_security_refuses_what_this_machine_cannot_listen_on(listen):
    with pytest.raises(InputError, match=f"cannot listen on '{listen}'"):
        cluster_security(Access(listen=listen))


@pytest.mark.parametrize("address", [f"tcp://{NOBODY}:8786", f"{NOBODY}:8786", "tcp://scheduler:8786", "tcp://[::]:1"])
def test_client_security_refuses_an_open_link(address):
    with pytest.raises(ResourceError, match=r"has no TLS.*tls://.*--tls.*--insecure"):
        client_security(address, LOOPBACK_ONLY)


@pytest.mark.parametrize(
    ("address", "insecure"), [("tcp://127.0.0.1:8786", False), ("localhost:1", False), (f"tcp://{NOBODY}:8786", True)]
)
def test_client_security_is_none_on_loopback_or_when_an_open_link_is_accepted(address, insecure):
    assert client_security(address, Access(insecure=insecure)) is None


def test_client_security_takes_the_given_certificates(tmp_path):
    found = client_security(f"tls://{NOBODY}:8786", Access(tls_directory=make_certificates(tmp_path)))
    assert found.tls_client_key == str(tmp_path / "key.pem")


@pytest.mark.parametrize(
    ("address", "access", "named"),
    [
        (f"tls://{NOBODY}:8786", LOOPBACK_ONLY, "found no --tls"),
        (f"tls://{NOBODY}:8786", Access(insecure=True), "found no --tls"),
        ("tcp://127.0.0.1:8786", Access(tls_directory=Path("tls")), "tls://HOST:PORT"),
        ("tcp://127.0.0.1:8786", Access(listen="0.0.0.0"), "--listen"),
        ("nonsense", LOOPBACK_ONLY, "no scheduler's address"),
        ("smoke://127.0.0.1:8786", LOOPBACK_ONLY, "no scheduler's address"),
    ],
)
def test_client_security_refuses_what_does_not_go_together(address, access, named):
    with pytest.raises(InputError, match=named):
        client_security(address, access)


def test_join_command_names_no_certificates_without_tls():
    assert join_command("tcp://192.0.2.1:8786", None) == "fly64dask worker tcp://192.0.2.1:8786 --insecure"


# A cluster that listens beyond loopback.


@pytest.mark.cluster
def test_connect_beyond_loopback_uses_tls(opened, host):
    assert opened[0].scheduler.address.startswith(f"tls://{host}:")


@pytest.mark.cluster
def test_connect_beyond_loopback_runs_a_task(opened):
    assert opened[0].submit(os.getpid).result(timeout=300) != os.getpid()


@pytest.mark.cluster
def test_connect_opens_the_ports_of_scheduler_nanny_and_worker_alone(opened):
    client, _, sockets = opened
    nannies = [worker["nanny"] for worker in client.scheduler_info()["workers"].values()]
    addresses = [client.scheduler.address, *client.scheduler_info()["workers"], *nannies]
    assert len(addresses) == 3
    assert {port for ip, port in sockets if ip not in LOOPBACKS} == {port_of(address) for address in addresses}


@pytest.mark.cluster
def test_connect_keeps_dashboards_on_loopback(opened):
    client, _, sockets = opened
    dashboards = {client.scheduler_info()["services"]["dashboard"]}
    dashboards |= {worker["services"]["dashboard"] for worker in client.scheduler_info()["workers"].values()}
    assert {ip for ip, port in sockets if port in dashboards} == {"127.0.0.1"}
    assert dashboards <= {port for _, port in sockets}


@pytest.mark.cluster
def test_connect_gives_a_dashboard_link_that_answers(opened):
    with urllib.request.urlopen(opened[0].dashboard_link, timeout=120) as answer:
        assert answer.status == 200


@pytest.mark.cluster
def test_connect_loads_no_pages_in_workers_on_loopback():
    with connect("local", device="cpu", n_workers=1, n_cells=1) as client:
        assert set(client.run(lambda: "bokeh" in sys.modules).values()) == {False}


@pytest.mark.cluster
def test_connect_keeps_pages_of_workers_beyond_loopback_on_loopback(opened):
    client, _, _ = opened
    (worker,) = client.scheduler_info()["workers"].values()
    status = f"http://127.0.0.1:{worker['services']['dashboard']}/status"
    with urllib.request.urlopen(status, timeout=120) as answer:
        page = answer.read().decode()
    assert "<title>Dask Diagnostic UI</title>" in page


@pytest.mark.cluster
def test_every_open_port_talks_to_the_clusters_own_certificate(opened):
    _, directory, sockets = opened
    assert [len(knock(ip, port, directory)) for ip, port in sockets if ip not in LOOPBACKS] == [1, 1, 1]


@pytest.mark.cluster
def test_every_open_port_refuses_a_client_without_certificate(opened):
    for ip, port in opened[2]:
        if ip not in LOOPBACKS:
            with pytest.raises(ssl.SSLError, match="alert certificate required"):
                knock(ip, port)


@pytest.mark.cluster
def test_every_open_port_refuses_a_certificate_of_another_ca(opened, tmp_path, temporary):
    with published_certificates(temporary, tmp_path / "same-name"):
        for ip, port in opened[2]:
            if ip not in LOOPBACKS:
                for foreign in (make_certificates(tmp_path / "other"), tmp_path / "same-name"):
                    with pytest.raises(ssl.SSLError, match=r"alert (unknown ca|decrypt error|bad certificate)"):
                        knock(ip, port, foreign)


@pytest.mark.cluster
def test_client_with_certificates_of_another_ca_is_refused(opened, temporary):
    with pytest.raises(OSError, match="TLS certificate does not match"):
        Client(opened[0].scheduler.address, security=temporary, timeout=60)


@pytest.mark.cluster
def test_client_without_tls_is_refused(opened):
    address = opened[0].scheduler.address.replace("tls://", "tcp://")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "3s"}),
        pytest.raises(ResourceError, match="no Dask scheduler answers"),
        connect(address, device="cpu", n_workers=None, n_cells=1, access=Access(insecure=True)),
    ):
        pass


@pytest.mark.cluster
def test_worker_joins_by_the_printed_command_and_ends_with_the_cluster(host, tmp_path, shell):
    access, directory = Access(listen=host), tmp_path / "with a space"
    before = listening()
    with (
        connect("local", device="cpu", n_workers=1, n_cells=1, access=access) as client,
        joinable(client, access, directory) as command,
    ):
        own = set(client.scheduler_info()["workers"])
        joined = shell(f"{command} --workers 1")
        client.wait_for_workers(2, timeout=300)
        workers = client.scheduler_info()["workers"]
        (theirs,) = set(workers) - own
        pid = client.submit(os.getpid, workers=[theirs]).result(timeout=300)
        open_ports = {port for ip, port in listening() - before if ip not in LOOPBACKS}
        known = {client.scheduler.address, *workers, *(worker["nanny"] for worker in workers.values())}
    assert not directory.exists()
    assert joined.wait(timeout=300) == 0
    assert not psutil.pid_exists(pid)
    assert open_ports == {port_of(address) for address in known}


@pytest.mark.cluster
def test_connect_opens_nothing_by_default():
    before = listening()
    with connect("local", device="cpu", n_workers=1, n_cells=1) as client:
        client.submit(os.getpid).result(timeout=300)
        found = listening() - before
    assert found
    assert {ip for ip, _ in found} <= LOOPBACKS


@pytest.mark.cluster
def test_connect_takes_the_given_certificates_on_loopback_too(tmp_path):
    access = Access(tls_directory=make_certificates(tmp_path))
    with (
        connect("local", device="cpu", n_workers=1, n_cells=1, access=access) as client,
        connect(client.scheduler.address, device="cpu", n_workers=None, n_cells=1, access=access) as second,
    ):
        address = client.scheduler.address
        served = ssl.get_server_certificate(("127.0.0.1", port_of(address)))
        pids = second.submit(os.getpid).result(timeout=300), os.getpid()
    assert address.startswith("tls://127.0.0.1:")
    assert ssl.PEM_cert_to_DER_cert(served) == ssl.PEM_cert_to_DER_cert((tmp_path / "cert.pem").read_text())
    assert pids[0] != pids[1]


# Whole runs.


def test_run_study_leaves_the_certificates_of_a_living_run_alone(host, tmp_path, temporary):
    layout = RunLayout(tmp_path)
    with held_run(layout), published_certificates(temporary, layout.tls_directory):
        with pytest.raises(InputError, match="another run is using it"):
            run_study(tiny.tiny_study(), tmp_path, placement=Placement(n_workers=1, access=Access(listen=host)))
        assert (layout.tls_directory / "key.pem").read_text() == temporary.tls_worker_key


@pytest.mark.slow
@pytest.mark.cluster
def test_run_beyond_loopback_prints_how_to_join_and_leaves_no_certificates(host, tmp_path, fly64dask):
    study, out = tmp_path / "tiny.toml", tmp_path / "run"
    study.write_text(tiny.TEXT)
    make_certificates(out / ".tls")
    one = ("--dose", "1e4", "--view", "few", "--split", "train")
    done = fly64dask("run", study, "--out", out, *one, "--listen", host, "--workers", "1")
    (line,) = [line for line in done.stderr.splitlines() if "to add a worker on another machine" in line]
    words = shlex.split(line.split("to add a worker on another machine: ")[1])
    assert done.returncode == 0
    assert words[:2] == ["fly64dask", "worker"]
    assert words[2].startswith(f"tls://{host}:")
    assert words[3:] == ["--tls", str(out / ".tls")]
    assert not (out / ".tls").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--cluster", "tls://127.0.0.1:1"], "found no --tls"),
        (["--cluster", f"tcp://{NOBODY}:1"], "--insecure"),
        (["--cluster", "tls://127.0.0.1:1", "--tls", "absent"], "absent/ca.pem"),
        (["--tls", "absent", "--insecure"], "give one of them"),
        (["--listen", NOBODY], f"cannot listen on '{NOBODY}'"),
    ],
)
def test_run_exits_2_before_anything_runs(tmp_path, fly64dask, arguments, named):
    study = tmp_path / "tiny.toml"
    study.write_text(tiny.TEXT)
    done = fly64dask("run", study, "--out", tmp_path / "run", *arguments)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_tunnel_command_goes_through_the_login_node(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    assert tunnel_command("node7", 41234, login="login1") == "ssh -N -J me@login1 -L 8787:127.0.0.1:41234 me@node7"
