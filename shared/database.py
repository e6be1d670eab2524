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

_AWAY = (
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    psycopg2.errors.AdminShutdown,
)
_FULL = (psycopg2.errors.DiskFull,)


def connect(
    url: str, *, application: str, pool_size: int, statement_timeout_seconds: int
) -> Engine:
    """An engine for a URL of the form `postgresql://…`; it connects when first used.

    The server is told to end what a frozen or vanished client leaves behind: without that, a
    stopped worker's transaction would keep its row locks, and so its job, for ever.
    """
    settings = {
        "statement_timeout": statement_timeout_seconds,
        "idle_in_transaction_session_timeout": IDLE_TRANSACTION_SECONDS,
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
            "options": " ".join(f"-c {name}={value}s" for name, value in settings.items()),
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
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
            raise _named(error) from error


def _named(error: DBAPIError) -> Exception:
    if isinstance(error.orig, _FULL):
        return errors.StorageFull()
    if error.connection_invalidated or isinstance(error.orig, _AWAY):
        return errors.DatabaseUnavailable(retry_after_seconds=5)
    return error
