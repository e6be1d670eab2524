import os
import signal
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import NamedTuple

import pytest

from worker.cores import Cores

fork = get_context("fork")


class Worker(NamedTuple):
    """Another process, which holds cores until it is told to give them back."""

    process: ForkProcess
    pipe: Connection

    def took(self) -> int:
        count: int = self.pipe.recv()
        return count


def work(cores: Cores, most: int, pipe: Connection) -> None:
    with cores.taken(most) as count:
        pipe.send(count)
        pipe.recv()


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    started: list[Worker] = []
    yield started
    for worker in started:
        worker.process.kill()
        worker.process.join()


def start(workers: list[Worker], cores: Cores, most: int) -> Worker:
    ours, theirs = fork.Pipe()
    process = fork.Process(target=work, args=(cores, most, theirs))
    process.start()
    workers.append(Worker(process, ours))
    return workers[-1]


def test_a_core_is_taken_by_one_at_a_time(workers: list[Worker]) -> None:
    cores = Cores(4)
    assert start(workers, cores, 1).took() == 1

    with cores.taken(2) as first, cores.taken(4) as rest:
        assert (first, rest) == (2, 1)
        assert start(workers, cores, 1).took() == 0


def test_a_core_that_was_given_back_is_free(workers: list[Worker]) -> None:
    cores = Cores(1)
    with cores.taken(1) as count:
        assert count == 1

    assert start(workers, cores, 1).took() == 1


def test_a_killed_process_gives_its_cores_back(workers: list[Worker]) -> None:
    cores = Cores(2)
    worker = start(workers, cores, 2)
    assert worker.took() == 2
    with cores.taken(2) as count:
        assert count == 0

    os.kill(worker.process.pid or 0, signal.SIGKILL)
    worker.process.join()

    with cores.taken(2) as count:
        assert count == 2
