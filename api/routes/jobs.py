"""GET /jobs/{id} and /jobs/{id}/events."""

from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from api import events, problems
from api.dependencies import BaseUrl, Service, Transact, Transactions
from api.openapi import TEXT, headers, link, responses
from api.schemas import JobStatus, StoredRecord, Uuid
from shared import errors, jobs, records
from shared.models import Job, Record, State

router = APIRouter(tags=["jobs"])

_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/JobStatus"},
        },
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    },
}
_EVENTS = {"schema": {"anyOf": [TEXT["schema"], _EVENT]}}
"""To some readers of the document a stream is a text, to others the schema is that of an event."""


@router.head("/jobs/{job_id}", response_model_exclude_unset=True, include_in_schema=False)
@router.get(
    "/jobs/{job_id}",
    summary="See how a job is doing",
    response_model_exclude_unset=True,
    responses={
        200: {
            "description": "The job's state.",
            "links": {
                **link("watch_job", "To be told of each change.", job_id="$request.path.job_id"),
                **link(
                    "download_record",
                    "The MP3, if it has made one.",
                    id="$response.body#/result/id",
                    user="$response.body#/result/user",
                ),
            },
        },
        **responses(errors.JobNotFound, errors.DatabaseUnavailable),
    },
)
async def show_job(
    job_id: Uuid, request: Request, transact: Transact, base_url: BaseUrl
) -> JobStatus:
    """The id is the key: no credentials are asked."""
    return await _read(_key(job_id), request, transact, base_url)


@router.head("/jobs/{job_id}/events", include_in_schema=False)
@router.get(
    "/jobs/{job_id}/events",
    summary="Watch a job",
    response_class=Response,
    responses={
        200: {
            "content": {events.MEDIA_TYPE: _EVENTS},
            "headers": headers("Cache-Control", "X-Accel-Buffering"),
            "description": "An event at each change, with an `id` and, as its `data`, a "
            "`JobStatus`; the last one ends it.",
        },
        204: {"description": "The job has ended, and `Last-Event-ID` is its last event's."},
        **responses(errors.JobNotFound, errors.DatabaseUnavailable),
    },
)
async def watch_job(
    job_id: Uuid,
    request: Request,
    services: Service,
    base_url: BaseUrl,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="`id` of the last event that came.")
    ] = None,
) -> Response:
    """Server-Sent Events, as a browser's EventSource reads them: it may come back after a break."""
    key = _key(job_id)
    read = partial(_read, key, request, services.transact, base_url)
    status = await read()
    if status.state.is_final and last_event_id == events.id_of(status):
        return Response(status_code=HTTPStatus.NO_CONTENT)  # EventSource gives up, as it should.
    if request.method == "HEAD":  # Nobody follows without reading.
        return Response(headers=events.HEADERS, media_type=events.MEDIA_TYPE)
    stream = events.follow(key, read, services.waiter, last_event_id)
    return StreamingResponse(stream, headers=events.HEADERS, media_type=events.MEDIA_TYPE)


def _key(job_id: str) -> UUID:
    """Raises: JobNotFound."""
    try:
        return UUID(job_id)
    except ValueError:
        raise errors.JobNotFound from None


async def _read(key: UUID, request: Request, transact: Transactions, base_url: str) -> JobStatus:
    job, result = await transact.read(_look_up, key, base_url)
    return _status(job, result, request)


def _look_up(session: Session, job_id: UUID, base_url: str) -> tuple[Job, dict[str, Any] | None]:
    """A job, and once it is done the body of the 200 or 201.

    Raises: JobNotFound, for parts of other jobs too: no answer names them, and none has a result.
    """
    job = jobs.get(session, job_id)
    if job.parent_id is not None:
        raise errors.JobNotFound
    if job.state != State.DONE:
        return job, None
    if job.kind == jobs.CONVERT:
        record = _converted(session, job_id)
        return job, StoredRecord.of(record, base_url).model_dump(mode="json")
    return job, job.result or {}


def _converted(session: Session, job_id: UUID) -> Record:
    """Raises: JobNotFound, if the recording has been deleted since."""
    try:
        return records.of_job(session, job_id)
    except errors.RecordNotFound:
        raise errors.JobNotFound("The recording that this job converted was deleted.") from None


def _status(job: Job, result: dict[str, Any] | None, request: Request) -> JobStatus:
    status: dict[str, Any] = {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "progress": job.progress,
        "attempt": job.attempt,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
    }
    if result is not None:
        status["result"] = result
    if job.state == State.FAILED and job.error:
        status["error"] = problems.describe(errors.QuaverError.from_json(job.error), request)
    return JobStatus.model_validate(status)
