"""Sources that failed a moment ago are passed over: all workers know of it, through Redis.

It saves the time of asking a server that is down while another one can serve. It is a help and
not a need: without Redis every source counts as well.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from redis import Redis, RedisError

SHORTEST_SECONDS = 5
LONGEST_SECONDS = 60
"""One failure opens the breaker for the shortest time, each further one for twice as long."""

MEMORY_SECONDS = 600
"""Failures farther apart than this do not add up."""

REST_SECONDS = 30
"""How long Redis is left alone after it failed: asking a frozen one takes seconds each time."""

log = logging.getLogger(__name__)

T = TypeVar("T")


class Outage(NamedTuple):
    """A source that is being passed over: why, and for how long still."""

    reason: str
    seconds: int


class Breaker:
    """What the workers know about failing sources. No method raises because of Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._resting_until = 0.0

    def outages(self, sources: Iterable[str]) -> dict[str, Outage]:
        """Those of the sources that are being passed over."""
        names = list(sources)

        def read() -> dict[str, Outage]:
            with self._redis.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.get(_open_key(name))
                    pipeline.pttl(_open_key(name))
                replies = pipeline.execute()
            return {
                name: Outage(reason.decode(), max(1, -(-milliseconds // 1000)))
                for name, reason, milliseconds in zip(
                    names, replies[::2], replies[1::2], strict=True
                )
                if reason is not None
            }

        return self._ask(read, otherwise={})

    def trip(self, source: str, reason: str, *, at_least_seconds: int = 0) -> int:
        """Pass the source over; returns for how many seconds.

        Jobs that fail side by side count as one failure. `at_least_seconds` is the source's own
        wish; beyond `LONGEST_SECONDS` it is not followed, for one request a minute is no burden
        and a mistaken header must not switch a source off for a day.
        """

        def write() -> int:
            failures = int(self._redis.get(_failures_key(source)) or 0)
            seconds = _open_seconds(failures, at_least_seconds)
            if self._redis.set(_open_key(source), reason, nx=True, ex=seconds):
                with self._redis.pipeline() as pipeline:
                    pipeline.incr(_failures_key(source))
                    pipeline.expire(_failures_key(source), MEMORY_SECONDS)
                    pipeline.execute()
            return seconds

        log.warning("source %s %s", source, reason)
        return self._ask(write, otherwise=_open_seconds(0, at_least_seconds))

    def reset(self, source: str) -> None:
        """The source works."""
        self._ask(
            lambda: self._redis.delete(_open_key(source), _failures_key(source)), otherwise=None
        )

    @contextmanager
    def probe(self, source: str, *, seconds: float) -> Iterator[bool]:
        """Whether this job may ask a source that is being passed over: one at a time may.

        The right ends with the block or, should the process die, after `seconds`. Then two may
        ask at once, which harms nobody.
        """
        key = f"quaver:source:{source}:probe"
        milliseconds = max(1, int(seconds * 1000))
        is_free = self._ask(
            lambda: bool(self._redis.set(key, "1", nx=True, px=milliseconds)), otherwise=True
        )
        try:
            yield is_free
        finally:
            if is_free:
                self._ask(lambda: self._redis.delete(key), otherwise=None)

    def _ask(self, operation: Callable[[], T], *, otherwise: T) -> T:
        if time.monotonic() < self._resting_until:
            return otherwise
        try:
            return operation()
        except RedisError as error:
            log.warning("no breaker for %d s, Redis is away: %s", REST_SECONDS, error)
            self._resting_until = time.monotonic() + REST_SECONDS
            return otherwise


def _open_key(source: str) -> str:
    return f"quaver:source:{source}:open"


def _failures_key(source: str) -> str:
    return f"quaver:source:{source}:failures"


def _open_seconds(failures: int, at_least_seconds: int) -> int:
    grown = SHORTEST_SECONDS << min(failures, 10)
    return min(LONGEST_SECONDS, max(grown, at_least_seconds))
