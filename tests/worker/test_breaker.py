"""The breaker: failing sources are passed over, by all workers, and Redis may be away."""

import time
from collections.abc import Iterator

import pytest
from redis import Redis

from shared import signals
from shared.outages import Outage
from worker.board import Board
from worker.breaker import LONGEST_SECONDS, Breaker


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    client = signals.connect(redis_url)
    yield client
    client.close()


@pytest.fixture
def breaker(redis: Redis) -> Breaker:
    return Breaker(Board(redis))


def trip_again(breaker: Breaker, redis: Redis, source: str) -> int:
    """Fail once more, after the time of the last failure has passed."""
    redis.delete(f"quaver:source:{source}:open")
    return breaker.trip(source, "failed")


def test_a_failure_is_known_to_all_workers(breaker: Breaker, redis: Redis) -> None:
    breaker.trip("jservice", "answered with status 500")

    outages = Breaker(Board(redis)).outages(["jservice", "bank"])

    assert outages == {"jservice": Outage("answered with status 500", 5)}


def test_an_outage_ends_by_itself(breaker: Breaker, redis: Redis) -> None:
    breaker.trip("jservice", "failed")

    assert 0 < redis.pttl("quaver:source:jservice:open") <= 5000


def test_further_failures_count_double_up_to_a_minute(breaker: Breaker, redis: Redis) -> None:
    seconds = [trip_again(breaker, redis, "jservice") for _ in range(6)]

    assert seconds == [5, 10, 20, 40, 60, 60]


def test_failures_side_by_side_count_once(breaker: Breaker, redis: Redis) -> None:
    for _ in range(20):
        breaker.trip("jservice", "failed")

    assert trip_again(breaker, redis, "jservice") == 10


def test_a_success_ends_the_outage_and_the_count(breaker: Breaker, redis: Redis) -> None:
    breaker.trip("jservice", "failed")
    breaker.reset("jservice")

    assert breaker.outages(["jservice"]) == {}
    assert trip_again(breaker, redis, "jservice") == 5


def test_the_wish_of_a_source_is_followed_up_to_a_minute(breaker: Breaker) -> None:
    assert breaker.trip("one", "failed", at_least_seconds=17) == 17
    assert breaker.trip("other", "failed", at_least_seconds=86_400) == LONGEST_SECONDS


def test_one_at_a_time_may_probe(breaker: Breaker) -> None:
    with breaker.probe("jservice", seconds=10) as first:
        with breaker.probe("jservice", seconds=10) as second:
            pass
        with breaker.probe("bank", seconds=10) as of_another:
            pass
    with breaker.probe("jservice", seconds=10) as later:
        pass

    assert (first, second, of_another, later) == (True, False, True, True)


def test_without_redis_there_is_no_breaker_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    client = signals.connect("redis://127.0.0.1:1")
    breaker = Breaker(Board(client))

    assert breaker.outages(["jservice"]) == {}
    assert breaker.trip("jservice", "failed") == 5
    breaker.reset("jservice")
    with breaker.probe("jservice", seconds=1) as is_free:
        assert is_free
    assert sum("it is away" in message for message in caplog.messages) == 1
    client.close()


def test_an_absent_redis_is_left_alone_for_a_while() -> None:
    client = signals.connect("redis://127.0.0.1:1")
    breaker = Breaker(Board(client))
    breaker.outages(["jservice"])

    started = time.monotonic()
    for _ in range(1000):
        breaker.outages(["jservice"])

    assert time.monotonic() - started < 1
    client.close()
