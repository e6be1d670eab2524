"""Signals between real processes' ends of a real broker."""

import asyncio
from contextlib import aclosing
from uuid import uuid4

import pytest
from redis import RedisError

from shared import signals
from shared.models import State
from shared.signals import Signal

NOWHERE = "redis://127.0.0.1:1/0"


def test_a_listener_hears_what_is_published_after_it_has_begun(redis_url: str) -> None:
    job_id = uuid4()
    client = signals.connect(redis_url)

    async def hear() -> tuple[Signal | None, Signal | None]:
        async with aclosing(signals.listen(redis_url)) as listening:  # type: ignore[type-var]
            beginning = await anext(listening)
            client.publish(signals.CHANNEL, "not a signal")
            signals.publish(client, job_id, State.RUNNING, 0.5)
            return beginning, await anext(listening)

    heard = asyncio.run(asyncio.wait_for(hear(), 10))

    assert heard == (None, Signal(job_id, State.RUNNING, 0.5))
    client.close()


def test_a_broker_that_is_away_is_no_error_for_who_publishes() -> None:
    client = signals.connect(NOWHERE)

    signals.publish(client, uuid4(), State.DONE, 1)
    signals.announce(client, "records")


def test_a_broker_that_is_away_is_an_error_for_who_listens() -> None:
    async def hear() -> None:
        await anext(signals.listen(NOWHERE))

    with pytest.raises(RedisError):
        asyncio.run(asyncio.wait_for(hear(), 10))


def test_workers_that_announced_themselves_are_known(redis_url: str) -> None:
    client = signals.connect(redis_url)

    signals.announce(client, "records")

    assert asyncio.run(signals.announced(redis_url)) == {"records"}
    client.close()
