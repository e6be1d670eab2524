"""POST /record and GET /record."""

from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from api import (
    credentials,
    downloads,
    idempotency,
    openapi,
    preferences,
    problems,
    schemas,
    uploads,
)
from api.credentials import Credentials
from api.dependencies import BaseUrl, Service, Services, Transact
from api.idempotency import REPLAYED
from api.openapi import BINARY, asks, headers, problem, responses
from api.places import Place
from api.problems import kind_of_http
from api.schemas import LARGEST_ID, AcceptedRecord, RowId, StoredRecord, Uuid, row_id
from shared import errors, jobs, records, users
from shared.idempotency import KeyedRequest, Outcome, is_known, once
from shared.models import Job, Record, State
from shared.store import Upload
from shared.tags import Tags
from shared.wav import Wav

router = APIRouter(tags=["records"])

RecordParameter = Annotated[Uuid, Query(alias="id", description="The record's id.")]
UserParameter = Annotated[RowId, Query(description="Its user's id.")]

_SCOPE = "POST /record {}"

QUOTA_SECONDS = 3600
"""What `Retry-After` says to who has reached their quota: waiting alone does not help."""

_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "user": {
            "type": "integer",
            "minimum": 1,
            "maximum": LARGEST_ID,
            "description": "The user's id, unless sent in the query.",
        },
        "token": {
            "type": "string",
            "format": "uuid",
            "description": "The user's token, unless sent as a header.",
        },
        "file": {"type": "string", "format": "binary", "description": "The WAV."},
    },
    "additionalProperties": False,
}
_BODY = {
    "multipart/form-data": {"schema": _FORM, "encoding": {"file": {"contentType": "audio/wav"}}},
    "audio/wav": BINARY,
}
_WHEREABOUTS = {"id": "$response.body#/id", "user": "$response.body#/user"}
_LINKS = {
    **openapi.link("download_record", "The MP3.", **_WHEREABOUTS),
    **openapi.link("look_at_record", "The MP3's headers.", **_WHEREABOUTS),
    **openapi.link("draw_record", "Its waveform.", **_WHEREABOUTS),
    **openapi.link("look_at_waveform", "The waveform's headers.", **_WHEREABOUTS),
    **openapi.link("delete_record", "To be rid of it.", **_WHEREABOUTS),
}
_COPY_HEADERS = headers(
    "Accept-Ranges",
    "Cache-Control",
    "Content-Disposition",
    "ETag",
    "Last-Modified",
    "Referrer-Policy",
    "X-Content-Type-Options",
    "X-Robots-Tag",
)
_MP3 = {"content": {"audio/mpeg": BINARY}, "headers": _COPY_HEADERS}
CONDITIONS = ("If-Match", "If-Unmodified-Since", "If-None-Match", "If-Modified-Since")
_LOOK_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole MP3.", **_MP3},
    304: {"description": "The client's copy is good.", "headers": _COPY_HEADERS},
    412: problem(kind_of_http(HTTPStatus.PRECONDITION_FAILED)),
    **responses(
        errors.InvalidRequest,
        errors.RecordNotFound,
        errors.RecordNotReady,
        errors.ConversionFailed,
        errors.DatabaseUnavailable,
    ),
}
_DOWNLOAD_RESPONSES = _LOOK_RESPONSES | {
    206: {
        "description": "The part of the MP3 that Range asks for.",
        "content": {"audio/mpeg": BINARY},
        "headers": _COPY_HEADERS | headers("Content-Range"),
    },
    416: problem(kind_of_http(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE))
    | {"headers": headers("Content-Range")},
}


