"""Questions as bytes: JSON, CSV or JSON lines, a page of them or the whole table as a stream."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
from fastapi import Depends, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from sqlalchemy import Row

from api import negotiation
from api.connection import to_the_end
from api.dependencies import Transactions
from api.schemas import OrEmpty
from shared import catalogue
from shared.catalogue import NAMES, Selection

Name = Literal["json", "csv", "jsonl"]
Rows = Sequence[Row[Any]]

ROWS_PER_QUERY = 500
"""Some 150 kB as text: what a slow client may keep in memory."""

_WRITING = anyio.CapacityLimiter(1)
"""One thread at a time: Python would be no faster with more, and slower to answer all others."""

VARY = {"Vary": "Accept"}

_FORMULA_STARTS = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")
"""What makes a spreadsheet calculate a cell instead of showing it, full-width forms included.

https://owasp.org/www-community/attacks/CSV_Injection
"""


@dataclass(frozen=True)
class Format:
    """A way to write questions."""

    name: Name
    content_type: str
    write: Callable[[Rows], bytes]
    head: bytes = b""
    """What goes before the first row."""

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": self.content_type, **VARY}
        if self.name != "json":
            headers["Content-Disposition"] = f'attachment; filename="questions.{self.name}"'
        return headers


def _array(rows: Rows) -> bytes:
    return to_json([_named(row) for row in rows])


def _lines(rows: Rows) -> bytes:
    return b"".join(to_json(_named(row)) + b"\n" for row in rows)


def _named(row: Row[Any]) -> dict[str, Any]:
    return dict(zip(NAMES, row, strict=True))


def _table(rows: Sequence[Sequence[Any]]) -> bytes:
    """RFC 4180, in UTF-8 without a byte order mark.

    Excel wants one to guess the encoding when a file is opened by a click (its import asks), but
    to psql, awk and Python's csv it is part of the first column's name.
    """
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """An apostrophe goes before all that might be a formula, even before -5: a rule without
    exceptions can be relied on, and JSON lines have the texts as they are.
    """
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value


JSON = Format("json", "application/json", _array)
CSV = Format("csv", "text/csv; charset=utf-8; header=present", _table, head=_table([NAMES]))
JSONL = Format("jsonl", "application/jsonl", _lines)

_BY_NAME = {form.name: form for form in (JSON, CSV, JSONL)}
_BY_MEDIA_TYPE = {
    "application/json": JSON,
    "text/csv": CSV,
    "application/jsonl": JSONL,
    "application/x-ndjson": replace(JSONL, content_type="application/x-ndjson"),
}
"""What `Accept` may name. JSON lines have no registered type; OpenAPI's registry has these two."""


async def _wanted(
    request: Request,
    name: Annotated[
        OrEmpty[Name], Query(alias="format", description="Goes before an Accept header.")
    ] = None,
) -> Format:
    """Raises: HTTPException 406."""
    if name is not None:
        return _BY_NAME[name]
    accept = ", ".join(request.headers.getlist("accept"))
    media_type = negotiation.preferred(accept, [*_BY_MEDIA_TYPE])
    if media_type is None:
        detail = f"Questions come as {', '.join(_BY_MEDIA_TYPE)}; accept one of them."
        raise HTTPException(HTTPStatus.NOT_ACCEPTABLE, detail, VARY)
    return _BY_MEDIA_TYPE[media_type]


WantedFormat = Annotated[Format, Depends(_wanted)]


async def page(form: Format, rows: Rows, next_url: str | None) -> Response:
    """Some questions, and the address of those that follow."""
    headers = form.headers
    if next_url is not None:
        headers["Link"] = f'<{next_url}>; rel="next"'
    content = form.head + await _write(form, rows)
    if form is JSON:
        content = b'{"items":%b,"next":%b}' % (content, to_json(next_url))
    return Response(content, headers=headers)


async def whole(
    request: Request, form: Format, transact: Transactions, selection: Selection, after: int | None
) -> Response:
    """All that is selected, as a stream.

    Its first rows are read before it begins: so far a database that is away can be told of.
    """
    pages = _pages(transact, selection, after)
    first = await anext(pages)
    content = () if request.method == "HEAD" else to_the_end(_stream(form, first, pages))
    return StreamingResponse(content, headers=form.headers)


async def _stream(form: Format, first: Rows, pages: AsyncIterator[Rows]) -> AsyncIterator[bytes]:
    """Should the database go away meanwhile, the connection breaks: nobody takes it for whole."""
    yield form.head + await _write(form, first)
    async for rows in pages:
        yield await _write(form, rows)


async def _write(form: Format, rows: Rows) -> bytes:
    return await anyio.to_thread.run_sync(form.write, rows, limiter=_WRITING)


async def _pages(
    transact: Transactions, selection: Selection, after: int | None
) -> AsyncIterator[Rows]:
    """Short reads, so that no transaction is open while a slow client takes its time."""
    while True:
        rows = await transact.read(catalogue.page, selection, after=after, limit=ROWS_PER_QUERY)
        yield rows
        if len(rows) < ROWS_PER_QUERY:
            return
        after = rows[-1].id
