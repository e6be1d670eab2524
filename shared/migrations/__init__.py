"""The database's history: every change to its tables, in order. `python -m shared.migrations`."""

from pathlib import Path

from alembic import command
from alembic.config import Config


def upgrade(database_url: str) -> None:
    """Bring a database to the newest version; safe to run at once from several machines."""
    config = Config()
    # A percent sign would be the beginning of an interpolation.
    folder = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.set_main_option("path_separator", "os")
    config.attributes["database_url"] = database_url
    command.upgrade(config, "head")
