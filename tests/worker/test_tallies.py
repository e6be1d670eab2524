"""Counting in Redis, which may be away."""

import asyncio
from collections.abc import Iterator

import pytest
from redis import Redis

from launcher import ports
from shared import signals, tallies
from worker.board import Board
from worker.tallies import Tallies


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    client = signals.connect(redis_url)
    yield client
    client.close()


def test_attempts_are_counted_by_how_long_they_took(redis: Redis, redis_url: str) -> None:
    counting = Tallies(Board(redis))
    for seconds in (0.01, 0.02, 0.025, 3600):
        counting.attempt("records.convert", "done", seconds)
    counting.attempt("records.convert", "failed", 0)

    assert asyncio.run(tallies.read(redis_url)) == {
        ("attempts", "records.convert", "done", "0.01"): 1,
        ("attempts", "records.convert", "done", "0.025"): 2,
        ("attempts", "records.convert", "done", "inf"): 1,
        ("seconds", "records.convert", "done"): pytest.approx(3600.055),
        ("attempts", "records.convert", "failed", "0.01"): 1,
        ("seconds", "records.convert", "failed"): 0,
    }


def test_what_recovery_does_is_counted(redis: Redis, redis_url: str) -> None:
    counting = Tallies(Board(redis))
    counting.expiry("records.convert")
    counting.hint("questions.collect")
    counting.hint("questions.collect")

    assert asyncio.run(tallies.read(redis_url)) == {
        ("expiries", "records.convert"): 1,
        ("hints", "questions.collect"): 2,
    }


def test_nothing_counted_is_nothing(redis_url: str) -> None:
    assert asyncio.run(tallies.read(redis_url)) == {}


def test_without_redis_the_work_goes_on() -> None:
    client = signals.connect(f"redis://{ports.LOOPBACK}:{ports.free()}/0")

    Tallies(Board(client)).expiry("records.convert")

    client.close()
