"""The two services that are compared, each running, with a user who uploads by curl."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil

from bench.connection import Connection, WrongAnswer
from bench.sounds import Sound
from launcher import ports
from tests.acceptance.product import ROOT, Product, eventually

QUAVER, PLAIN = "Quaver", "plain service"

AS_SHIPPED = {"WORKER_CONCURRENCY": "", "JOB_LEASE_SECONDS": "", "SWEEP_SECONDS": ""}
"""Empty is the default; the tests' own are more hurried."""

Processes = Mapping[str, Sequence[psutil.Process]]
"""By their names in the report; the memory of some is counted together."""


@dataclass(frozen=True, eq=False)
class Service:
    """It takes `POST /record` at `url`."""

    name: str
    url: str
    processes: Callable[[], Processes]
    """Those of this moment. Raises psutil.Error, OSError or ValueError while one is replaced."""
    user: Mapping[str, str]
    """What a form says of who uploads."""

    def upload(self, wav: Path) -> dict[str, Any]:
        """The record that curl is told of, when it has come to its end.

        Raises: WrongAnswer.
        """
        fields = [f"-F{name}={value}" for name, value in self.user.items()]
        return dict(curl(*fields, "-F", f"file=@{wav}", f"{self.url}/record"))

    def connection(self) -> Connection:
        return Connection(self.url)

    def check(self, wav: Path, sound: Sound) -> None:
        """See that the link downloads as much of an MP3 as the answer says.

        Raises: WrongAnswer.
        """
        record = self.upload(wav)
        with closing(self.connection()) as connection:
            size = len(connection.get(record["url"].removeprefix(self.url)).body)
        if (size, sound.seconds) != (record["size"], record["duration"]):
            raise WrongAnswer(f"{sound.name} became {size} bytes, and the answer was {record}")


@contextmanager
def quaver(folder: Path, **settings: str) -> Iterator[Service]:
    """The product as `run.py` starts it, with its data in `folder`."""
    folder.mkdir()
    product = Product(folder, **AS_SHIPPED | settings)
    try:
        product.start()
        yield _service(QUAVER, product.url, lambda: _processes(product))
    finally:
        if product.is_running():  # Also when its start is broken off.
            product.stop()


@contextmanager
def plain(folder: Path) -> Iterator[Service]:
    """`bench/plain_service.py`, with its data in `folder`."""
    folder.mkdir()
    port = ports.free()
    command = [sys.executable, "-W", "ignore", "-m", "bench.plain_service", str(folder), str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        eventually(lambda: ports.answers(ports.LOOPBACK, port) or server.poll() is not None)
        if server.poll() is not None:
            raise WrongAnswer((folder / "log").read_text())
        yield _service(PLAIN, f"http://{ports.LOOPBACK}:{port}", lambda: _family(server.pid))
    finally:
        server.terminate()
        server.wait()


def curl(*arguments: str) -> Any:
    """The JSON of a success. Raises: WrongAnswer."""
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--write-out",
        "\n%{http_code}",
    ]
    done = subprocess.run([*command, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    body, _, status = done.stdout.rpartition("\n")
    if int(status) not in {HTTPStatus.OK, HTTPStatus.CREATED}:
        raise WrongAnswer(f"{arguments[-1]}: {status} {body}")
    return json.loads(body)


def post_json(url: str, body: Mapping[str, Any]) -> Any:
    """As `curl`."""
    return curl("--header", "Content-Type: application/json", "--data", json.dumps(body), url)


def _service(name: str, url: str, processes: Callable[[], Processes]) -> Service:
    user = post_json(f"{url}/users", {"name": "Benchmark"})
    return Service(name, url, processes, {"user": str(user["id"]), "token": user["token"]})


def _processes(product: Product) -> Processes:
    def found(name: str) -> psutil.Process:
        return psutil.Process(product.pid_of(name))

    worker, postgres = found("worker-records"), found("postgres")
    conversions = {
        f"conversion process {number}": [process]
        for number, process in enumerate(worker.children(), start=1)
    }
    return {
        "API": [found("api")],
        **conversions,
        "worker's main process": [worker],
        "questions worker": [found("worker-questions")],
        "PostgreSQL": [postgres, *postgres.children()],
        "Valkey": [found("redis")],
        "Flower": [found("flower")],
        "run.py": [psutil.Process(product.process.pid)],
    }


def _family(pid: int) -> Processes:
    service = psutil.Process(pid)
    return {"plain service": [service], "its ffmpeg": service.children()}
