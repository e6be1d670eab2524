"""Signals between real processes' ends of a real broker."""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from contextlib import aclosing
from uuid import uuid4

import pytest
import uvloop
from redis import RedisError
from redis.asyncio import Connection

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


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_broker_that_hangs_up_while_it_is_spoken_to_is_away(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, new_loop: Callable[[], AbstractEventLoop]
) -> None:
    send = Connection._send_packed_command

    async def lose_and_send(connection: Connection, command: Iterable[bytes]) -> None:
        assert connection._writer is not None
        connection._writer.transport.abort()
        await asyncio.sleep(0)  # The loop, which a reset takes by surprise, has closed it now.
        await send(connection, command)

    monkeypatch.setattr(Connection, "_send_packed_command", lose_and_send)

    with asyncio.Runner(loop_factory=new_loop) as runner, pytest.raises(RedisError):
        runner.run(signals.announced(redis_url))


def test_workers_that_announced_themselves_are_known(redis_url: str) -> None:
    client = signals.connect(redis_url)

    signals.announce(client, "records")

    assert asyncio.run(signals.announced(redis_url)) == {"records"}
    client.close()
