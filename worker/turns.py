"""Turns at asking a server that allows so many requests in a time, among all workers.

A turn is reserved before it has come. So whoever asks is told at once how long to wait, nobody
polls, the order is that of asking, and who cannot wait that long takes no turn from the others.
A limiter that only says "not now" would keep every thread waiting for the same turn.
"""

import threading
import time
from collections import deque

from redis import Redis

from shared.sources import Limit
from worker.board import Board

MARGIN_SECONDS = 0.5
"""Added to a limit's time: a server counts from the arrival of a request, and one that is slow on
its way has the next one close behind it."""

# The list holds the times of the last turns, newest first, by Redis's clock, in milliseconds.
_RESERVE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local turns, window, patience = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local earlier = tonumber(redis.call('LINDEX', KEYS[1], turns - 1) or 0)
local wait = math.max(0, earlier + window - now)
if wait <= patience then
    redis.call('LPUSH', KEYS[1], string.format('%.0f', now + wait))
    redis.call('LTRIM', KEYS[1], 0, turns - 1)
    redis.call('PEXPIRE', KEYS[1], wait + window)
end
return wait
"""


class Turns:
    """Those at one server. Threads share it."""

    def __init__(self, name: str, limit: Limit, board: Board) -> None:
        self._key = f"quaver:source:{name}:turns"
        self._most = limit.requests
        self._window_seconds = limit.seconds + MARGIN_SECONDS
        self._board = board
        self._own: deque[float] = deque(maxlen=limit.requests)
        self._lock = threading.Lock()

    def reserve(self, patience_seconds: float) -> float:
        """In how many seconds the next turn comes. It is the caller's if that is not too long.

        Without Redis this process counts by itself.
        """
        return self._board.ask(
            lambda redis: self._reserve_shared(redis, patience_seconds),
            otherwise=lambda: self._reserve_own(patience_seconds),
        )

    def _reserve_shared(self, redis: Redis, patience_seconds: float) -> float:
        milliseconds = int(self._window_seconds * 1000), int(patience_seconds * 1000)
        wait: int = redis.eval(_RESERVE, 1, self._key, self._most, *milliseconds)
        return wait / 1000

    def _reserve_own(self, patience_seconds: float) -> float:
        with self._lock:
            now = time.monotonic()
            is_full = len(self._own) == self._most
            wait = max(0, self._own[0] + self._window_seconds - now) if is_full else 0
            if wait <= patience_seconds:
                self._own.append(now + wait)
            return wait
