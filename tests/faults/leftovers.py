"""What must be gone when the product has come to rest: files, processes, connections, secrets.

Each look is at one thing, and is given some seconds until it is as it should be: at rest means that
no job is open, and a process may still be putting its tools away.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from redis import Redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared import signals
from tests.faults.violations import Violation, left_over
from tests.faults.world import alive, comes_true
from worker.sweep import STALE_SECONDS

PATIENCE_SECONDS = 20
"""The launcher pauses for ten seconds before it starts what dies again and again."""

MOST_MEMORY_BYTES = 300 << 20
"""Of each process: one that leaked in each round would get there."""

MOST_FILES = 200
"""Open in each process; its connections count."""

MOST_CONNECTIONS = 100
"""To the database, all processes together."""

MOST_BROKER_CONNECTIONS = 100
LONG_TRANSACTION_SECONDS = 5


def uploads(
    folder: Path, ended: Collection[str], *, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[Violation]:
    """An upload is there as long as its job is open, and one without a job not for ever."""

    def left() -> list[str]:
        return [file.name for file in folder.iterdir() if file.name in ended]

    if not comes_true(lambda: not left(), patience_seconds):
        yield left_over(f"uploads of ended jobs are left: {left()}")
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime > STALE_SECONDS + patience_seconds:
                yield left_over(f"upload {file.name} is older than any that is arriving")


def temporary_files(folder: Path) -> Iterator[Violation]:
    """What the product needs for a time has no name in any folder, so that a kill leaves none.

    Empty folders do not count: multiprocessing makes one for each pool, and removes it at the end
    of a process that may end as it likes.
    """
    if files := sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()
    ):
        yield left_over(f"temporary files are left: {files}")


def processes(
    family: Callable[[], Collection[psutil.Process]],
    *,
    data: Path,
    usual: int,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[Violation]:
    """As many as always, none of them bloated, and none that has outlived its parent.

    A process belongs to the product if its `DATA_DIR` is `data`.
    """
    if not comes_true(lambda: len(family()) == usual, patience_seconds):
        yield left_over(f"there are {len(family())} processes, and {usual} at the beginning")
    members = family()
    for process in members:
        with suppress(psutil.NoSuchProcess):
            yield from _bloat(process)
    known = {process.pid for process in members}
    for process in psutil.process_iter():
        if process.pid not in known and _belongs_to(process, data) and alive(process.pid):
            yield left_over(f"process {process.pid} ({_name(process)}) has outlived its parent")


def _bloat(process: psutil.Process) -> Iterator[Violation]:
    with process.oneshot():
        size, files = process.memory_info().rss, process.num_fds()
    if size > MOST_MEMORY_BYTES:
        yield left_over(f"{_name(process)} takes {size >> 20} MiB")
    if files > MOST_FILES:
        yield left_over(f"{_name(process)} has {files} files open")


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline()[-3:])
    return "ended since"


def _belongs_to(process: psutil.Process, data: Path) -> bool:
    with suppress(psutil.Error):
        return process.environ().get("DATA_DIR") == str(data)
    return False


def database_connections(session: Session) -> Iterator[Violation]:
    """Bounded in number, and none of them in a transaction that nobody ends."""
    of_product = "FROM pg_stat_activity WHERE application_name LIKE 'quaver %'"
    count = session.scalar(text(f"SELECT count(*) {of_product}")) or 0
    if count > MOST_CONNECTIONS:
        yield left_over(f"there are {count} connections to the database")
    idle = session.scalar(
        text(
            f"SELECT count(*) {of_product} AND state LIKE 'idle in transaction%'"
            f" AND xact_start < clock_timestamp() - interval '{LONG_TRANSACTION_SECONDS} seconds'"
        )
    )
    if idle:
        yield left_over(f"{idle} transactions were begun and not ended")


def subscriptions(
    client: Redis, *, usual: int, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[Violation]:
    """One an API process to the jobs' signals, however often it was cut off."""

    def count() -> int:
        return int(client.pubsub_numsub(signals.CHANNEL)[0][1])

    if not comes_true(lambda: count() == usual, patience_seconds):
        yield left_over(f"there are {count()} subscriptions to signals, and {usual} are due")
    connections = len(client.client_list())
    if connections > MOST_BROKER_CONNECTIONS:
        yield left_over(f"there are {connections} connections to the broker")


def secrets(folder: Path, secret: str) -> Iterator[Violation]:
    """No log tells what only a user may know."""
    for log in sorted(folder.glob("*.log")):
        if secret in log.read_text(errors="replace"):
            yield left_over(f"{log.name} tells a user's token")
