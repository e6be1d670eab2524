"""The memory that services take while they are measured."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

from bench.services import Service

LEAST_PAUSE_SECONDS = 0.2
SHARE_OF_A_CORE = 0.03
"""What looking may take."""

GRAIN_BYTES = 1 << 20


@contextmanager
def peaks(services: Sequence[Service]) -> Iterator[dict[str, int]]:
    """The most bytes that each process had while the block ran, and each service at one moment.

    Memory that processes share counts as a part in each (PSS); where the system cannot tell that,
    what each has alone (USS). A peak shorter than the pause between two looks may be missed.
    """
    peaks: dict[str, int] = {}
    ended = threading.Event()

    def watch() -> None:
        scales, pause_seconds = _Scales(), 0.0
        while not ended.wait(pause_seconds):
            began = time.monotonic()
            for service in services:
                for name, size in _look(service, scales).items():
                    peaks[name] = max(peaks.get(name, 0), size)
            looked_seconds = time.monotonic() - began
            pause_seconds = max(LEAST_PAUSE_SECONDS, looked_seconds / SHARE_OF_A_CORE)

    thread = threading.Thread(target=watch, name="memory")
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


def total(service: str) -> str:
    """The name under which a service's peak of all processes together is found."""
    return f"{service}, all together"


class _Scales:
    """Weighs processes, which costs some milliseconds each: only those that grew or shrank."""

    def __init__(self) -> None:
        self._known: dict[psutil.Process, tuple[int, int]] = {}

    def weigh(self, process: psutil.Process) -> int:
        try:
            resident = process.memory_info().rss
            then, weight = self._known.get(process, (0, 0))
            if abs(resident - then) >= GRAIN_BYTES:
                memory = process.memory_full_info()
                weight = int(getattr(memory, "pss", memory.uss))
                self._known[process] = resident, weight
        except psutil.NoSuchProcess:  # PostgreSQL's and ffmpeg come and go.
            return 0
        return weight


def _look(service: Service, scales: _Scales) -> dict[str, int]:
    """Bytes by process, and of all; nothing while one of them is being replaced."""
    with suppress(psutil.Error, OSError, ValueError):
        sizes = {
            name: sum(map(scales.weigh, processes))
            for name, processes in service.processes().items()
        }
        return {**sizes, total(service.name): sum(sizes.values())}
    return {}
