"""What workers tell each other, and the API, through Redis.

It is a help and not a need: where Redis is away, every process goes by what it knows itself.
"""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from redis import Redis, RedisError

REST_SECONDS = 30
"""How long Redis is left alone after it failed: asking a frozen one takes seconds each time."""

log = logging.getLogger(__name__)

T = TypeVar("T")


class Board:
    """A Redis that may be away. Threads share it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._resting_until = 0.0

    def ask(self, operation: Callable[[Redis], T], *, otherwise: Callable[[], T]) -> T:
        """What the operation returns; without Redis, what `otherwise` does."""
        if time.monotonic() >= self._resting_until:
            try:
                return operation(self._redis)
            except RedisError as error:
                log.warning("Redis is left alone for %d s, it is away: %s", REST_SECONDS, error)
                self._resting_until = time.monotonic() + REST_SECONDS
        return otherwise()
