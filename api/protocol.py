"""HTTP as it arrives: what is no request at all is told so in the shape of all other errors."""

import asyncio
import json
import re
from http import HTTPStatus
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api import problems
from api.crowd import Crowd
from shared import logs

LONGEST_URL_BYTES = 16 * 1024
MOST_HEADER_BYTES = 64 * 1024
"""A request's headers stay in memory as long as it lasts; the parser itself sets no limit."""

HEADER_COST_BYTES = 32
"""What each header counts beside its bytes: a hundred thousand empty ones are not free."""

MOST_PIPELINED = 16
"""Requests that wait for the answers to those before them; a packet may bring thousands."""

_A_HOST = re.compile(
    rb"(\[[0-9A-Fa-f:.]+\]|([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(:[0-9]*)?"
)
"""RFC 3986, 3.2.2, which RFC 9112, 3.2, wants to be heeded."""

_Refusal = tuple[HTTPStatus, str]

_NO_REQUEST = (HTTPStatus.BAD_REQUEST, "This is not a request as HTTP/1.1 has it.")
_HOST = (HTTPStatus.BAD_REQUEST, "A request of HTTP/1.1 has exactly one Host header.")
_BAD_HOST = (HTTPStatus.BAD_REQUEST, "The Host header must be a name or an address, and a port.")
_CUT_SHORT = (
    HTTPStatus.BAD_REQUEST,
    "The body ended before all of it had come; send the request again.",
)
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
    _unparsed_bytes = 0
    """What has been read since the parser last gave something. It gives a header, be it before a
    body or behind it, only when that is whole, however long it is."""

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
        if self._unparsed_bytes > MOST_HEADER_BYTES:
            self.flow.pause_reading()
            self._refuse(_HEADERS_TOO_LARGE)
            return
        self._unparsed_bytes += len(data)
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest:
                rest = self._parse(rest)
        except HttpParserError:
            self._refuse(self._refusal)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a client that has sent all it had to say, and listens still (RFC 9112, 9.6).

        Returns whether the connection is to be kept for that.
        """
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
            return False
        if self.cycle.more_body:
            self._refuse(_CUT_SHORT)
            return self.transport.is_closing()
        self.cycle.keep_alive = False
        return True

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
        self.scope["extensions"] = {"quaver": {"hang_up": self.hang_up}}  # See `BrokenOff`.
        self._unparsed_bytes = 0
        self._is_in_head = True
        self._refusal = _NO_REQUEST
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_URL_BYTES:
            self._stop(_URL_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._unparsed_bytes = 0
        if self._is_in_head:  # What comes behind a body in pieces has no say (RFC 9110, 6.5.1).
            super().on_header(name, value)
        self._header_bytes += len(name) + len(value) + HEADER_COST_BYTES
        if self._header_bytes > MOST_HEADER_BYTES:
            self._stop(_HEADERS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        if fault := self._fault_of_head():
            self._stop(fault)
        self._is_in_head = False
        if self.parser.should_upgrade():
            return  # It begins anew.
        self._crowd.end_wait(self)
        if self._version() == b"1.0":
            self.expect_100_continue = False  # A client of that age takes a 100 for the answer.
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _fault_of_head(self) -> _Refusal | None:
        """What the parser lets pass and RFC 9112 does not."""
        if self._version() not in {b"1.0", b"1.1"}:
            return _VERSION
        if self.parser.get_method() == b"CONNECT" or len(self.pipeline) >= MOST_PIPELINED:
            return _NO_REQUEST
        hosts = self._values(b"host")
        if self._version() == b"1.1" and len(hosts) != 1:
            return _HOST
        if not all(map(_A_HOST.fullmatch, hosts)):
            return _BAD_HOST
        if any(value.strip().lower() != b"chunked" for value in self._values(b"transfer-encoding")):
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
        instance, wish = self._path_and_id()
        request_id = logs.new_request_id(wish)
        problem = problems.of_http(status, detail, instance=instance, request_id=request_id)
        body = json.dumps(problem).encode()
        self.transport.write(STATUS_LINE[status] + _head(problem, len(body)) + body)
        self.hang_up()

    def _path_and_id(self) -> tuple[str, str]:
        """Of the request that is refused, as far as it has come."""
        if not self.headers:
            return "", ""
        ids = self._values(b"x-request-id")
        path = self.url.partition(b"?")[0]
        return path.decode("latin-1"), ids[0].decode("latin-1") if ids else ""

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