@router.post(
    "/record",
    status_code=201,
    response_model=StoredRecord,
    summary="Add a recording",
    responses={
        201: {
            "description": "The MP3 is stored.",
            "headers": headers("Location", "Preference-Applied", "Idempotency-Replayed"),
            "links": _LINKS,
        },
        202: {
            "model": AcceptedRecord,
            "description": "Stored; the conversion goes on.",
            "headers": headers(
                "Location", "Retry-After", "Preference-Applied", "Idempotency-Replayed"
            ),
            "links": _LINKS,
        },
        **responses(
            errors.InvalidCredentials,
            errors.RecordNotFound,
            errors.MalformedRequest,
            errors.InvalidRequest,
            errors.UploadTooSlow,
            errors.IdempotencyConflict,
            errors.ConversionFailed,
            errors.UploadTooLarge,
            errors.NotAWav,
            errors.UnsupportedWavCodec,
            errors.InvalidWav,
            errors.TooManyRequests,
            errors.DatabaseUnavailable,
            errors.StorageUnavailable,
            errors.StorageFull,
        ),
    },
    openapi_extra=asks("Prefer", body=_BODY, token=True, token_is_required=False),
)
async def add_record(  # noqa: PLR0917 - FastAPI gives them by name.
    request: Request,
    response: Response,
    services: Service,
    base_url: BaseUrl,
    key: idempotency.Key = None,
    user: Annotated[RowId, Query(description="The user's id, unless it is in the form.")] = "",  # noqa: ARG001
    filename: Annotated[str, Query(description="The upload's name, for a plain body.")] = "",  # noqa: ARG001
) -> StoredRecord | Response:
    """Send a WAV as the part `file` of a form with the fields `user` and `token`, or as the body
    itself with `user` in the query and the token as a Bearer header. A body that is no form may
    have any Content-Type, for its bytes alone count.

    Answers when the MP3 is stored.
    """
    with services.places.place() as place:
        record, was_earlier = await _take_in(request, services, place, key)
    services.queue.hint(record.job_id, jobs.CONVERT)
    said = REPLAYED if was_earlier else {}
    answer = await answer_when_stored(
        record, request, response, services, base_url, said, is_new=not was_earlier
    )
    if isinstance(answer, StoredRecord):
        response.headers["Location"] = answer.url
    return answer


@router.head(
    "/record",
    summary="Look at a recording's headers",
    operation_id="look_at_record",
    response_class=Response,
    responses=_LOOK_RESPONSES,
    openapi_extra=asks(*CONDITIONS),
)
@router.get(
    "/record",
    summary="Download a recording",
    response_class=Response,
    responses=_DOWNLOAD_RESPONSES,
    openapi_extra=asks("Range", "If-Range", *CONDITIONS),
)
async def download_record(
    request: Request,
    transact: Transact,
    record_id: RecordParameter,
    user: UserParameter,
    inline: Annotated[str, Query(description="1: to be played, not saved.")] = "",
) -> Response:
    """The link needs no token: who has it may listen."""
    record, _ = await transact.read(stored, *link(record_id, user))
    sound = downloads.Sound.of(record)
    return downloads.respond(request, sound, transact, inline=inline == "1")


async def answer_when_stored(  # noqa: PLR0917 - As its callers are called.
    record: Record,
    request: Request,
    response: Response,
    services: Services,
    base_url: str,
    said: dict[str, str],
    *,
    is_new: bool,
) -> StoredRecord | Response:
    """The stored record, or a 202 if that takes longer than the client wants to wait.

    Raises: why its conversion failed.
    """
    waiting = preferences.waiting(request, most_seconds=services.settings.record_wait_seconds)
    said = waiting.headers | said
    problems.say(request, said)
    read = partial(_outcome, record_id=record.id, user_id=record.user_id)
    stored = await services.outcome(
        record.job_id, jobs.CONVERT, waiting.seconds, read, is_new=is_new
    )
    if stored is None:
        return schemas.still_at_work(AcceptedRecord.of(record, base_url), said)
    response.headers.update(said)
    return StoredRecord.of(stored, base_url)


async def _take_in(
    request: Request, services: Services, place: Place, key: str | None
) -> tuple[Record, bool]:
    """Store the upload, then its record and its job; and whether its key had led to one earlier.

    Nothing is promised before that commit, and nothing is lost after it. Should the commit fail,
    the upload stays: nobody knows yet whether it took effect. The sweep finds out.
    """
    record_id = uuid4()

    def create(expected_bytes: int) -> Upload:
        return services.uploads.create(record_id, expected_bytes=expected_bytes)

    gate = _gate(services, place, key)
    received = await uploads.receive(
        request, create, limits(services), gate, hashed=key is not None
    )
    keyed = idempotency.keyed(
        key, _SCOPE.format(received.user_id), received.filename, received.sha256
    )
    try:
        record, was_earlier = await services.transact(
            _accept, record_id, received, keyed, services.settings.max_bytes_per_user
        )
    except errors.RecordNotFound:
        problems.say(request, REPLAYED)  # Its key leads to what has been deleted since.
        await services.forget_upload(record_id)
        raise
    except (errors.IdempotencyConflict, errors.TooManyRequests):
        await services.forget_upload(record_id)
        raise
    if was_earlier:
        await services.forget_upload(record_id)
    return record, was_earlier


