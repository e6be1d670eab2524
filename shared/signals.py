"""The door to Redis, and "job changed" over its pub/sub.

A signal only says that a job's row is worth reading again; the row answers. So a lost signal
delays a waiting client until its next look, and a forged or doubled one does nothing.
"""

import json
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

import redis
import redis.asyncio
from redis import Redis, RedisError

from shared.models import State

CHANNEL = "quaver:jobs"
WORKERS = "quaver:worker:"
WORKER_SECONDS = 10

log = logging.getLogger(__name__)


class Signal(NamedTuple):
    """What a message on the channel says."""

    job_id: UUID
    state: State
    progress: float


# Bounded in time and in connections: a frozen server must hold up nobody for longer.
PATIENCE: dict[str, Any] = {
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 5,
}


def connect(url: str) -> Redis:
    """A client with a small pool; a caller waits for a free connection instead of failing."""
    pool = redis.BlockingConnectionPool.from_url(url, max_connections=10, timeout=5, **PATIENCE)
    return Redis.from_pool(pool)  # Its `close` closes the pool's connections too.


def publish(client: Redis, job_id: UUID, state: State, progress: float) -> None:
    """Say that a job changed. Never raises: whoever waits reads the row again before long."""
    message = {"job": str(job_id), "state": state, "progress": progress}
    try:
        client.publish(CHANNEL, json.dumps(message))
    except RedisError as error:
        log.warning("signal for job %s not sent: %s", job_id, error)


def announce(client: Redis, worker: str) -> None:
    """Say that a worker group, `records` or `questions`, is at work here. Never raises."""
    try:
        client.set(f"{WORKERS}{worker}", "1", ex=WORKER_SECONDS)
    except RedisError as error:
        log.warning("worker %s not announced: %s", worker, error)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client whose every failure is a RedisError or an OSError.

    redis-py lets out what an event loop says to who writes to a connection that the server has
    closed: a RuntimeError is uvloop's, the others are asyncio's, depending on its version.
    """
    try:
        async with redis.asyncio.from_url(url, **PATIENCE) as client:
            yield client
    except (RuntimeError, TypeError, AttributeError) as error:
        raise redis.ConnectionError("the connection was closed") from error


async def announced(url: str) -> set[str]:
    """The worker groups that were at work in the last seconds.

    Raises:
        RedisError: Redis is away.
    """
    async with connected(url) as client:
        return {key.decode().removeprefix(WORKERS) async for key in client.scan_iter(f"{WORKERS}*")}


async def waiting(url: str, queues: Iterable[str]) -> dict[str, int]:
    """How many messages no worker has taken yet, by queue.

    Raises:
        RedisError: Redis is away.
    """
    names = list(queues)
    async with connected(url) as client, client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.llen(name)
        return dict(zip(names, await pipeline.execute(), strict=True))


async def listen(url: str) -> AsyncIterator[Signal | None]:
    """Signals as they come; None once the subscription stands, for what came before is unknown.

    Raises:
        RedisError: the connection is lost; listen again.
    """
    async with (
        connected(url) as client,
        client.pubsub(ignore_subscribe_messages=True) as subscription,
    ):
        await subscription.subscribe(CHANNEL)
        yield None
        while True:
            # The wait is shorter than the health check's interval, so that a connection which
            # has gone silent is found out by its unanswered ping.
            message = await subscription.get_message(timeout=2)
            if message is not None and (signal := _parse(message["data"])) is not None:
                yield signal


def _parse(data: bytes) -> Signal | None:
    try:
        message = json.loads(data)
        return Signal(UUID(message["job"]), State(message["state"]), float(message["progress"]))
    except (ValueError, KeyError, TypeError):
        log.warning("signal not understood: %r", data[:200])
        return None
