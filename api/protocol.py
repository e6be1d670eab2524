"""HTTP as it arrives: what is no request at all is told so in the shape of all other errors."""

import json
from http import HTTPStatus
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api import problems

LONGEST_URL_BYTES = 16 * 1024
MOST_HEADER_BYTES = 64 * 1024
"""A request's headers stay in memory as long as it lasts; the parser itself sets no limit."""

HEADER_COST_BYTES = 32
"""What each header counts beside its bytes: a hundred thousand empty ones are not free."""


_NO_REQUEST = (HTTPStatus.BAD_REQUEST, "This is not a request as HTTP/1.1 has it.")
_URL_TOO_LONG = (
    HTTPStatus.REQUEST_URI_TOO_LONG,
    f"An address here has at most {LONGEST_URL_BYTES} bytes.",
)
_HEADERS_TOO_LARGE = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"The headers of a request have at most {MOST_HEADER_BYTES} bytes together.",
)


class _TooMuch(Exception):
    """Ends the parsing of a request."""


class Protocol(HttpToolsProtocol):
    """Uvicorn's protocol with bounds, and with problems instead of plain text."""

    _refusal = _NO_REQUEST
    _is_in_head = False
    _head_bytes = 0
    """Of what has been read since the head began. The parser gives a header only when it is whole,
    however long it is; so what is read meanwhile is counted too."""

    def data_received(self, data: bytes) -> None:
        if self._head_bytes > MOST_HEADER_BYTES:
            self._refusal = _HEADERS_TOO_LARGE
            self.send_400_response("")
            return
        self._head_bytes = self._head_bytes + len(data) if self._is_in_head else 0
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._is_in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._refusal = _NO_REQUEST
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_URL_BYTES:
            self._refuse(_URL_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value) + HEADER_COST_BYTES
        if self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(_HEADERS_TOO_LARGE)

    def _refuse(self, refusal: tuple[HTTPStatus, str]) -> None:
        self._refusal = refusal
        raise _TooMuch

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - It says nothing to a user.
        """Called for whatever the parser or a callback of it does not take."""
        status, detail = self._refusal
        problem = problems.of_http(status, detail, instance="", request_id=str(uuid4()))
        body = json.dumps(problem).encode()
        head = [
            b"content-type: " + problems.MEDIA_TYPE.encode(),
            b"content-length: " + str(len(body)).encode(),
            b"x-request-id: " + problem["request_id"].encode(),
            b"connection: close",
        ]
        self.transport.write(STATUS_LINE[status] + b"\r\n".join(head) + b"\r\n\r\n" + body)
        self.transport.close()
