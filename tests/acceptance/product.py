"""The whole product as `python3 run.py` starts it, and curl as its user."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, Self

import psycopg2

from launcher import ports

ROOT = Path(__file__).parent.parent.parent
PATIENCE_SECONDS = 90
PROCESSES = ("postgres", "redis", "api", "worker-records", "worker-questions", "flower")

# A proxy of the machine's has nothing to do with what listens on it.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def eventually(condition: Callable[[], Any]) -> Any:
    """Wait until a condition holds, and return what it says."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "that never came true"
        time.sleep(0.05)
    return found


class Product:
    """`run.py` with a data folder and ports of its own, started by `with` or `start`."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        port, flower_port = ports.free(), ports.free()
        self.url = f"http://127.0.0.1:{port}"
        self.flower_url = f"http://127.0.0.1:{flower_port}"
        self.environment = {
            **os.environ,
            "DATA_DIR": str(self.data),
            "PORT": str(port),
            "FLOWER_PORT": str(flower_port),
            "FLOWER_UNAUTHENTICATED_API": "1",
            "QUESTION_SOURCES": "bank",
            "WORKER_CONCURRENCY": "2",
            "JOB_LEASE_SECONDS": "3",
            "SWEEP_SECONDS": "0.5",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_running():
            self.stop()

    def start(self) -> None:
        """Return when it has printed its addresses."""
        self.spawn()
        eventually(lambda: "Ctrl-C stops" in self.output() or not self.is_running())
        assert self.is_running(), self.output()

    def spawn(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "run.py"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_SECONDS)

    def kill_everything(self) -> None:
        """As `kill -9` does, to the launcher and to all that it started."""
        pids = [self.process.pid, *(self.pid_of(name) for name in PROCESSES)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def output(self) -> str:
        return self._log.read_text()

    def pid_of(self, name: str) -> int:
        return int((self.data / "run" / f"{name}.pid").read_text())

    def kill(self, name: str) -> None:
        os.kill(self.pid_of(name), signal.SIGKILL)

    def get(self, url: str) -> Answer:
        """What a browser would get. Raises OSError for other statuses than 2xx."""
        with _direct.open(url, timeout=PATIENCE_SECONDS) as response:
            return Answer(response.status, dict(response.headers), response.read())

    def is_ready(self) -> bool:
        try:
            return self.get(f"{self.url}/health/ready").status == HTTPStatus.OK
        except OSError:
            return False

    def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST JSON, with curl as the README has it."""
        arguments = ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        return self.curl(*arguments, f"{self.url}{path}").json()

    def curl(self, *arguments: str) -> Answer:
        """Run curl; the answer is the last one, for curl may ask leave to continue first."""
        return self.finish(self.curl_in_background(*arguments))

    def curl_in_background(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            ["curl", "--silent", "--show-error", "--include", "--noproxy", "*", *arguments],
            stdout=subprocess.PIPE,
        )

    def finish(self, curl: "subprocess.Popen[bytes]") -> Answer:
        output, _ = curl.communicate(timeout=PATIENCE_SECONDS)
        assert curl.returncode == 0
        *_, head, body = output.split(b"\r\n\r\n", output.count(b"HTTP/1.1 ", 0, 200))
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return Answer(int(status.split()[1]), headers, body)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the embedded database."""
        url = json.loads((self.data / "postgres" / "server.json").read_text())["url"]
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def new_user(self, name: str) -> dict[str, Any]:
        user = self.ask("/users", {"name": name})
        assert user.keys() == {"id", "token"}
        return dict(user)

    @property
    def _log(self) -> Path:
        return self.folder / "run.log"
