"""Serving an MP3 out of the database: validators, ranges, headers, and bytes chunk by chunk."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote
from uuid import UUID

from fastapi import HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from api.connection import BrokenOff, to_the_end
from api.dependencies import Transactions
from shared import chunks
from shared.models import Record


@dataclass(frozen=True)
class Sound:
    """A stored MP3 as HTTP sees it."""

    record_id: UUID
    filename: str
    size_bytes: int
    etag: str
    modified: datetime

    @classmethod
    def of(cls, record: Record) -> "Sound":
        """A record whose MP3 is stored."""
        if record.sha256 is None or record.stored_at is None or record.size_bytes is None:
            raise ValueError(f"record {record.id} has no MP3")
        return cls(
            record_id=record.id,
            filename=record.filename,
            size_bytes=record.size_bytes,
            etag=f'"{record.sha256.hex()[:32]}"',
            # HTTP dates have no fractions; a rest would make every copy look outdated.
            modified=record.stored_at.astimezone(UTC).replace(microsecond=0),
        )

    def headers(self, *, inline: bool) -> dict[str, str]:
        return {
            "Accept-Ranges": "bytes",
            "Content-Disposition": _disposition(self.filename, inline=inline),
            **link_headers(self.etag, self.modified),
        }


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `stop`, the latter not included."""

    start: int
    stop: int


def link_headers(etag: str, modified: datetime) -> dict[str, str]:
    """Of whatever a record's link leads to: it never changes, and is its owner's affair."""
    return {
        "ETag": etag,
        "Last-Modified": format_datetime(modified, usegmt=True),
        "Cache-Control": "private, max-age=31536000, immutable",
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
        "X-Content-Type-Options": "nosniff",
    }


def respond(request: Request, sound: Sound, transact: Transactions, *, inline: bool) -> Response:
    """The answer to a GET or HEAD, by RFC 9110 sections 13 and 14."""
    check_conditions(request, sound.etag, sound.modified)
    headers = sound.headers(inline=inline)
    if is_fresh(request, sound.etag, sound.modified):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    span, status = Span(0, sound.size_bytes), HTTPStatus.OK
    wanted = request.headers.get("range")
    if wanted and request.method == "GET" and _may_be_partial(request, sound):
        asked = parse_range(wanted, sound.size_bytes)
        if asked is None:
            pass  # Several ranges, or another unit: the whole is always a right answer.
        elif asked.start >= asked.stop:
            raise HTTPException(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                f"The MP3 has {sound.size_bytes} bytes; ask for a range within them.",
                {"Content-Range": f"bytes */{sound.size_bytes}"},
            )
        else:
            span, status = asked, HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{sound.size_bytes}"
    headers["Content-Length"] = str(span.stop - span.start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type="audio/mpeg")
    content = to_the_end(_stream(sound.record_id, span, transact))
    return StreamingResponse(content, status, headers, media_type="audio/mpeg")


def parse_range(value: str, size_bytes: int) -> Span | None:
    """The one range that a `Range` header asks for; None when it is to be ignored.

    A range that cannot be satisfied is an empty Span.
    """
    # Python converts no more than 4,300 digits, and no size has a hundredth of that.
    match = re.fullmatch(r"bytes=([0-9]{0,1000})-([0-9]{0,1000})", value.strip(), re.IGNORECASE)
    first, last = match.groups() if match else ("", "")
    if first and last and int(last) < int(first):
        return None  # Not a valid range: to be ignored.
    if first:
        return Span(int(first), min(int(last) + 1, size_bytes) if last else size_bytes)
    if last:
        return Span(max(0, size_bytes - int(last)), size_bytes if int(last) else 0)
    return None


def check_conditions(request: Request, etag: str | None, modified: datetime | None = None) -> None:
    """`If-Match` and `If-Unmodified-Since`; without an ETag there is nothing that could match.

    Raises: HTTPException 412, if what is there is not what the client expects.
    """
    lists = request.headers.getlist("if-match")
    if lists:
        tags = ", ".join(lists)
        strong = [tag for weak, tag in re.findall(r'(W/)?("[^"]*")', tags) if not weak]
        holds = etag is not None and (tags.strip() == "*" or etag in strong)
    else:
        since = _date(request.headers.get("if-unmodified-since"))
        holds = since is None or modified is None or modified <= since
    if not holds:
        raise HTTPException(
            HTTPStatus.PRECONDITION_FAILED,
            "What is there is not what If-Match or If-Unmodified-Since expects; look at it anew.",
        )


def is_fresh(request: Request, etag: str, modified: datetime | None = None) -> bool:
    """Whether the client's copy will do."""
    lists = request.headers.getlist("if-none-match")
    if lists:
        tags = ", ".join(lists)
        return tags.strip() == "*" or etag in re.findall(r'"[^"]*"', tags)
    since = _date(request.headers.get("if-modified-since"))
    return since is not None and modified is not None and modified <= since


def _may_be_partial(request: Request, sound: Sound) -> bool:
    """`If-Range`: a part is of use only to who has the rest of this very MP3."""
    condition = request.headers.get("if-range")
    if condition is None:
        return True
    return condition.strip() == sound.etag or _date(condition) == sound.modified


def _date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _disposition(filename: str, *, inline: bool) -> str:
    """RFC 6266: a plain name for old clients, the true one for all others."""
    plain = re.sub(r'[^ !#-\[\]-~]|[%"\\]', "_", filename)
    kind = "inline" if inline else "attachment"
    header = f'{kind}; filename="{plain}"'
    return header if plain == filename else f"{header}; filename*=UTF-8''{quote(filename, safe='')}"


async def _stream(record_id: UUID, span: Span, transact: Transactions) -> AsyncIterator[bytes]:
    """Short reads, so that no transaction is open while a slow client takes its time.

    And a chunk at a time, the next only when this one has been taken: it is all that a slow client
    keeps in memory. Four at once would cost a third less CPU, but 200 slow clients 240 MB.
    """
    position = span.start
    while position < span.stop:
        pieces = await transact.read(chunks.read, record_id, position, most_chunks=1)
        if not pieces:
            raise BrokenOff("the recording was deleted")
        for piece in pieces:
            yield piece[: span.stop - position]
            position += len(piece)
            yield b""  # Waits until the server has next to nothing left of what it was given.
