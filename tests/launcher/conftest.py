import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher import processes
from launcher.processes import Process
from launcher.supervision import Interrupts, Supervisor
from tests import folders

Eventually = Callable[[Callable[[], object]], None]
MakeProcess = Callable[..., Process]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that PostgreSQL's account can reach, which pytest's own are not for root."""
    with folders.temporary() as path:
        yield path


@pytest.fixture
def eventually() -> Eventually:
    """Waits until a condition holds."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < deadline, "that never came true"
            time.sleep(0.01)

    return wait


@pytest.fixture
def make_process(folder: Path) -> Iterator[MakeProcess]:
    """Makes processes that run a piece of Python, and ends those that are left."""
    made: list[Process] = []

    def make(
        code: str, name: str = "child", *, grace_seconds: float = 10, **environment: str
    ) -> Process:
        process = Process(
            name,
            [sys.executable, "-c", code],
            log_file=folder / f"{name}.log",
            environment=environment,
            folder=folder,
            grace_seconds=grace_seconds,
        )
        made.append(process)
        return process

    yield make
    for process in made:
        if process.is_running():
            process.kill()
    processes.stop_all(made)


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    with Interrupts() as noted:
        yield noted


@pytest.fixture
def said() -> list[str]:
    """What the supervisor told its operator."""
    return []


@pytest.fixture
def supervisor(folder: Path, interrupts: Interrupts, said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(folder / "run", interrupts, said.append)
    yield made
    made.stop()
