"""Transactions in threads, when the database takes too long."""

import asyncio
import itertools
import threading
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api import dependencies
from api.dependencies import Services, Transactions
from shared import errors, jobs, users
from shared.database import Database
from shared.models import User


def test_what_was_given_up_is_not_stored_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "DATABASE_SECONDS", 0.1)
    transact = Transactions(database, at_once=1)
    has_been_told = threading.Event()

    def create_slowly(session: Session) -> None:
        users.create(session, "Ghost")
        assert has_been_told.wait(10)

    async def give_up() -> None:
        with pytest.raises(errors.DatabaseUnavailable):
            await transact(create_slowly)
        has_been_told.set()
        # The one thread is free again once the work that was given up has ended.
        monkeypatch.setattr(dependencies, "DATABASE_SECONDS", 10)
        assert await transact(lambda session: session.scalar(select(User.name))) is None

    asyncio.run(give_up())


def test_no_more_threads_wait_than_may_work(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "DATABASE_SECONDS", 0.1)
    transact = Transactions(database, at_once=2)
    begun, thawed = itertools.count(), threading.Event()

    def freeze(_: Session) -> None:
        next(begun)
        assert thawed.wait(10)

    async def ask_a_frozen_server() -> None:
        for _ in range(5):
            with pytest.raises(errors.DatabaseUnavailable):
                await transact.read(freeze)
        thawed.set()

    asyncio.run(ask_a_frozen_server())

    assert next(begun) == 2


def test_many_wait_for_a_server_that_is_busy(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "DATABASE_SECONDS", 0.5)
    transact = Transactions(database, at_once=1)

    def nap(session: Session) -> None:
        session.execute(select(func.pg_sleep(0.2)))

    async def ask_together() -> list[None]:
        return await asyncio.gather(*(transact.read(nap) for _ in range(6)))

    assert len(asyncio.run(ask_together())) == 6


def services(database: Database, woken: list[bool]) -> Services:
    """Services whose waiter wakes whoever waits, as often as said here."""
    return Services(
        settings=Mock(),
        transact=Transactions(database, at_once=1),
        queue=Mock(),
        waiter=Mock(ended=AsyncMock(side_effect=woken)),
        uploads=Mock(),
        broker_url="",
        question_stats=Mock(),
        places=Mock(),
    )


def test_a_workers_word_is_not_believed_before_the_row_says_the_same(database: Database) -> None:
    readings = iter([None, "done"])
    twice_woken = services(database, [True, True])

    outcome = asyncio.run(
        twice_woken.outcome(UUID(int=1), jobs.CONVERT, 60, lambda _: next(readings), is_new=True)
    )

    assert outcome == "done"


def test_who_is_not_woken_in_time_has_no_outcome(database: Database) -> None:
    never_woken = services(database, [False])

    outcome = asyncio.run(
        never_woken.outcome(UUID(int=1), jobs.CONVERT, 0, lambda _: "done", is_new=True)
    )

    assert outcome is None


def test_what_is_not_new_is_looked_at_though_nobody_waits(database: Database) -> None:
    never_woken = services(database, [False])

    outcome = asyncio.run(
        never_woken.outcome(UUID(int=1), jobs.CONVERT, 0, lambda _: "done", is_new=False)
    )

    assert outcome == "done"
