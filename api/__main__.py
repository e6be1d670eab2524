"""Serve the API: `python -m api`."""

import resource
import socket
import sys
from functools import partial

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.crowd import Crowd
from api.protocol import Protocol
from shared import logs, tracing
from shared.settings import Settings, SettingsError

OTHER_FILES = 128
"""What is open beside connections and uploads: the database's, the broker's, the log."""


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
        http=partial(Protocol, _crowd(settings)),  # type: ignore[arg-type]  # It is called.
        ws="none",
        timeout_graceful_shutdown=10,
    )
    server = Server(app, config)
    server.run()
    if not server.started:
        sys.exit(1)  # It has said why: the port is taken, for instance.


def _crowd(settings: Settings) -> Crowd:
    """Of so many that there is always a file left for whoever is served."""
    others = settings.max_concurrent_uploads + OTHER_FILES
    files = _allow_files(settings.max_connections + others)
    return Crowd(
        most=max(1, min(settings.max_connections, files - others)),
        head_seconds=settings.request_head_seconds,
        stall_seconds=settings.download_stall_seconds,
    )


def _allow_files(wanted: int) -> int:
    """Let this process open as many files, as far as the system lets it; returns how many.

    Most systems begin with 1,024, for the sake of programs of another age.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


if __name__ == "__main__":
    main()
