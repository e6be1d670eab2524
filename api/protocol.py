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


class _TooMuch(Exception):
    """Ends the parsing of a request."""


class Protocol(HttpToolsProtocol):
    """Uvicorn's protocol with bounds, and with problems instead of plain text."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._refusal = (HTTPStatus.BAD_REQUEST, "This is not a request as HTTP/1.1 has it.")
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_URL_BYTES:
            self._refuse(
                HTTPStatus.REQUEST_URI_TOO_LONG,
                f"An address here has at most {LONGEST_URL_BYTES} bytes.",
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value) + HEADER_COST_BYTES
        if self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"The headers of a request have at most {MOST_HEADER_BYTES} bytes together.",
            )

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        self._refusal = (status, detail)
        raise _TooMuch(detail)

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
