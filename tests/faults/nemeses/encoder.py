"""An encoder that takes its process down, stands still, or is given no more memory."""

import resource
import signal
import time
from contextlib import suppress
from random import Random

import psutil

from tests.faults.nemeses.nemesis import MOMENT_SECONDS, Nemesis, Strike, endure
from tests.faults.nemeses.processes import FREEZE_SECONDS
from tests.faults.world import Spared, World

SAMPLE_SECONDS = 0.05
BUSY_PERCENT = 25
MEMORY_SECONDS = 5


def busy_child(world: World) -> psutil.Process:
    """A process of the pool in mid-encode.

    Raises:
        Spared: none of them has anything to do.
    """
    deadline = time.monotonic() + MOMENT_SECONDS
    while time.monotonic() < deadline:
        for child in world.pool():
            with suppress(psutil.NoSuchProcess):
                if child.cpu_percent(SAMPLE_SECONDS) > BUSY_PERCENT:
                    return child
    raise Spared("nothing was encoded at that time")


def crash(how: signal.Signals) -> Strike:
    return lambda world, _random: busy_child(world).send_signal(how)


def hang(world: World, _random: Random) -> None:
    child = busy_child(world)
    child.suspend()
    try:
        endure(FREEZE_SECONDS)
    finally:
        with suppress(psutil.NoSuchProcess):
            child.resume()


def take_memory(world: World, _random: Random) -> None:
    """Let it keep what it has, and get no more for some seconds."""
    child = busy_child(world)
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        _limit_memory(child, child.memory_info().vms)
        endure(MEMORY_SECONDS)
        _limit_memory(child, resource.RLIM_INFINITY)


def _limit_memory(child: psutil.Process, size_bytes: int) -> None:
    # The hard limit stays, so that whoever owns the process may raise the soft one again.
    resource.prlimit(child.pid, resource.RLIMIT_AS, (size_bytes, resource.RLIM_INFINITY))


NEMESES = (
    Nemesis("encoder aborts its process", crash(signal.SIGABRT)),
    Nemesis("encoder reads beyond its memory", crash(signal.SIGSEGV)),
    Nemesis("encoder hangs past its lease", hang),
    Nemesis("encoder gets no memory", take_memory),
)
