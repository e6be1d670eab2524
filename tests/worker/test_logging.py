"""All that a worker process writes, from its start to its end, is lines of its log."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from launcher.processes import Process
from tests.stack import Stack, eventually


@pytest.fixture
def worker(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Process]:
    """A worker for recordings, with processes in its pool, that writes for machines."""
    stack = Stack(tmp_path, database_url, redis_url, LOG_FORMAT="json")
    with stack._worker("records") as worker:
        yield worker
    stack.api.client.close()
    stack.engine.dispose()


def lines(worker: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in worker.log_file.read_text().splitlines()]


def test_each_line_is_an_object(worker: Process) -> None:
    """Those too that Celery and its pool write by themselves: of root, of a kill, of a stop."""
    eventually(lambda: " ready." in worker.log_file.read_text())
    psutil.Process(worker.pid).children()[0].send_signal(signal.SIGKILL)
    eventually(lambda: "SIGKILL" in worker.log_file.read_text())

    worker.stop()

    assert worker.exit_code() == 0
    (told,) = (line for line in lines(worker) if "SIGKILL" in line["message"])
    assert told["level"] == "error"
