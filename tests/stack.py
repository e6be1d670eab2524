"""The whole service as its users meet it: real processes on real servers, and who calls them.

::

    with Stack(folder, database_url, redis_url, QUESTION_SOURCES="bank") as stack:
        alice = stack.api.new_user("Alice")
        assert alice.upload(make_wav()).status_code == 201
"""

import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import parse_headers
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from sqlalchemy import func, select

from launcher import ports, processes
from launcher.processes import Process
from shared import database as databases
from shared.database import Database
from shared.models import Job, Record

ROOT = Path(__file__).parent.parent
HOST = ports.LOOPBACK
PATIENCE_SECONDS = 30

T = TypeVar("T")

_numbers = itertools.count(1)


def eventually(condition: Callable[[], T]) -> T:
    """What the condition says once that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "that never came true"
        time.sleep(0.01)
    return found


class Api(Process):
    """One API process, and the ways to call it."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, str]) -> None:
        self.port = ports.free()
        self.url = f"http://{HOST}:{self.port}"
        self.ready_path = "/health/ready"
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE_SECONDS, trust_env=False)
        self.get = self.client.get
        self.post = self.client.post
        super().__init__(
            name,
            [sys.executable, "-m", "api"],
            log_file=folder / f"{name}.log",
            environment={**settings, "PORT": str(self.port)},
            folder=folder,
        )

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}{self.ready_path}", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.client.close()
        super().stop()

    def new_user(self, name: str = "") -> "User":
        """Somebody of this name, or of a new one."""
        name = name or f"User {next(_numbers)}"
        answer = self.post("/users", json={"name": name})
        assert answer.status_code == 201, answer.text
        return User(self, name, **answer.json())

    def ask_questions(self, count: Any) -> httpx.Response:
        return self.post("/questions", json={"questions_num": count})

    @contextmanager
    def connect(self) -> Iterator["Wire"]:
        with Wire(self.port) as wire:
            yield wire


@dataclass(frozen=True)
class User:
    """Somebody who adds recordings."""

    api: Api
    name: str
    id: int
    token: str

    @property
    def fields(self) -> dict[str, str]:
        return {"user": str(self.id), "token": self.token}

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def upload(self, wav: bytes, filename: str = "speech.wav", **form: Any) -> httpx.Response:
        """Send a WAV as a form, as `curl -F` does."""
        return self.api.post(
            "/record", files={"file": (filename, wav)}, **({"data": self.fields} | form)
        )

    def upload_plain(
        self,
        body: bytes | Iterable[bytes],
        *,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> httpx.Response:
        """Send a WAV as the body itself, as `curl --data-binary` does."""
        return self.api.post(
            "/record",
            params={"user": self.id} | query,
            headers=self.headers | dict(headers or {}),
            content=body,
        )

    def elsewhere(self, api: Api) -> "User":
        """The same user as a client of another process."""
        return User(api, self.name, self.id, self.token)


class Wire:
    """A connection for those who speak HTTP by hand, or break it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), PATIENCE_SECONDS)
        self._answers = self._socket.makefile("rb")
        self.port: int = self._socket.getsockname()[1]
        """Its own, by which the server knows it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        self._answers.close()
        self._socket.close()

    def end_sending(self) -> None:
        """And listen still."""
        self._socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_head(self, request_line: str, *headers: str, host: str = "localhost") -> None:
        lines = [f"{request_line} HTTP/1.1", f"Host: {host}", *headers, "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))

    def post(self, user: User, *headers: str) -> None:
        """The head of an upload; its body is left to `send`."""
        self.send_head(
            f"POST /record?user={user.id}", f"Authorization: Bearer {user.token}", *headers
        )

    def receive(self, most_bytes: int) -> bytes:
        """What has come, raw; empty once the server hung up."""
        return self._socket.recv(most_bytes)

    def is_closed(self) -> bool:
        """Whether the server hangs up without another word."""
        return not self._answers.read(1)

    def answers(self) -> Iterator["Answer"]:
        """All there are until the server hangs up."""
        while self._answers.peek(1):
            yield self.answer()

    def answer(self) -> "Answer":
        """The next one, be it the last one to a request or a 100."""
        status_line = self._answers.readline()
        assert status_line, "the server hung up"
        headers = {name.lower(): value for name, value in parse_headers(self._answers).items()}
        body = self._answers.read(int(headers.get("content-length", 0)))
        return Answer(int(status_line.split()[1]), headers, body)


@dataclass(frozen=True)
class Answer:
    """What came over a `Wire`."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def slug(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        return str(json.loads(self.body)["type"]).removeprefix("/problems/")


@dataclass(frozen=True)
class Curled:
    """What curl says of its transfer."""

    status: int
    sent_bytes: int
    body: bytes


def curl(*arguments: str, stdin: bytes = b"") -> Curled:
    """Run curl as a user does; it must get an answer, whatever that says."""
    command = ["curl", "--disable", "--noproxy", "*", "--silent", "--show-error"]
    command += [
        "--max-time",
        str(PATIENCE_SECONDS),
        "--write-out",
        r"\n%{http_code} %{size_upload}",
    ]
    done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    body, _, summary = done.stdout.rpartition(b"\n")
    status, sent_bytes = map(int, summary.split())
    return Curled(status, sent_bytes, body)


class Stack:
    """An API with its workers, on servers that already run."""

    def __init__(self, folder: Path, database_url: str, redis_url: str, **settings: str) -> None:
        self.folder = folder
        self.uploads = folder / "uploads"
        self.redis_url = redis_url
        self.database_url = database_url
        self._settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "DATA_DIR": str(folder),
            "PYTHONPATH": str(ROOT),  # And not as current folder, for a developer's .env is there.
            "PYTHONUNBUFFERED": "1",
            "WORKER_CONCURRENCY": "2",
            **settings,
        }
        self.engine = databases.connect(
            database_url, application="test", pool_size=5, statement_timeout_seconds=20
        )
        self.database = Database(self.engine)
        self.api = self.another_api()
        self.workers = [self._worker("records"), self._worker("questions")]

    def __enter__(self) -> Self:
        try:
            self.revive()
            self.api.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.api.client.close()
        processes.stop_all(self.processes)
        self.engine.dispose()

    def another_api(self, **settings: str) -> Api:
        """A further API process with settings of its own, not yet started."""
        return Api(f"api-{next(_numbers)}", self.folder, self._settings | settings)

    @property
    def processes(self) -> list[Process]:
        return [self.api, *self.workers]

    def revive(self) -> None:
        """Start again what has died, as the launcher does."""
        for process in self.processes:
            if not process.is_running():
                process.start()

    def _worker(self, group: str) -> Process:
        return Process(
            group,
            [sys.executable, "-m", "worker", group],
            log_file=self.folder / f"{group}.log",
            environment=self._settings,
            folder=self.folder,
            grace_seconds=5,
        )

    def rows(self) -> dict[str, int]:
        """How many records and jobs there are."""
        count = select(func.count())
        with self.database.transaction() as session:
            return {
                table.__tablename__: session.scalar(count.select_from(table)) or 0
                for table in (Record, Job)
            }

    def has_uploads(self) -> bool:
        """Whether anything is left where uploads wait."""
        return any(self.uploads.iterdir())

    def tracebacks(self) -> list[str]:
        """The logs in which somebody has failed who should not."""
        return [log.name for log in self.folder.glob("*.log") if "Traceback" in log.read_text()]
