"""Serve the API: `python -m api`."""

import sys

import uvicorn

from api.app import create_app
from api.protocol import Protocol
from shared.settings import Settings, SettingsError


def main() -> None:
    try:
        settings = Settings.load()
        app = create_app(settings)
    except (SettingsError, ValueError) as error:
        sys.exit(str(error))
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        # A request's path can hold a link's secret in its query: the log is not the place for it.
        access_log=False,
        server_header=False,
        http=Protocol,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
