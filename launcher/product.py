"""The product on one machine: what runs, in which order, and what its operator is told."""

import http.client
import os
import sys
import time
from pathlib import Path

from launcher import LaunchError, environment, ports, postgres, state, valkey
from launcher.processes import Process
from launcher.supervision import Interrupted, Interrupts, Supervisor, say
from shared.settings import Settings, SettingsError

READY_SECONDS = 120
MIGRATION_SECONDS = 3600
API_GRACE_SECONDS = 15
WORKER_GRACE_SECONDS = 25
"""A worker's own soft shutdown gives the jobs under way up to 20."""


def main() -> int:
    """Run the product until it is told to stop; returns the exit code."""
    began = time.monotonic()
    os.umask(0o077)  # Recordings, logs and passwords are nobody else's.
    try:
        settings = Settings.load()
        folder = _open(settings.data_dir)
        with state.lock(folder), Interrupts() as interrupts:
            Product(settings, interrupts).run(began)
    except (LaunchError, SettingsError, OSError) as error:
        print(f"Quaver cannot start: {error}", file=sys.stderr)
        return 1
    return 0


class Product:
    """Everything that `python3 run.py` starts, wired together by environment variables."""

    def __init__(self, settings: Settings, interrupts: Interrupts) -> None:
        self._settings = settings
        self._folder = settings.data_dir
        self._supervisor = Supervisor(self._folder / "run", interrupts, say)
        self._environment = {
            **os.environ,
            "DATA_DIR": str(self._folder),
            "PYTHONUNBUFFERED": "1",  # A log tells what happened before a kill.
        }

    def run(self, began: float) -> None:
        """Start, serve, stop.

        Raises:
            LaunchError: something cannot be started; what had been is stopped.
        """
        try:
            self._start()
            say(self._summary(time.monotonic() - began))
            self._supervisor.serve()
        except Interrupted:
            pass
        finally:
            self._supervisor.stop()
        say("Stopped.")

    def _start(self) -> None:
        self._supervisor.end_leftovers()
        self._check_ports()
        say("Starting ...")
        self._environment["DATABASE_URL"] = self._settings.database_url or self._start_postgres()
        self._environment["REDIS_URL"] = self._settings.redis_url or self._start_valkey()
        self._supervisor.run(self._python("migrate", "shared.migrations"), MIGRATION_SECONDS)
        self._supervisor.start(
            self._python("api", "api", grace_seconds=API_GRACE_SECONDS),
            self._worker("records"),
            self._worker("questions"),
            self._python("flower", "worker", "flower"),
        )
        self._wait_for_the_api()
        self._wait_for_flower()

    def _check_ports(self) -> None:
        settings = self._settings
        if settings.port == settings.flower_port:
            raise LaunchError(f"PORT and FLOWER_PORT are both {settings.port}: change one.")
        ports.check("PORT", settings.host, settings.port)
        ports.check("FLOWER_PORT", settings.host, settings.flower_port)

    def _start_postgres(self) -> str:
        server = postgres.Server(self._folder / "postgres", log_file=self._log("postgres"))
        self._start_server(server, postgres.RECOVERY_SECONDS)
        return server.url

    def _start_valkey(self) -> str:
        server = valkey.Server(self._folder / "redis", log_file=self._log("redis"))
        self._start_server(server, READY_SECONDS)
        return server.url

    def _start_server(self, server: Process, seconds: float) -> None:
        self._supervisor.start(server)
        self._supervisor.wait_until(
            server.is_ready,
            seconds=seconds,
            otherwise=lambda: f"{server.name} is not ready. Its log: {server.log_file}",
        )

    def _worker(self, group: str) -> Process:
        return self._python(f"worker-{group}", "worker", group, grace_seconds=WORKER_GRACE_SECONDS)

    def _python(
        self, name: str, module: str, *arguments: str, grace_seconds: float = 10
    ) -> Process:
        return Process(
            name,
            [sys.executable, "-m", module, *arguments],
            log_file=self._log(name),
            environment=self._environment,
            folder=environment.PROJECT,
            grace_seconds=grace_seconds,
        )

    def _log(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.log"

    def _wait_for_the_api(self) -> None:
        """Wait for the API's own word, which speaks for the workers too."""
        last = "no answer"

        def ready() -> bool:
            nonlocal last
            status, last = _get(self._local_host, self._settings.port, "/health/ready")
            return status == http.HTTPStatus.OK

        self._supervisor.wait_until(
            ready,
            seconds=READY_SECONDS,
            otherwise=lambda: f"the API is not ready; it says: {last}. Logs: {self._log('')}",
        )

    def _wait_for_flower(self) -> None:
        self._supervisor.wait_until(
            lambda: ports.answers(self._local_host, self._settings.flower_port),
            seconds=READY_SECONDS,
            otherwise=lambda: f"Flower is not ready. Its log: {self._log('flower')}",
        )

    @property
    def _local_host(self) -> str:
        """Where this machine reaches what listens on `HOST`."""
        every_address = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - The operator's wish.
        return every_address.get(self._settings.host, self._settings.host)

    def _summary(self, seconds: float) -> str:
        host = f"[{self._local_host}]" if ":" in self._local_host else self._local_host
        api, flower = (
            f"http://{host}:{port}" for port in (self._settings.port, self._settings.flower_port)
        )
        return "\n".join(
            [
                "",
                f"Quaver is running, after {seconds:.1f} s.",
                "",
                f"  API       {api}",
                f"  Docs      {api}/docs",
                f"  Flower    {flower}",
                f"  Database  python3 run.py psql   ({self._where('DATABASE_URL', 'postgres')})",
                f"  Broker    {self._where('REDIS_URL', 'redis')}",
                f"  Logs      {self._folder / 'logs'}",
                "",
                "Ctrl-C stops.",
                "",
            ]
        )

    def _where(self, setting: str, name: str) -> str:
        if getattr(self._settings, setting.lower()):
            return f"the one that {setting} names"
        return f"its URL: {self._folder / name / 'server.json'}"


def _open(folder: Path) -> Path:
    """Make the data folder, or see that it can be used.

    Raises:
        LaunchError: it cannot.
    """
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            # Under root its PostgreSQL, which is not root, has to get through.
            folder.chmod(0o700 if os.geteuid() else 0o711)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} belongs to another user")
    except OSError as error:
        raise LaunchError(f"DATA_DIR cannot be used: {error}.") from None
    return folder


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    """Status and body of a GET; (0, why) if there is no answer. No proxy is ever asked."""
    connection = http.client.HTTPConnection(host, port, timeout=3)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"no answer ({error})"
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