def _gate(services: Services, place: Place, key: str | None) -> uploads.Gate:
    """Lets in whoever has a token, room and a place."""
    most_bytes = services.settings.max_bytes_per_user

    async def authenticate(sent: Credentials) -> int:
        user_id = await services.transact.read(admit, sent, most_bytes, key, _SCOPE)
        place.take(is_known=True)
        return user_id

    async def admit_stranger() -> None:
        place.take(is_known=False)
        await services.transact.check()

    return uploads.Gate(authenticate, admit_stranger)


def limits(services: Services) -> uploads.Limits:
    settings = services.settings
    return uploads.Limits(
        most_bytes=settings.max_upload_bytes,
        most_seconds=settings.max_duration_seconds,
        stall_seconds=settings.upload_stall_seconds,
        least_bytes_per_second=settings.upload_min_bytes_per_second,
    )


def admit(
    session: Session, sent: Credentials, most_bytes: int | None, key: str | None, scope: str
) -> int:
    """The user's id. A repeat of what was accepted is let in, whatever the user has by now.

    Raises: InvalidCredentials, TooManyRequests.
    """
    user_id = credentials.authenticate(session, sent)
    if key is None or not is_known(session, key, scope.format(user_id)):
        _check_room(session, user_id, most_bytes)
    return user_id


def _check_room(session: Session, user_id: int, most_bytes: int | None) -> None:
    """Raises: TooManyRequests."""
    if most_bytes is not None and records.total_bytes(session, user_id) >= most_bytes:
        raise errors.TooManyRequests(
            f"This user's recordings take {most_bytes} bytes, or may once they are all converted, "
            "and that is all that one user may have here. Delete some of them first.",
            retry_after_seconds=QUOTA_SECONDS,
        )


def _accept(
    session: Session,
    record_id: UUID,
    received: uploads.Received,
    keyed: KeyedRequest | None,
    most_bytes: int | None,
) -> tuple[Record, bool]:
    def create() -> Outcome:
        record = new_record(
            session,
            record_id,
            user_id=received.user_id,
            filename=received.filename,
            wav=received.wav,
            most_bytes=most_bytes,
        )
        return {"record": str(record.id)}

    outcome, was_earlier = once(session, keyed, create)
    record = session.get(Record, UUID(outcome["record"]))
    if record is None:
        raise errors.RecordNotFound("The recording was deleted.")
    return record, was_earlier


def new_record(
    session: Session,
    record_id: UUID,
    *,
    user_id: int,
    filename: str,
    wav: Wav,
    most_bytes: int | None,
) -> Record:
    """Add a recording that is in the store, and its job. Raises: TooManyRequests."""
    if most_bytes is not None:
        users.lock(session, user_id)  # Of several at once each may be the last that has room.
        _check_room(session, user_id, most_bytes)
    wav = replace(wav, tags=wav.tags.filled(Tags(title=records.title(filename))))
    payload = {"record": str(record_id), "wav": wav.to_json()}
    job = jobs.create(session, jobs.CONVERT, payload)
    return records.create(
        session,
        record_id=record_id,
        user_id=user_id,
        job_id=job.id,
        filename=filename,
    )


def _outcome(session: Session, record_id: UUID, user_id: int) -> Record | None:
    """A stored record, None as long as its job has not ended. Raises: why it failed."""
    record, job = records.get(session, record_id, user_id)
    if not State(job.state).is_final:
        return None
    if job.error is not None:
        raise errors.QuaverError.from_json(job.error)
    return record


def link(record_id: str, user: str) -> tuple[UUID, int]:
    """A link's parts. Raises: RecordNotFound, as for a record that is not there."""
    try:
        return UUID(record_id), row_id(user)
    except ValueError:
        raise errors.RecordNotFound from None


def stored(session: Session, record_id: UUID, user_id: int) -> tuple[Record, Job]:
    """A record whose job is done. Raises: RecordNotFound, RecordNotReady, ConversionFailed."""
    record, job = records.get(session, record_id, user_id)
    match State(job.state):
        case State.DONE:
            return record, job
        case State.FAILED:
            raise errors.ConversionFailed(_reason(job))
        case _:
            raise errors.RecordNotReady(retry_after_seconds=2)


def _reason(job: Job) -> str | None:
    return errors.QuaverError.from_json(job.error).detail if job.error else None
