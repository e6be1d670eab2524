"""What only its owner may do with recordings: GET /records, DELETE /record."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from sqlalchemy.orm import Session

from api import credentials, downloads, openapi, problems
from api.credentials import Credentials
from api.dependencies import BaseUrl, Service, Transact
from api.downloads import Sound
from api.openapi import asks, headers, problem, responses
from api.problems import kind_of_http
from api.routes.records import RecordParameter, UserParameter, link
from api.schemas import AcceptedRecord, ListedRecord, OrEmpty, RecordPage, StoredRecord
from shared import errors, jobs, records
from shared.models import Job, Record, State

router = APIRouter(tags=["records"])

DEFAULT_LIMIT, MOST_ROWS = 100, 1000

_FIRST = {"id": "$response.body#/items/0/id", "user": "$response.body#/items/0/user"}
_LINKS = {
    **openapi.link("download_record", "The newest one.", **_FIRST),
    **openapi.link("delete_record", "To be rid of the newest one.", **_FIRST),
}


def _in_utc(moment: datetime) -> datetime:
    """The database knows no zone that is 16 hours from Greenwich."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a moment between the years 1 and 9999") from None


def _no_number(text: str) -> str:
    """Which would be taken for seconds since 1970."""
    if ":" not in text:
        raise ValueError("must be a date and a time, such as 2026-11-23T12:00:00Z")
    return text


Moment = Annotated[AwareDatetime, BeforeValidator(_no_number), AfterValidator(_in_utc)]


@router.head("/records", include_in_schema=False)
@router.get(
    "/records",
    summary="List a user's recordings",
    responses={
        200: {
            "description": "The recordings, newest first.",
            "headers": headers("Link"),
            "links": _LINKS,
        },
        **responses(errors.InvalidCredentials, errors.InvalidRequest, errors.DatabaseUnavailable),
    },
    openapi_extra=asks(token=True),
)
async def list_records(  # noqa: PLR0917 - FastAPI gives them by name.
    request: Request,
    response: Response,
    transact: Transact,
    base_url: BaseUrl,
    user: UserParameter,  # noqa: ARG001
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = DEFAULT_LIMIT,
    after: Annotated[OrEmpty[UUID], Query(description="The last item's id.")] = None,
    at: Annotated[OrEmpty[Moment], Query(description="Its `created_at`, if it is gone.")] = None,
) -> RecordPage:
    """Newest first, in whatever state, for whoever has the user's token."""
    user_id, rows = await transact.read(_page, Credentials.of(request), limit + 1, after, at)
    items = [_item(record, job, request, base_url) for record, job in rows[:limit]]
    more = len(rows) > limit
    page = RecordPage(items=items, next=_next(base_url, user_id, limit, items) if more else None)
    if page.next:
        response.headers["Link"] = f'<{page.next}>; rel="next"'
    return page


@router.delete(
    "/record",
    status_code=204,
    summary="Delete a recording",
    responses=responses(
        errors.InvalidCredentials,
        errors.InvalidRequest,
        errors.RecordNotFound,
        errors.DatabaseUnavailable,
    )
    | {412: problem(kind_of_http(HTTPStatus.PRECONDITION_FAILED))},
    openapi_extra=asks("If-Match", "If-Unmodified-Since", token=True),
)
async def delete_record(
    request: Request,
    services: Service,
    record_id: RecordParameter,
    user: UserParameter,
) -> Response:
    """Its link ends, its MP3 is gone, and a conversion that is under way is given up."""
    transact = services.transact
    await transact.read(credentials.authenticate, Credentials.of(request))
    record, _ = await transact.read(records.get, *link(record_id, user))
    sound = Sound.of(record) if record.stored_at else None
    downloads.check_conditions(
        request, sound.etag if sound else None, sound.modified if sound else record.created_at
    )
    # Two transactions: the first has workers let go of the record's rows. Should the second fail,
    # the record's conversion has failed, and it can be deleted again.
    await transact(jobs.cancel, record.job_id, errors.RecordNotFound("The recording was deleted."))
    await transact(records.forget, record.id)
    await services.forget_upload(record.id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _page(
    session: Session, sent: Credentials, limit: int, after: UUID | None, at: datetime | None
) -> tuple[int, list[tuple[Record, Job]]]:
    """The user's id, and records. Raises: InvalidCredentials, InvalidRequest."""
    user_id = credentials.authenticate(session, sent)
    if after is None:
        return user_id, records.page(session, user_id, limit=limit)
    if at is None:
        at = _created_at(session, after, user_id)
    return user_id, records.page(session, user_id, limit=limit, after=(at, after))


def _created_at(session: Session, record_id: UUID, user_id: int) -> datetime:
    try:
        return records.get(session, record_id, user_id)[0].created_at
    except errors.RecordNotFound:
        problem = (
            "names no record of this user; `next` of the page before finds its place all the same"
        )
        raise errors.InvalidRequest(
            f"after: {problem}.", errors=[{"pointer": "#/query/after", "detail": problem}]
        ) from None


def _item(record: Record, job: Job, request: Request, base_url: str) -> ListedRecord:
    error: dict[str, Any] | None = None
    if job.error is not None and job.finished_at is not None:
        error = problems.describe(errors.QuaverError.from_json(job.error), request)
    known = (AcceptedRecord if record.stored_at is None else StoredRecord).of(record, base_url)
    return ListedRecord(
        **{"duration": None, "size": None, "filename": record.filename} | known.model_dump(),
        state=State(job.state),
        created_at=record.created_at,
        error=error,
    )


def _next(base_url: str, user_id: int, limit: int, items: list[ListedRecord]) -> str:
    last = items[-1]
    place = {"user": user_id, "limit": limit, "after": last.id, "at": last.created_at.isoformat()}
    return f"{base_url}/records?{urlencode(place)}"
