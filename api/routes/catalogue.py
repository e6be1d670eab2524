"""GET /questions, /questions/stats and /questions/{id}."""

import hashlib
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, Field
from pydantic_core import to_json

from api import downloads, exports
from api.dependencies import BaseUrl, Service, Transact
from api.exports import WantedFormat
from api.openapi import TEXT, asks, headers, link, problem, responses
from api.problems import kind_of_http
from api.schemas import (
    LARGEST_ID,
    FullQuestion,
    OrEmpty,
    QuestionPage,
    QuestionStats,
    RowId,
    row_id,
)
from shared import catalogue, errors
from shared.catalogue import Selection

router = APIRouter(tags=["questions"])

DEFAULT_LIMIT = 100
MOST_ROWS = 1_000
LONGEST_SEARCH = 200
"""Characters. The cost of a search rises with the number of its words: 10 kB of them would keep the
database busy for 14 s, were there a million questions."""


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must have no null character")
    return text


_PATTERN = Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})
Text = Annotated[str, AfterValidator(_storable), _PATTERN]


async def _selection(
    q: Annotated[
        str,
        # Before what else is checked: only of a text it is said to have characters.
        Field(max_length=LONGEST_SEARCH),
        AfterValidator(_storable),
        _PATTERN,
        Query(
            description='Words of the question or its answer: `ship`, `"space ship"`, '
            "`cat or dog`, `-fish`.",
        ),
    ] = "",
    category: Annotated[Text, Query(description="Whatever its case.")] = "",
    source: Text = "",
    difficulty: OrEmpty[Literal["easy", "medium", "hard"]] = None,
) -> Selection:
    """What is asked for; a field that a form leaves empty asks for nothing."""
    return Selection(q.strip() or None, category or None, source or None, difficulty)


Limit = Annotated[
    OrEmpty[Annotated[int, Field(ge=1, le=MOST_ROWS)]],
    Query(
        description=f"{DEFAULT_LIMIT} of JSON unless given, and all there are of the others.",
    ),
]
After = Annotated[
    OrEmpty[Annotated[int, Field(ge=1, le=LARGEST_ID)]],
    Query(description="The id of the last question that is known."),
]

_LINES = {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Question"}}}
_QUESTION_HEADERS = headers("Cache-Control", "ETag")
_LIST_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": QuestionPage,
        "content": {
            "text/csv": TEXT,
            "application/jsonl": _LINES,
            "application/x-ndjson": _LINES,
        },
        "description": "The questions, newest first.",
        "headers": headers("Content-Disposition", "Link", "Vary"),
        "links": link("show_question", "The newest.", question_id="$response.body#/items/0/id"),
    },
    406: problem(kind_of_http(HTTPStatus.NOT_ACCEPTABLE)) | {"headers": headers("Vary")},
    **responses(errors.InvalidRequest, errors.DatabaseUnavailable),
}
_QUESTION_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": FullQuestion, "description": "The question.", "headers": _QUESTION_HEADERS},
    304: {"description": "The client's copy is good.", "headers": _QUESTION_HEADERS},
    412: problem(kind_of_http(HTTPStatus.PRECONDITION_FAILED)),
    **responses(errors.NotFound, errors.DatabaseUnavailable),
}
_STATS_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": QuestionStats,
        "description": "The numbers.",
        "headers": headers("Cache-Control"),
    },
    **responses(errors.DatabaseUnavailable),
}


@router.head(
    "/questions",
    summary="Look at the headers of the stored questions",
    operation_id="look_at_questions",
    responses=_LIST_RESPONSES,
)
@router.get("/questions", summary="Read the stored questions", responses=_LIST_RESPONSES)
async def list_questions(  # noqa: PLR0917 - FastAPI gives them by name.
    request: Request,
    transact: Transact,
    base_url: BaseUrl,
    form: WantedFormat,
    selection: Annotated[Selection, Depends(_selection)],
    limit: Limit = None,
    after: After = None,
) -> Response:
    """Newest first. A page of JSON names the next one, here and in a `Link` header; questions that
    come meanwhile shift no page. CSV and JSON lines are the whole table unless `limit` is given.
    """
    if limit is None and form is not exports.JSON:
        return await exports.whole(request, form, transact, selection, after)
    most = limit or DEFAULT_LIMIT
    rows = await transact.read(catalogue.page, selection, after=after, limit=most + 1)
    next_url = _next_url(request, base_url, rows[most - 1].id) if len(rows) > most else None
    return await exports.page(form, rows[:most], next_url)


@router.head(
    "/questions/stats",
    summary="Look at the headers of the questions' statistics",
    operation_id="look_at_question_stats",
    responses=_STATS_RESPONSES,
)
@router.get("/questions/stats", summary="Count the stored questions", responses=_STATS_RESPONSES)
async def show_stats(services: Service) -> Response:
    """How many there are, of which sources, categories and difficulties.

    In a large table counting takes a while: then the numbers may be as old as `Cache-Control` says.
    """
    stats, seconds = await services.question_stats.get()
    headers = {"Cache-Control": f"public, max-age={int(seconds)}"}
    return Response(to_json(stats), headers=headers, media_type="application/json")


@router.head(
    "/questions/{question_id}",
    summary="Look at the headers of a question",
    operation_id="look_at_question",
    responses=_QUESTION_RESPONSES,
    openapi_extra=asks("If-Match", "If-None-Match"),
)
@router.get(
    "/questions/{question_id}",
    summary="Read a question",
    responses=_QUESTION_RESPONSES,
    openapi_extra=asks("If-Match", "If-None-Match"),
)
async def show_question(request: Request, transact: Transact, question_id: RowId) -> Response:
    """With its difficulty, and the terms on which its source lets it be passed on."""
    missing = errors.NotFound("There is no such question; GET /questions lists those there are.")
    try:
        number = row_id(question_id)
    except ValueError:
        raise missing from None
    found = await transact.read(catalogue.find, number)
    if found is None:
        raise missing
    content = to_json(found)
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    # A question never changes; what is known of its source may, with a release.
    headers = {"ETag": etag, "Cache-Control": "public, max-age=3600"}
    downloads.check_conditions(request, etag)
    if downloads.is_fresh(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(content, headers=headers, media_type="application/json")


def _next_url(request: Request, base_url: str, after: int) -> str:
    """The address that was asked for, further down."""
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
    return f"{base_url}/questions?{urlencode([*query, ('after', after)])}"
