"""A jService of our own that misbehaves on demand.

::

    with JService([make_clue(number) for number in range(200)]) as jservice:
        jservice.behave = status(500)
        ...
        assert jservice.counts == [10, 10, 10]
"""

import json
import random
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

MOST_PER_REQUEST = 100

_NONE: Mapping[str, str] = {}

PARKED = b"<!DOCTYPE html><html><head><title>This domain is for sale</title></head></html>"


def make_clue(number: int, question: Any = None, answer: Any = "An answer", **other: Any) -> Any:
    """An item as jService sends it; `other` replaces further members."""
    return {
        "id": number,
        "answer": answer,
        "question": f"What is the question number {number}?" if question is None else question,
        "value": 200,
        "airdate": "2010-07-06T19:00:00.000Z",
        "created_at": "2022-12-30T18:45:16.026Z",
        "updated_at": "2022-12-30T18:45:16.026Z",
        "category_id": 7,
        "game_id": None,
        "invalid_count": None,
        "category": {
            "id": 7,
            "title": "in the dictionary",
            "created_at": "2022-12-30T18:45:15.000Z",
            "updated_at": "2022-12-30T18:45:15.000Z",
            "clues_count": 5,
        },
    } | other


def make_clues(count: int, first: int = 1) -> list[Any]:
    return [make_clue(number) for number in range(first, first + count)]


class Exchange(BaseHTTPRequestHandler):
    """One connection, and what behaviours may do with it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Or head and body, sent apart, would cost 40 ms.
    server: "_Server"

    def do_GET(self) -> None:
        jservice = self.server.jservice
        count = int(parse_qs(urlsplit(self.path).query).get("count", ["1"])[0])
        jservice.counts.append(count)
        jservice.behave(self, count)

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
        self.server.jservice.closing.wait(seconds)

    @property
    def is_closing(self) -> bool:
        return self.server.jservice.closing.is_set()

    def log_message(self, *_: Any) -> None:
        pass


Behaviour = Callable[[Exchange, int], None]


def serve(exchange: Exchange, count: int) -> None:
    """A random choice, as the real one."""
    clues = exchange.server.jservice.clues
    exchange.reply(random.sample(clues, min(count, MOST_PER_REQUEST, len(clues))))


def serve_in_order(exchange: Exchange, count: int) -> None:
    """The clues one after the other, none of them twice, until there are no more."""
    jservice = exchange.server.jservice
    with jservice.lock:
        size = min(count, MOST_PER_REQUEST)
        clues, jservice.clues = jservice.clues[:size], jservice.clues[size:]
    exchange.reply(clues)


def serve_after(seconds: float) -> Behaviour:
    def behave(exchange: Exchange, count: int) -> None:
        exchange.pause(seconds)
        serve(exchange, count)

    return behave


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
    body = json.dumps(make_clues(5)).encode()
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

    def __init__(self, jservice: "JService") -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.jservice = jservice

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.jservice.connections.append(connection)
        return connection, address

    def hang_up(self) -> None:
        for connection in self.jservice.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # The client may leave as it likes.
            super().handle_error(request, client_address)


class JService:
    """The server, on a port of its own. `behave` may be changed at any time."""

    def __init__(self, clues: Iterable[Any] = (), behave: Behaviour = serve) -> None:
        self.clues: Sequence[Any] = list(clues)
        self.behave = behave
        self.counts: list[int] = []
        """The `count` of each request so far."""
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
        return f"{self.base}/api/random"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()
