"""The world that the product lives in during a campaign, and every handle on it.

::

    with World(folder) as world:
        world.url, world.database  # For those who use the product, and who check on it;
        world.broker.kill()        # for those who harm it.

The product is what `run.py` starts. It reaches its database, its broker and its question source
through proxies only; all of them are private, and keep their ports whatever happens to them.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar, overload
from urllib.parse import urlsplit

import psutil
from sqlalchemy import text

from launcher import LaunchError, postgres, valkey
from launcher.processes import POLL_SECONDS
from shared import database as databases
from shared import signals
from shared.database import Database
from tests.acceptance.product import Product, eventually
from tests.faults.proxy import Proxy
from tests.jservice import JService, make_clue

PATIENCE_SECONDS = 60
APPLICATION = "campaign"
CLUES = 100_000_000
VOLUME_BYTES = 4 << 30
"""Of each volume that is to be full one day; it takes memory only so far as it is used."""

LEASE_SECONDS = 5
SWEEP_SECONDS = 2

SETTINGS = {
    "WORKER_CONCURRENCY": "2",
    "JOB_LEASE_SECONDS": str(LEASE_SECONDS),
    "SWEEP_SECONDS": str(SWEEP_SECONDS),
    # Who waits gets an answer before long, if only a 202.
    "RECORD_WAIT_SECONDS": "10",
    "QUESTIONS_WAIT_SECONDS": "10",
}

T = TypeVar("T")


class Spared(Exception):
    """A fault could not be brought about; the message says why."""


def comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition holds within this time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


class Starter:
    """A thread that lives as long as the world, for all of its servers to be started from.

    A server dies with the thread that started it: that is the launcher's leash.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="starter")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def call(self, function: Callable[[], T]) -> T:
        return self._threads.submit(function).result()


