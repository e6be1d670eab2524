"""Serve the API: `python -m api`."""

import socket
import sys

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.protocol import Protocol
from shared import logs, tracing
from shared.settings import Settings, SettingsError


class Server(uvicorn.Server):
    """A server that answers everybody before it stops: who waits for a job is told its address."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._waiter = app.state.services.waiter

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._waiter.release()
        await super().shutdown(sockets)
        tracing.flush()  # Nothing else is left to be held up.


def main() -> None:
    try:
        settings = Settings.load()
        logs.configure(settings.log_format, settings.log_level)
        tracing.configure(settings.otel_exporter_otlp_endpoint, "quaver-api")
        app = create_app(settings)
    except (SettingsError, ValueError) as error:
        sys.exit(str(error))
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        # A query can hold a link's secret, which has no place in a log: `api/observing.py` writes
        # lines of its own.
        access_log=False,
        log_config=None,
        server_header=False,
        http=Protocol,
        timeout_graceful_shutdown=10,
    )
    server = Server(app, config)
    server.run()
    if not server.started:
        sys.exit(1)  # It has said why: the port is taken, for instance.


if __name__ == "__main__":
    main()
