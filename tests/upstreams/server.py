"""A server of questions that misbehaves on demand.

::

    with JService([make_clue(number) for number in range(200)]) as jservice:
        jservice.behave = status(500)
        ...
        assert jservice.counts == [10, 10, 10]
"""

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_NONE: Mapping[str, str] = {}

PARKED = b"<!DOCTYPE html><html><head><title>This domain is for sale</title></head></html>"


class Exchange(BaseHTTPRequestHandler):
    """One connection, and what behaviours may do with it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Or head and body, sent apart, would cost 40 ms.
    server: "_Server"

    @property
    def upstream(self) -> "Upstream":
        return self.server.upstream

    @property
    def query(self) -> dict[str, str]:
        """The last value of each parameter."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}

    def do_GET(self) -> None:
        upstream = self.upstream
        count = int(self.query.get(upstream.count_parameter, "1"))
        upstream.paths.append(self.path)
        upstream.counts.append(count)
        upstream.behave(self, count)

    def reply(
        self,
        body: Any,
        headers: Mapping[str, str] = _NONE,
        *,
        status: int = 200,
        pretend_bytes: int = 0,
    ) -> None:
        """Send `body`, as JSON unless it is bytes; `retry_after` becomes `Retry-After`."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(pretend_bytes or len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-").title(), value)
        self.end_headers()
        self.wfile.write(data)

    def pause(self, seconds: float | None = None) -> None:
        """Wait; but no longer than the server lives."""
        self.upstream.closing.wait(seconds)

    @property
    def is_closing(self) -> bool:
        return self.upstream.closing.is_set()

    def log_message(self, *_: Any) -> None:
        pass


Behaviour = Callable[[Exchange, int], None]


def serve_always(body: Any, **headers: str) -> Behaviour:
    return lambda exchange, _count: exchange.reply(body, headers)


def status(code: int, *, pretend_bytes: int = 0, **headers: str) -> Behaviour:
    return lambda exchange, _count: exchange.reply(
        b"Retry later\n", headers, status=code, pretend_bytes=pretend_bytes
    )


def redirect(location: str, *, pretend_bytes: int = 0) -> Behaviour:
    return status(302, pretend_bytes=pretend_bytes, location=location)


def hang(exchange: Exchange, _count: int) -> None:
    exchange.pause()


def hang_up(exchange: Exchange, _count: int) -> None:
    """Break off before the first byte."""
    exchange.close_connection = True


def break_off(exchange: Exchange, _count: int) -> None:
    """Send half of what was announced."""
    body = json.dumps([{"id": number} for number in range(20)]).encode()
    exchange.reply(body[: len(body) // 2], pretend_bytes=len(body))
    exchange.close_connection = True


def drip_head(exchange: Exchange, _count: int) -> None:
    """A header that never ends, one byte at a time."""
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _drip(exchange)


def drip_body(exchange: Exchange, _count: int) -> None:
    exchange.reply(b"[", pretend_bytes=100_000)
    _drip(exchange)


def drip_chunk_size(exchange: Exchange, _count: int) -> None:
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    _drip(exchange, b"0")


def _drip(exchange: Exchange, byte: bytes = b" ") -> None:
    while not exchange.is_closing:
        exchange.wfile.write(byte)
        exchange.pause(0.02)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One after the other, a request each; the last one for good."""
    left = list(behaviours)

    def behave(exchange: Exchange, count: int) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(exchange, count)

    return behave


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # Closing waits for them, so no test leaves a thread to the next.

    def __init__(self, upstream: "Upstream") -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.upstream = upstream

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.upstream.connections.append(connection)
        return connection, address

    def hang_up(self) -> None:
        for connection in self.upstream.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # The client may leave as it likes.
            super().handle_error(request, client_address)


class Upstream:
    """The server, on a port of its own. `behave` may be changed at any time."""

    count_parameter: str
    """Of a request, the one that says how many questions are wanted."""

    def __init__(self, items: Iterable[Any], behave: Behaviour) -> None:
        self.items: Sequence[Any] = list(items)
        self.behave = behave
        self.counts: list[int] = []
        """How many questions each request so far wanted."""
        self.paths: list[str] = []
        """What each request so far asked for."""
        self.connections: list[socket.socket] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def base(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def url(self) -> str:
        """What `QUESTION_SOURCES` says of it."""
        return self.base

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()
