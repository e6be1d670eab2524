"""Connections and transactions, judged by what the server sees."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from shared import jobs
from shared.database import Database
from shared.models import Job


def backend(database: Database) -> int:
    """The server's process for the connection that is used now."""
    with database.statements() as session:
        pid: int = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        return pid


def test_a_connection_that_the_server_has_closed_is_not_used(
    database: Database, admin: Engine
) -> None:
    closed = backend(database)
    assert backend(database) == closed

    with admin.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": closed})

    assert backend(database) != closed


def test_times_are_in_utc_wherever_the_server_is(database: Database, admin: Engine) -> None:
    name = database.engine.url.database
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET timezone = 'Asia/Kolkata'"))

    with database.statements() as session:
        now = session.execute(text("SELECT now()")).scalar_one()

    assert now.utcoffset() == timedelta(0)


def test_an_error_does_not_tell_the_values_that_it_met(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught, database.statements() as session:
        session.execute(text("SELECT 1 / (length(:name) - 6)"), {"name": "Zaphod"})

    assert "Zaphod" not in str(caught.value)


def test_a_transaction_is_undone_when_it_breaks_off_and_statements_are_not(
    database: Database,
) -> None:
    with pytest.raises(InterruptedError), database.transaction() as session:
        jobs.create(session, jobs.COLLECT, {"count": 1})
        raise InterruptedError

    with pytest.raises(InterruptedError), database.statements() as session:
        kept = jobs.create(session, jobs.COLLECT, {"count": 2})
        raise InterruptedError

    with database.statements() as session:
        assert session.scalars(select(Job.id)).all() == [kept.id]


def test_statements_leave_connections_as_they_were(database: Database) -> None:
    same = backend(database)

    with pytest.raises(InterruptedError), database.transaction() as session:
        assert session.scalar(text("SELECT pg_backend_pid()")) == same
        jobs.create(session, jobs.COLLECT, {"count": 1})
        raise InterruptedError

    with database.statements() as session:
        assert session.scalars(select(Job.id)).all() == []
