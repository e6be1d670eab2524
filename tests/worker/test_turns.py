"""Turns: a limit holds among all workers, and whoever cannot wait is told at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from launcher import ports
from shared import signals
from shared.sources import Limit
from worker.board import Board
from worker.turns import MARGIN_SECONDS, Turns


@pytest.fixture(params=["shared", "of this process"])
def turns(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Turns]:
    """Three in ten seconds; with Redis and without."""
    url = redis_url if request.param == "shared" else f"redis://127.0.0.1:{ports.free()}"
    with closing(signals.connect(url)) as client:
        yield Turns("somewhere", Limit(3, 10 - MARGIN_SECONDS), Board(client))


def waits(turns: Turns, count: int, *, patience: float) -> list[int]:
    """In whole seconds."""
    return [round(turns.reserve(patience)) for _ in range(count)]


def test_turns_are_reserved_one_behind_the_other(turns: Turns) -> None:
    assert waits(turns, 8, patience=60) == [0, 0, 0, 10, 10, 10, 20, 20]


def test_who_cannot_wait_takes_no_turn(turns: Turns) -> None:
    assert waits(turns, 3, patience=0) == [0, 0, 0]
    assert waits(turns, 50, patience=9) == [10] * 50
    assert waits(turns, 1, patience=11) == [10]


def test_workers_side_by_side_get_no_turn_twice(turns: Turns) -> None:
    with ThreadPoolExecutor(8) as threads:
        reserved = list(threads.map(lambda _: round(turns.reserve(60)), range(12)))

    assert sorted(reserved) == [0, 0, 0, 10, 10, 10, 20, 20, 20, 30, 30, 30]


def test_two_processes_share_the_turns_of_a_source(redis_url: str) -> None:
    with closing(signals.connect(redis_url)) as one, closing(signals.connect(redis_url)) as other:
        first = Turns("somewhere", Limit(1, 5), Board(one))
        second = Turns("somewhere", Limit(1, 5), Board(other))
        elsewhere = Turns("elsewhere", Limit(1, 5), Board(other))

        assert first.reserve(0) == 0
        assert 5 < second.reserve(0) <= 5 + MARGIN_SECONDS
        assert elsewhere.reserve(0) == 0


def test_no_more_is_kept_than_counts(redis_url: str) -> None:
    with closing(signals.connect(redis_url)) as client:
        turns = Turns("somewhere", Limit(2, 5), Board(client))
        waits(turns, 6, patience=60)

        assert client.llen("quaver:source:somewhere:turns") == 2
        assert 15_000 < client.pttl("quaver:source:somewhere:turns") <= 16_500