class Served:
    """A server that can be harmed, and that comes back at the same address."""

    def __init__(self, process: postgres.Server | valkey.Server, starter: Starter) -> None:
        self.process = process
        self._starter = starter

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self.process.stop()

    @property
    def url(self) -> str:
        """Its own address, past every proxy."""
        return self.process.url

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def start(self) -> None:
        """Return when it is ready. It may be refused at first by what is left of the last one."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self._starter.call(self.process.start)
                self.process.wait_until_ready(PATIENCE_SECONDS)
            except LaunchError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return

    def recover(self) -> None:
        """Start it if it has ended by itself; return when it is ready."""
        if self.process.is_running():
            with suppress(LaunchError):  # It may be about to end.
                self.process.wait_until_ready(PATIENCE_SECONDS)
        if not self.process.is_ready():
            self.start()

    def kill(self) -> None:
        """As `kill -9` does."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        signal_all(family(self.process.pid), signal.SIGSTOP)

    def thaw(self) -> None:
        signal_all(family(self.process.pid), signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        os.kill(self.process.pid, how)
        eventually(lambda: not self.process.is_running())


class Postgres(Served):
    """PostgreSQL with all that makes it durable."""

    def stop_immediately(self) -> None:
        """Its immediate shutdown: it will have to recover."""
        self._end(signal.SIGQUIT)

    def restart_immediately(self) -> None:
        self.stop_immediately()
        self.start()


class Broker(Served):
    """Valkey, which notes all it is told in a file once a second."""

    def __init__(self, folder: Path, starter: Starter) -> None:
        super().__init__(valkey.Server(folder), starter)
        self._notes = folder / "data"

    def __exit__(self, *_: object) -> None:
        self.client.close()
        super().__exit__()

    def start(self) -> None:
        super().start()
        self.client = signals.connect(self.url)

    def forget(self) -> None:
        """Delete its notes, while it does not run: it will start empty."""
        shutil.rmtree(self._notes)


class Volume:
    """A folder on a file system of its own, where this user may make one, and that can be full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        self.obstacle = self._mount("-t", "tmpfs", "-o", f"size={VOLUME_BYTES}", "tmpfs")
        return self

    def __exit__(self, *_: object) -> None:
        if not self.obstacle:
            # Lazily: what still runs here when a campaign is broken off must not keep it mounted.
            subprocess.run(["umount", "--lazy", self.folder], check=True)

    @contextmanager
    def full(self) -> Iterator[None]:
        """There is room for what is there, and for nothing else.

        Raises:
            Spared: the folder is a part of a file system that others need.
        """
        if self.obstacle:
            raise Spared(f"no small file system could be mounted: {self.obstacle}")
        eventually(lambda: not self._resize(self._used_bytes()))
        try:
            yield
        finally:
            if problem := self._resize(VOLUME_BYTES):
                raise RuntimeError(problem)

    def _used_bytes(self) -> int:
        status = os.statvfs(self.folder)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        return max(used, status.f_frsize)  # A size of 0 would mean one without a limit.

    def _resize(self, size_bytes: int) -> str:
        return self._mount("-o", f"remount,size={size_bytes}")

    def _mount(self, *arguments: str) -> str:
        """Why that is not possible; empty if it is done."""
        if sys.platform != "linux":
            return "this is not Linux"
        command = ["mount", *arguments, str(self.folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return done.stderr.strip()


class _Clues(Sequence[Any]):
    """So many that no campaign gets to know them all; each is made when it is asked for."""

    def __len__(self) -> int:
        return CLUES

    @overload
    def __getitem__(self, number: int) -> Any: ...
    @overload
    def __getitem__(self, number: slice) -> list[Any]: ...
    def __getitem__(self, number: int | slice) -> Any:
        if isinstance(number, slice):
            return [make_clue(each) for each in range(*number.indices(CLUES))]
        return make_clue(number)


class World:
    """Everything, running from the moment the world is entered; `settings` are the product's.

    `folder` must be one that PostgreSQL's account can reach when root starts it.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.crash_points = folder / "crash-points"
        """Where a file makes the product crash, at the point of that name."""
        self.temporary = folder / "temporary"
        """Where the product makes its temporary files."""
        self._settings = settings
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self, stack: ExitStack) -> None:
        enter = stack.enter_context
        starter = enter(Starter())
        self.crash_points.mkdir()
        self.temporary.mkdir()
        self.uploads_volume = enter(Volume(self.folder / "uploads"))
        self.database_volume = enter(Volume(self.folder / "postgres"))
        self.postgres = enter(Postgres(postgres.Server(self.database_volume.folder), starter))
        self.broker = enter(Broker(self.folder / "broker", starter))
        self.source = enter(JService())
        self.source.clues = _Clues()
        self.database_proxy = enter(Proxy(self.postgres.port))
        self.broker_proxy = enter(Proxy(self.broker.port))
        self.source_proxy = enter(Proxy(urlsplit(self.source.url).port or 0))
        self.product = enter(Product(self.folder, **{**self._environment(), **self._settings}))
        engine = databases.connect(
            self.postgres.url, application=APPLICATION, pool_size=20, statement_timeout_seconds=20
        )
        stack.callback(engine.dispose)
        self.database = Database(engine)

    def _environment(self) -> dict[str, str]:
        return {
            **SETTINGS,
            "DATABASE_URL": _through(self.database_proxy, self.postgres.url),
            "REDIS_URL": _through(self.broker_proxy, self.broker.url),
            "QUESTION_SOURCES": f"jservice={_through(self.source_proxy, self.source.url)}",
            "UPLOADS_URL": self.uploads.as_uri(),
            "CRASH_POINTS": str(self.crash_points),
            "TMPDIR": str(self.temporary),
        }

    @property
    def url(self) -> str:
        """Of the API."""
        return self.product.url

    @property
    def uploads(self) -> Path:
        """Where uploads wait for their conversion."""
        return self.uploads_volume.folder

    @property
    def data(self) -> Path:
        """The product's folder: `run/<process>.pid`, `logs/<process>.log`."""
        return self.product.data

    def pid_of(self, process: str) -> int:
        """Of `api`, `worker-records`, `worker-questions` or `flower`, as last started."""
        return self.product.pid_of(process)

    def process(self, name: str) -> psutil.Process:
        """The same, once it is there: after a kill, the pid may be that of the last one."""
        found: psutil.Process = eventually(lambda: alive(self.pid_of(name)))
        return found

    def processes(self) -> list[psutil.Process]:
        """`run.py`, and all that it started; none if it does not run."""
        return family(self.product.process.pid)

    def pool(self) -> list[psutil.Process]:
        """The processes that convert recordings; the worker's main process is their parent."""

        def children() -> list[psutil.Process]:
            with suppress(psutil.NoSuchProcess):
                return self.process("worker-records").children()
            return []

        found: list[psutil.Process] = eventually(children)
        return found

    def backends(self) -> list[int]:
        """The pids of PostgreSQL's processes that serve the product at the moment."""
        mine = "application_name LIKE 'quaver %' AND application_name <> :mine"
        statement = text(f"SELECT pid FROM pg_stat_activity WHERE {mine}")
        with self.database.statements() as session:
            return list(session.scalars(statement, {"mine": f"quaver {APPLICATION}"}))

    def restart_run(self) -> None:
        """Start the product again, after `run.py` itself was killed."""
        eventually(lambda: not self.product.is_running())
        self.product.start()


def _through(proxy: Proxy, url: str) -> str:
    """The same address with the proxy's port."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}")).geturl()


def family(pid: int) -> list[psutil.Process]:
    """A process and all that come from it; none if it has ended."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to those that are still there."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def alive(pid: int) -> psutil.Process | None:
    """The process, unless it has ended."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    return None
