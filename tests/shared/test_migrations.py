"""The migrations build what the models describe."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, make_url

from shared import migrations
from shared.database import Database
from shared.models import Base


def test_models_equal_migrations(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )

        assert compare_metadata(context, Base.metadata) == []


def test_constraints_have_the_names_that_the_models_give_them(
    database: Database, empty_database_url: str
) -> None:
    """Autogenerate does not look at CHECKs; so the catalogues of both ways are compared."""
    engine = create_engine(make_url(empty_database_url).set(drivername="postgresql+psycopg2"))
    Base.metadata.create_all(engine)

    with engine.connect() as from_models, database.engine.connect() as from_migrations:
        query = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY conname"
        wanted = from_models.exec_driver_sql(query).all()
        found = [
            row
            for row in from_migrations.exec_driver_sql(query).all()
            if not row[0].startswith("alembic_version")
        ]
    engine.dispose()

    assert found == wanted


def test_migrating_again_changes_nothing(database_url: str, database: Database) -> None:
    migrations.upgrade(database_url)

    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar() == 0
