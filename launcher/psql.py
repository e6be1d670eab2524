"""`python3 run.py psql`: a console on the database, without a password in sight of `ps`."""

import os
import sys
from urllib.parse import unquote, urlsplit

from launcher import LaunchError, cluster, state
from shared.settings import Settings, SettingsError


def main(arguments: list[str]) -> None:
    """Become psql.

    Raises:
        LaunchError: there is no database to connect to.
    """
    settings = Settings.load()
    kept = state.read(settings.data_dir / "postgres" / "server.json")
    url = settings.database_url or kept.get("url")
    if url is None:
        raise LaunchError("There is no database yet: start Quaver first.")
    parts = urlsplit(url)
    if parts.password is not None:
        os.environ["PGPASSWORD"] = unquote(parts.password)
        user, _, address = parts.netloc.rpartition("@")
        parts = parts._replace(netloc=f"{user.partition(':')[0]}@{address}")
    program = str(cluster.package() / "pginstall" / "bin" / "psql")
    os.execv(program, [program, f"--dbname={parts.geturl()}", *arguments])  # noqa: S606


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (LaunchError, SettingsError) as error:
        sys.exit(str(error))
