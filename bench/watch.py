"""Measuring: ways in turn, how fast others are answered meanwhile, and the memory it takes."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

from bench.ways import Way
from tests.acceptance.product import Product

PROBE_SECONDS = 0.01
SAMPLE_SECONDS = 0.3
"""A look at the memory of a process takes the kernel some 3 ms."""


@dataclass
class Result:
    """How one way did with one sound."""

    seconds: list[float] = field(default_factory=list)
    mp3_bytes: int = 0

    @property
    def median(self) -> float:
        return median(self.seconds)


def race(
    ways: Sequence[Way],
    wav: Path,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Result]:
    """Time the ways in turn, A B C A B C, so that a busy moment of the machine falls on all.

    One round more goes first, to warm up, and does not count.
    """
    results: defaultdict[str, Result] = defaultdict(Result)
    for number in range(1 + rounds):
        for way in ways:
            began = clock()
            mp3_bytes = way.convert(wav)
            if number:
                results[way.name].seconds.append(clock() - began)
                results[way.name].mp3_bytes = mp3_bytes
    return dict(results)


def probe(ask: Callable[[], object], *, goes_on: Callable[[], bool]) -> list[float]:
    """How many seconds each answer took, asked for a hundred times a second while it goes on.

    Counted from when a question was due, not from when it was put: an answer that takes a second
    delays those of a hundred who would have asked in that second.
    """
    taken = []
    due = time.perf_counter()
    while goes_on():
        time.sleep(max(0.0, due - time.perf_counter()))
        ask()
        taken.append(time.perf_counter() - due)
        due += PROBE_SECONDS
    return taken


@contextmanager
def peak_memory(product: Product) -> Iterator[dict[str, int]]:
    """The most bytes that the API and each conversion process had while the block ran.

    Memory that processes share counts as a part in each (PSS); where the system cannot tell that,
    what each has alone (USS).
    """
    peaks: dict[str, int] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            for name, process in _processes(product).items():
                with suppress(psutil.Error):
                    peaks[name] = max(peaks.get(name, 0), _memory_bytes(process))

    thread = threading.Thread(target=watch, name="memory")
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


def _processes(product: Product) -> dict[str, psutil.Process]:
    """By their names in the report; none of those that are being restarted."""
    with suppress(psutil.Error, OSError):
        pool = psutil.Process(product.pid_of("worker-records")).children()
        conversions = {f"conversion process {n}": child for n, child in enumerate(pool, start=1)}
        return {"API": psutil.Process(product.pid_of("api")), **conversions}
    return {}


def _memory_bytes(process: psutil.Process) -> int:
    memory = process.memory_full_info()
    return int(getattr(memory, "pss", memory.uss))
