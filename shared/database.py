"""The door to PostgreSQL: engines of bounded patience, transactions that name their failures."""

import select
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import psycopg2.errors
import psycopg2.extensions
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
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
        "timezone": "UTC",  # Whatever the server's: all times are told in it.
    }
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg2"),
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,  # What went wrong is told in logs; names and digests are not.
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
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
    event.listen(engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: DBAPIConnection, *_: Any) -> None:
    """Have the pool open a new connection if the server has closed this one meanwhile.

    An idle connection has nothing to say but its end, which the system knows of: unlike the usual
    ping that takes no round trip.

    Raises: InvalidatePoolError.
    """
    ours = cast(psycopg2.extensions.connection, connection)
    poll = select.poll()
    if not ours.closed:
        poll.register(ours.fileno(), select.POLLIN)
    if ours.closed or poll.poll(0):
        raise InvalidatePoolError


class Database:
    """Where transactions come from."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._committing = engine.execution_options(isolation_level="AUTOCOMMIT")

    def transaction(self) -> AbstractContextManager[Session]:
        """A session whose work is committed when the block ends, and undone when it raises.

        Rows loaded in it stay readable afterwards.

        Raises:
            errors.DatabaseUnavailable: the server is away; whether a COMMIT that was under way
                took effect is then unknown.
            errors.StorageFull: the server's disk is full.
        """
        return _session(self.engine)

    def statements(self) -> AbstractContextManager[Session]:
        """A session in which every statement is a transaction of its own.

        It saves the round trips of BEGIN and COMMIT, where there is a single statement or all of
        them read.

        Raises: as `transaction`.
        """
        return _session(self._committing)


@contextmanager
def _session(engine: Engine) -> Iterator[Session]:
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
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
