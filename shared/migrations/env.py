"""Run by Alembic: the migrations that are due, in one transaction, by one process at a time."""

from alembic import context
from sqlalchemy import Connection, text

from shared import database
from shared.models import Base

LOCK_KEY = 0x51554156  # "QUAV"


def migrate(connection: Connection) -> None:
    # A second process waits here until the first has committed, and then finds nothing to do.
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    context.configure(connection=connection, target_metadata=Base.metadata)
    context.run_migrations()


engine = database.connect(
    context.config.attributes["database_url"],
    application="migrations",
    pool_size=1,
    statement_timeout_seconds=0,  # However long it takes.
)
with engine.begin() as connection:
    migrate(connection)
engine.dispose()
