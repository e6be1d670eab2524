"""Migrate the database that `DATABASE_URL` names."""

import sys

from shared import migrations
from shared.settings import Settings, SettingsError


def main() -> None:
    try:
        settings = Settings.load()
    except SettingsError as error:
        sys.exit(str(error))
    if not settings.database_url:
        sys.exit("DATABASE_URL is not set: give postgresql://user:password@host:port/database")
    migrations.upgrade(settings.database_url)


if __name__ == "__main__":
    main()
