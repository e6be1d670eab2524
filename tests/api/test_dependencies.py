"""Transactions in threads, when the database takes too long."""

import asyncio
import threading

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import dependencies
from api.dependencies import Transactions
from shared import errors, users
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
