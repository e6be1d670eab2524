"""Sources that failed a moment ago are passed over: all workers know of it, through Redis.

It saves the time of asking a server that is down while another one can serve. It is a help and
not a need: without Redis every source counts as well.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from redis import Redis

from shared import outages
from shared.outages import Outage
from worker.board import Board

SHORTEST_SECONDS = 5
LONGEST_SECONDS = 60
"""One failure opens the breaker for the shortest time, each further one for twice as long."""

MEMORY_SECONDS = 600
"""Failures farther apart than this do not add up."""

log = logging.getLogger(__name__)


class Breaker:
    """What the workers know about failing sources. No method raises because of Redis."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def outages(self, sources: Iterable[str]) -> dict[str, Outage]:
        """Those of the sources that are being passed over."""
        names = list(sources)
        return self._board.ask(lambda redis: outages.noted(redis, names), otherwise=dict)

    def trip(self, source: str, reason: str, *, at_least_seconds: int = 0) -> int:
        """Pass the source over; returns for how many seconds.

        Jobs that fail side by side count as one failure. `at_least_seconds` is the source's own
        wish; beyond `LONGEST_SECONDS` it is not followed, for one request a minute is no burden
        and a mistaken header must not switch a source off for a day.
        """

        def write(redis: Redis) -> int:
            failures = int(redis.get(_failures_key(source)) or 0)
            seconds = _open_seconds(failures, at_least_seconds)
            if redis.set(outages.key(source), reason, nx=True, ex=seconds):
                with redis.pipeline() as pipeline:
                    pipeline.incr(_failures_key(source))
                    pipeline.expire(_failures_key(source), MEMORY_SECONDS)
                    pipeline.execute()
            return seconds

        log.warning("source %s %s", source, reason)
        return self._board.ask(write, otherwise=lambda: _open_seconds(0, at_least_seconds))

    def reset(self, source: str) -> None:
        """The source works."""
        self._board.ask(
            lambda redis: redis.delete(outages.key(source), _failures_key(source)),
            otherwise=lambda: None,
        )

    @contextmanager
    def probe(self, source: str, *, seconds: float) -> Iterator[bool]:
        """Whether this job may ask a source that is being passed over: one at a time may.

        The right ends with the block or, should the process die, after `seconds`. Then two may
        ask at once, which harms nobody.
        """
        key = f"quaver:source:{source}:probe"
        milliseconds = max(1, int(seconds * 1000))
        is_free = self._board.ask(
            lambda redis: bool(redis.set(key, "1", nx=True, px=milliseconds)),
            otherwise=lambda: True,
        )
        try:
            yield is_free
        finally:
            if is_free:
                self._board.ask(lambda redis: redis.delete(key), otherwise=lambda: None)


def _failures_key(source: str) -> str:
    return f"quaver:source:{source}:failures"


def _open_seconds(failures: int, at_least_seconds: int) -> int:
    grown = SHORTEST_SECONDS << min(failures, 10)
    return min(LONGEST_SECONDS, max(grown, at_least_seconds))
