"""Reading a `multipart/form-data` body as it arrives, with one file in it that is never kept."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from shared import errors

OVERHEAD_BYTES = 64 * 1024
"""What a form may need beside the file: boundaries, headers and fields, all bounded by this."""


class Form:
    """A `multipart/form-data` body: one part `file`, whose bytes go to `take`, and text fields."""

    def __init__(self, boundary: bytes, take: Callable[[bytes], None]) -> None:
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.has_file = False
        self._take = take
        self._ended = False
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = ""
        self._field_name: str | None = None
        self._field_value = bytearray()
        self._overhead_bytes = 0
        with _parsing():
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )

    def feed(self, block: bytes) -> None:
        """Take bytes. Raises: MalformedRequest, InvalidRequest, and what `take` raises."""
        with _parsing():
            self._parser.write(block)

    def close(self) -> None:
        """All has come. Raises: MalformedRequest, InvalidRequest."""
        # The parser itself takes a body that stops anywhere for a whole one.
        if not self._ended:
            raise errors.MalformedRequest("The form ended before its last boundary; send it again.")
        if not self.has_file:
            raise _invalid_field("file", "is missing: send the WAV as this part, file=@speech.wav")

    def _on_part_begin(self) -> None:
        self._disposition = ""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value.decode("latin-1")
        self._header_name.clear()
        self._header_value.clear()

    def _on_headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition)
        name = _text(options.get(b"name", b""))
        if kind != b"form-data" or not name:
            raise errors.MalformedRequest("A part of the form has no name in its headers.")
        self._field_name = None if name == "file" else name
        self._field_value.clear()
        if self._field_name is None:
            if self.has_file:
                raise _invalid_field("file", "came twice: send one recording per request")
            self.has_file = True
            self.filename = _filename(self._disposition, options.get(b"filename", b""))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field_name is None:
            self._take(data[start:end])
        else:
            self._count(end - start)
            self._field_value += data[start:end]

    def _on_part_end(self) -> None:
        if self._field_name is not None:
            self._count(64)  # However empty they are, fields are not free.
            if self._field_name in self.fields:
                # Which one counted would be a matter of how the bytes came.
                raise _invalid_field(self._field_name, "came twice: send it once")
            self.fields[self._field_name] = _text(bytes(self._field_value)).strip()

    def _on_end(self) -> None:
        self._ended = True

    def _count(self, size_bytes: int) -> None:
        self._overhead_bytes += size_bytes
        if self._overhead_bytes > OVERHEAD_BYTES:
            raise errors.MalformedRequest(
                f"The form's fields and headers take more than {OVERHEAD_BYTES} bytes."
            )


@contextmanager
def _parsing() -> Iterator[None]:
    """Raises: MalformedRequest."""
    try:
        yield
    except FormParserError as error:
        raise errors.MalformedRequest(f"The form could not be parsed: {error}.") from error


def boundary(request: Request) -> bytes | None:
    """The boundary of a form; None when the body is none.

    Raises:
        MalformedRequest: a form without a boundary.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if not kind.startswith(b"multipart/"):
        return None
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise errors.MalformedRequest("A form is multipart/form-data and names its boundary.")
    return options[b"boundary"]


def _invalid_field(name: str, problem: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"{name}: {problem}.", errors=[{"pointer": f"#/{name}", "detail": problem}]
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _filename(disposition: str, plain: bytes) -> str:
    """A part's file name, as browsers, curl and libraries write it.

    Browsers send UTF-8 and percent-encode what would end the string (WHATWG HTML, "multipart form
    data"); some libraries use the extended form of RFC 8187.
    """
    unquoted = re.sub(r'"(?:\\.|[^"\\])*"?', "", disposition)
    extended = re.search(r"filename\*=utf-8'[^']*'([^;\s]+)", unquoted, re.IGNORECASE)
    if extended:
        return unquote(extended[1])
    return re.sub("%22", '"', re.sub("%0D|%0A", " ", _text(plain)))
