"""HTTP as it arrives: what is no request at all is told so in the shape of all other errors."""

import asyncio
import json
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api import problems
from api.crowd import Crowd

LONGEST_URL_BYTES = 16 * 1024
MOST_HEADER_BYTES = 64 * 1024
"""A request's headers stay in memory as long as it lasts; the parser itself sets no limit."""

HEADER_COST_BYTES = 32
"""What each header counts beside its bytes: a hundred thousand empty ones are not free."""

MOST_PIPELINED = 16
"""Requests that wait for the answers to those before them; a packet may bring thousands."""

_Refusal = tuple[HTTPStatus, str]

_NO_REQUEST = (HTTPStatus.BAD_REQUEST, "This is not a request as HTTP/1.1 has it.")
_HOST = (HTTPStatus.BAD_REQUEST, "A request of HTTP/1.1 has exactly one Host header.")
_VERSION = (HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "This service speaks HTTP/1.1 and HTTP/1.0.")
_CODING = (HTTPStatus.NOT_IMPLEMENTED, "The only Transfer-Encoding known here is chunked.")
_TOO_SLOW = (HTTPStatus.REQUEST_TIMEOUT, "The request's headers took too long; send it again.")
_CROWDED = (
    HTTPStatus.SERVICE_UNAVAILABLE,
    "There are as many connections as this service takes. Try again in a moment.",
)
_URL_TOO_LONG = (
    HTTPStatus.REQUEST_URI_TOO_LONG,
    f"An address here has at most {LONGEST_URL_BYTES} bytes.",
)
_HEADERS_TOO_LARGE = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"The headers of a request have at most {MOST_HEADER_BYTES} bytes together.",
)


class _Refused(Exception):
    """Ends the parsing of a request."""


class Protocol(HttpToolsProtocol):
    """Uvicorn's protocol with bounds and deadlines, and with problems instead of plain text."""

    _refusal: _Refusal = _NO_REQUEST
    _is_in_head = False
    _head_bytes = 0
    """Of what has been read since the head began. The parser gives a header only when it is whole,
    however long it is; so what is read meanwhile is counted too."""

    def __init__(self, crowd: Crowd, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._crowd = crowd

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._crowd.has_room(len(self.connections)):
            self._crowd.limit(transport)
            self._crowd.await_head(self)
        else:
            self._refuse(_CROWDED)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.end_wait(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._crowd.await_head(self)

    def hang_up(self) -> None:
        self._crowd.end_wait(self)
        self.transport.close()

    def give_up(self) -> None:
        if self._is_in_head:
            self._refuse(_TOO_SLOW)
        else:
            self.hang_up()  # Browsers open connections that they may never need.

    def data_received(self, data: bytes) -> None:
        if self._head_bytes > MOST_HEADER_BYTES:
            self._refuse(_HEADERS_TOO_LARGE)
            return
        self._head_bytes = self._head_bytes + len(data) if self._is_in_head else 0
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest:
                rest = self._parse(rest)
        except HttpParserError:
            self._refuse(self._refusal)

    def _parse(self, data: memoryview) -> memoryview:
        """Returns what is still to be parsed."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as wish:
            self._ignore_upgrade()
            return data[wish.args[0] :]
        return memoryview(b"")

    def _ignore_upgrade(self) -> None:
        """Take a request as if it did not wish for another protocol, as RFC 9110, 7.8 allows.

        `curl --http2` and Java's client wish so with every first request. The parser takes what
        follows for that other protocol's, so another one is given the head without the wish.
        """
        head = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self._version())]
        head += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = HttpRequestParser(self)
        # As uvicorn does: what follows a last request is thrown away, and no error.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"\r\n".join([*head, b"", b""]))

    def _version(self) -> bytes:
        return self.parser.get_http_version().encode()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._refusal = _NO_REQUEST
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_URL_BYTES:
            self._stop(_URL_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head:  # What comes behind a body in pieces has no say (RFC 9110, 6.5.1).
            super().on_header(name, value)
        self._header_bytes += len(name) + len(value) + HEADER_COST_BYTES
        if self._header_bytes > MOST_HEADER_BYTES:
            self._stop(_HEADERS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        if fault := self._fault_of_head():
            self._stop(fault)
        self._is_in_head, self._head_bytes = False, 0
        if self.parser.should_upgrade():
            return  # It begins anew.
        self._crowd.end_wait(self)
        if self._version() == b"1.0":
            self.expect_100_continue = False  # A client of that age takes a 100 for the answer.
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _fault_of_head(self) -> _Refusal | None:
        """What the parser lets pass and RFC 9112 does not."""
        if self._version() not in {b"1.0", b"1.1"}:
            return _VERSION
        if self.parser.get_method() == b"CONNECT" or len(self.pipeline) >= MOST_PIPELINED:
            return _NO_REQUEST
        if self._version() == b"1.1" and len(self._values(b"host")) != 1:
            return _HOST
        if any(value.lower() != b"chunked" for value in self._values(b"transfer-encoding")):
            return _CODING
        return None

    def _values(self, of: bytes) -> list[bytes]:
        return [value for name, value in self.headers if name == of]

    def _stop(self, refusal: _Refusal) -> None:
        self._refusal = refusal
        raise _Refused

    def _refuse(self, refusal: _Refusal) -> None:
        """Say why this is the end of the connection, unless something else is being said."""
        if self._has_answers_to_give():
            self.cycle.keep_alive = False
            return
        status, detail = refusal
        problem = problems.of_http(status, detail, instance="", request_id=str(uuid4()))
        body = json.dumps(problem).encode()
        self.transport.write(STATUS_LINE[status] + _head(problem, len(body)) + body)
        self.hang_up()

    def _has_answers_to_give(self) -> bool:
        """Whether a refusal would be taken for, or come in the midst of, another answer."""
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
            return False  # Nor is there a cycle before the first request, whatever its type says.
        is_whole = self.cycle.response_started or not self.cycle.more_body
        return is_whole or bool(self.pipeline)


def _head(problem: dict[str, Any], size_bytes: int) -> bytes:
    headers = {
        "content-type": problems.MEDIA_TYPE,
        "content-length": size_bytes,
        "x-request-id": problem["request_id"],
        "connection": "close",
    }
    if seconds := problems.DEFAULT_RETRY_AFTER_SECONDS.get(HTTPStatus(problem["status"])):
        headers["retry-after"] = seconds
    return "".join([*(f"{name}: {headers[name]}\r\n" for name in headers), "\r\n"]).encode()
