"""MariaDB servers on loopback that a test starts, single or as a Galera cluster."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
import pytest
import trustme
from live import free_port

TIMEOUT = 60
PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib/libgalera_smm.so")
PROVIDER = next((path for path in PROVIDERS if Path(path).exists()), None)


def need(*programs: str, provider: bool = False) -> None:
    """Skip the test if a program is not installed; fail in CI."""
    missing = [program for program in programs if shutil.which(program) is None]
    if provider and PROVIDER is None:
        missing.append("galera-4")
    if missing:
        assert "CI" not in os.environ, f"CI must have {missing}"
        pytest.skip(f"not installed: {', '.join(missing)}")


def free_ports(count: int) -> int:
    """Return the first of *count* consecutive free ports.

    They are below the ephemeral ports, which any connection may occupy.
    """
    while True:
        first = random.randrange(20_000, 32_000 - count)
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


class Node:
    """A server with its own data folder and ports.

    :param group: the first port for communication between nodes; None for a single
        server.
    :param certificate: a certificate with its key; None for a server without TLS.
    """

    def __init__(
        self,
        group: int | None = None,
        certificate: trustme.LeafCert | None = None,
    ) -> None:
        self.port = free_port()
        self.group = group
        self.process: subprocess.Popen | None = None
        # Run by root, the server runs as mysql, which cannot enter pytest's folders.
        self._folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
        self._data = self._folder / "data"
        self._as = ["--user=mysql"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self._folder, "mysql", "mysql")
        self._tls = [] if certificate is None else self._store(certificate)
        self.install()

    @property
    def url(self) -> str:
        """The URL of the database ``test``."""
        return f"mysql://root@127.0.0.1:{self.port}/test"

    @property
    def is_running(self) -> bool:
        """Whether its process runs, or is suspended."""
        return self.process is not None and self.process.poll() is None

    def install(self) -> None:
        """Create an empty data folder."""
        shutil.rmtree(self._data, ignore_errors=True)
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                f"--datadir={self._data}",
                f"--tmpdir={self._folder}",
                *self._as,
            ],
            check=True,
            capture_output=True,
            timeout=TIMEOUT,
        )

    def start(self, groups: tuple[int, ...] = (), *, first: bool = False) -> None:
        """Start the server and wait until it is ready, in a cluster: synced.

        :param groups: the group ports of all nodes of the cluster.
        :param first: whether this node founds the cluster.
        """
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command(), *self._cluster(groups, first=first)],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + TIMEOUT
        while not self._is_ready():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        self.run("CREATE DATABASE IF NOT EXISTS test")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server; wait for SIGSTOP to take effect."""
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            os.waitpid(self.process.pid, os.WUNTRACED)

    def kill(self) -> None:
        """Kill the server."""
        if self.is_running:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(TIMEOUT)

    def remove(self) -> None:
        """Kill the server and delete its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, sql: str) -> list:
        """Run *sql* without a selected database and return the rows."""
        parts = urlsplit(self.url)
        with (
            closing(
                pymysql.connect(
                    host=parts.hostname,
                    port=parts.port,
                    user="root",
                    ssl_disabled=True,
                    autocommit=True,
                    read_timeout=TIMEOUT,
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            return list(cursor.fetchall())

    def status(self, name: str) -> str:
        """Return the status variable *name*."""
        return dict(self.run(f"SHOW STATUS LIKE '{name}'")).get(name, "")

    def log(self) -> str:
        """Return the end of the log."""
        return (self._folder / "log").read_text(errors="replace")[-3_000:]

    def _store(self, certificate: trustme.LeafCert) -> list[str]:
        """Store *certificate*, and return the options of the server."""
        file = self._folder / "certificate.pem"
        certificate.private_key_and_cert_chain_pem.write_to_path(file)
        if self._as:
            shutil.chown(file, "mysql", "mysql")
        return [f"--ssl-cert={file}", f"--ssl-key={file}"]

    def _is_ready(self) -> bool:
        try:
            if self.group is None:
                return self.run("SELECT 1") == [(1,)]
            return self.status("wsrep_local_state_comment") == "Synced"
        except pymysql.MySQLError:
            return False

    def _command(self) -> list[str]:
        return [
            "mariadbd",
            "--no-defaults",
            *self._as,
            f"--datadir={self._data}",
            f"--socket={self._folder}/sock",
            f"--pid-file={self._folder}/pid",
            f"--tmpdir={self._folder}",  # a start removes foreign files there
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=64M",
            *self._tls,
        ]

    def _cluster(self, groups: tuple[int, ...], *, first: bool) -> list[str]:
        if self.group is None:
            return []
        addresses = ",".join(f"127.0.0.1:{port}" for port in groups)
        provider = (
            f"base_port={self.group};"
            f"gmcast.listen_addr=tcp://127.0.0.1:{self.group};"
            f"ist.recv_addr=127.0.0.1:{self.group + 1};"
            # Exclude a silent node after three seconds instead of five; with one
            # second, nodes on a busy machine suspected those that were only slow.
            "evs.keepalive_period=PT0.5S;evs.inactive_check_period=PT0.5S;"
            "evs.suspect_timeout=PT3S;evs.inactive_timeout=PT9S"
        )
        return [
            "--binlog-format=ROW",
            "--default-storage-engine=InnoDB",
            "--innodb-autoinc-lock-mode=2",
            "--wsrep-on=ON",
            f"--wsrep-provider={PROVIDER}",
            f"--wsrep-cluster-address=gcomm://{addresses}",
            "--wsrep-node-address=127.0.0.1",
            f"--wsrep-provider-options={provider}",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address=127.0.0.1:{self.group + 3}",
            *(["--wsrep-new-cluster"] if first else []),
        ]
