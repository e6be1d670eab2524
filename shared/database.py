"""The door to PostgreSQL: engines of bounded patience, transactions that name their failures."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2.errors
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from shared import errors

CONNECT_TIMEOUT_SECONDS = 3
IDLE_TRANSACTION_SECONDS = 30
SILENCE_SECONDS = 15
"""How long sent data may go unacknowledged; keepalives act only when nothing is under way."""


def connect(
    url: str, *, application: str, pool_size: int, statement_timeout_seconds: int
) -> Engine:
    """An engine for a URL of the form `postgresql://…`; it connects when first used.

    Either side gives up on the other after some seconds of silence: without that, a vanished
    worker's transaction would keep its row locks, and so its job, for hours, and a black-holed
    connection would be waited for as long. What a worker keeps that is merely frozen, the sweep
    takes from it (`jobs.evict`).
    """
    settings = {
        "statement_timeout": f"{statement_timeout_seconds}s",
        "idle_in_transaction_session_timeout": f"{IDLE_TRANSACTION_SECONDS}s",
        "tcp_keepalives_idle": "10s",
        "tcp_keepalives_interval": "5s",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": f"{SILENCE_SECONDS}s",
    }
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg2"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "application_name": f"quaver {application}",
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENCE_SECONDS * 1000,
        },
    )


class Database:
    """Where transactions come from."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session whose work is committed when the block ends, and undone when it raises.

        Rows loaded in it stay readable afterwards.

        Raises:
            errors.DatabaseUnavailable: the server is away; whether a COMMIT that was under way
                took effect is then unknown.
            errors.StorageFull: the server's disk is full.
        """
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                yield session
        except PoolTimeout as error:
            raise errors.DatabaseUnavailable from error
        except DBAPIError as error:
            _raise_named(error.orig, is_away=error.connection_invalidated)
            raise
        except psycopg2.Error as error:  # From a cursor that was used directly, for COPY.
            _raise_named(error)
            raise


def _raise_named(error: BaseException | None, *, is_away: bool = False) -> None:
    """Raise what a user may be told of an error; return if it is a mistake in this program."""
    if isinstance(error, psycopg2.errors.DiskFull):
        raise errors.StorageFull from error
    if is_away or isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
        raise errors.DatabaseUnavailable from error
