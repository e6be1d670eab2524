"""Timing: ways in turn, and how fast others are answered meanwhile."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.figures import Race, Result
from bench.ways import Way

PROBE_SECONDS = 0.01
PAUSE_SECONDS = 0.5


def race(
    ways: Sequence[Way],
    wav: Path,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Race:
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


def repeat(
    send: Callable[[], object],
    *,
    goes_on: Callable[[], bool],
    pause_seconds: float = PAUSE_SECONDS,
) -> list[float]:
    """How many seconds each took of what one client sends, with a pause before the next."""
    taken = []
    while goes_on():
        began = time.perf_counter()
        send()
        taken.append(time.perf_counter() - began)
        time.sleep(pause_seconds)
    return taken
