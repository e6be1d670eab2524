"""What has happened in the whole service, counted in Redis by whoever does it.

Processes come and go, and those that work have no port of their own to be asked at; so they count
in one place, and every API process shows the same sums. The rows of ended jobs are no such place:
there may be millions to count. A count that is lost, by a kill just before it or with Redis's
memory, is a dent in a chart and nothing else: Prometheus expects counters to begin anew.
"""

from collections.abc import Mapping
from math import inf
from typing import Literal, cast

from redis import Redis

from shared import signals

Outcome = Literal["done", "split", "failed", "retried", "lost"]
"""What became of an attempt at a job. One whose worker was killed has none: its lease expires."""

BOUNDS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, inf)
"""Between which attempts are counted: a voice note takes some hundredths of a second, a day's
recording in a codec that cannot be cut half an hour."""

KEY = "quaver:tallies"

Sums = Mapping[tuple[str, ...], float]
"""What is counted, with its labels, and how much of it."""


def add(client: Redis, sums: Sums) -> None:
    """Raises: RedisError."""
    with client.pipeline(transaction=False) as pipeline:
        for what, much in sums.items():
            pipeline.hincrbyfloat(KEY, "|".join(what), much)
        pipeline.execute()


async def read(url: str) -> Sums:
    """All sums, without holding up an event loop. Raises: RedisError."""
    async with signals.connected(url) as client:
        found = cast(dict[bytes, bytes], await client.hgetall(KEY))
    return {tuple(what.decode().split("|")): float(much) for what, much in found.items()}
