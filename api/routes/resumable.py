"""/uploads: recordings that arrive over many requests, by tus 1.0 (`api/tus.py`)."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID, uuid4

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.orm import Session
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from api import credentials, idempotency, problems, tus
from api.connection import has_body
from api.credentials import Credentials
from api.dependencies import BaseUrl, Service, Services
from api.idempotency import REPLAYED
from api.openapi import BINARY, asks, headers, link, responses
from api.routes import records
from api.schemas import AcceptedRecord, RowId, StoredRecord, UnfinishedUpload, Uuid
from api.tus import Addition, Announcement
from shared import errors, jobs, resumable
from shared.idempotency import KeyedRequest, Outcome, forget, once
from shared.models import Record, ResumableUpload
from shared.wav import Wav


class TusRoute(APIRoute):
    """Says with every answer, be it a problem, which protocol is spoken here."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_tus(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Tus-Resumable"] = headers["Tus-Version"] = tus.VERSION
            await send(message)

        await super().handle(scope, receive, send_tus)


router = APIRouter(tags=["records"], route_class=TusRoute)


@dataclass(frozen=True)
class Progress:
    """How far an upload has come."""

    offset: int
    expires_at: float = 0
    """Seconds since 1970; 0 for one that is whole."""
    record: Record | None = None
    """What it has become, once it is whole."""

    def headers(self, base_url: str) -> dict[str, str]:
        headers = {"Upload-Offset": str(self.offset), "Cache-Control": "no-store"}
        if self.record is None:
            headers["Upload-Expires"] = formatdate(self.expires_at, usegmt=True)
        else:
            url = AcceptedRecord.of(self.record, base_url).url
            headers["Link"] = f'<{url}>; rel="alternate"; type="audio/mpeg"'
        return headers


async def _check_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != tus.VERSION:
        raise errors.UnsupportedTusVersion


_SCOPE = "POST /uploads {}"
_TUS = [Depends(_check_version)]
_ANY = (errors.InvalidCredentials, errors.UploadNotFound, errors.DatabaseUnavailable)
_TUS_ANY = (*_ANY, errors.UnsupportedTusVersion)
_FINISHING = (*tus.REFUSALS, errors.StorageFull, errors.StorageUnavailable, errors.TooManyRequests)
_BROUGHT = (
    *_FINISHING,
    errors.MalformedRequest,
    errors.InvalidRequest,
    errors.UnsupportedMediaType,
)
_BODY = {tus.MEDIA_TYPE: BINARY}
_ANY_HEADERS = headers("Tus-Resumable", "Tus-Version")
_PROGRESS_HEADERS = _ANY_HEADERS | headers(
    "Upload-Offset", "Upload-Expires", "Link", "Cache-Control"
)


def _answers(*kinds: type[errors.QuaverError]) -> dict[int | str, dict[str, Any]]:
    """These problems, and what is said of the protocol with them."""
    found = responses(*kinds)
    for answer in found.values():
        answer["headers"] |= _ANY_HEADERS
    return found


_GO_ON = link(
    "go_on_with_upload",
    "What is missing.",
    **{
        "path.upload_id": "$request.path.upload_id",
        "Upload-Offset": "$response.header.Upload-Offset",
    },
)
_OPTIONS: dict[int | str, dict[str, Any]] = {
    204: {
        "description": "What is spoken.",
        "headers": _ANY_HEADERS | headers("Tus-Extension", "Tus-Max-Size"),
    }
}


@router.options(
    "/uploads",
    status_code=204,
    summary="See what of tus is spoken here",
    responses=_OPTIONS,
)
async def show_options(services: Service) -> Response:
    """Of the protocol tus: its version, its extensions, and the longest upload."""
    spoken = {
        "Tus-Extension": tus.EXTENSIONS,
        "Tus-Max-Size": str(services.settings.max_upload_bytes),
    }
    return Response(status_code=204, headers=spoken)


@router.options(
    "/uploads/{upload_id}",
    status_code=204,
    summary="See what of tus is spoken of this upload",
    responses=_OPTIONS,
)
async def show_upload_options(services: Service, upload_id: str) -> Response:  # noqa: ARG001
    """The same, whether there is such an upload or not."""
    return await show_options(services)


@router.post(
    "/uploads",
    status_code=201,
    summary="Begin a resumable upload",
    response_class=Response,
    dependencies=_TUS,
    responses={
        201: {
            "description": "Begun; Location is its address.",
            "headers": _PROGRESS_HEADERS | headers("Location", "Idempotency-Replayed"),
        },
        **_answers(*_TUS_ANY, *_BROUGHT, errors.IdempotencyConflict),
    },
    openapi_extra=asks(
        "Tus-Resumable",
        "Upload-Length",
        "Upload-Metadata",
        body=_BODY,
        body_is_required=False,
        token=True,
    ),
)
async def begin_upload(
    request: Request,
    services: Service,
    base_url: BaseUrl,
    key: idempotency.Key = None,
    user: Annotated[RowId, Query(description="The user's id, unless it is in the metadata.")] = "",
) -> Response:
    """By the protocol tus 1.0, with the token as a Bearer header. The body, if there is one, is the
    beginning of the WAV; what follows goes to the upload's own address.
    """
    announced = Announcement.of(request, records.limits(services))
    if has_body(request):
        tus.check_media_type(request)
    user = user or tus.parse_metadata(announced.metadata).get("user", "")
    sent = Credentials.of(request, user=user)
    most_bytes = services.settings.max_bytes_per_user
    user_id = await services.transact.read(records.admit, sent, most_bytes, key, _SCOPE)
    keyed = idempotency.keyed(
        key, _SCOPE.format(user_id), str(announced.length_bytes), announced.metadata
    )
    upload, record, was_earlier = await _begin(services, user_id, announced, keyed)
    if was_earlier:
        problems.say(request, REPLAYED)
        progress = await _progress(services, upload, record)
    else:
        progress = await _take_beginning(request, services, upload, keyed)
    found = {"Location": f"{base_url}/uploads/{upload.id}"} | progress.headers(base_url)
    return Response(status_code=201, headers=found | (REPLAYED if was_earlier else {}))


@router.head(
    "/uploads/{upload_id}",
    summary="See how far an upload has come",
    operation_id="look_at_upload",
    response_class=Response,
    dependencies=_TUS,
    responses={
        200: {
            "description": "How far it has come.",
            "headers": _PROGRESS_HEADERS | headers("Upload-Length", "Upload-Metadata"),
            "links": _GO_ON,
        },
        **_answers(*_TUS_ANY, *_FINISHING),
    },
    openapi_extra=asks("Tus-Resumable", token=True),
)
async def look_at_upload(
    upload_id: Uuid, request: Request, services: Service, base_url: BaseUrl
) -> Response:
    """Upload-Offset says where to go on, and an offset of Upload-Length that the recording is
    accepted.
    """
    upload, record = await _get(upload_id, request, services)
    progress = await _progress(services, upload, record)
    found = {"Upload-Length": str(upload.length_bytes)} | progress.headers(base_url)
    if upload.upload_metadata:
        found["Upload-Metadata"] = upload.upload_metadata
    return Response(headers=found)


@router.get(
    "/uploads/{upload_id}",
    response_model=StoredRecord | UnfinishedUpload,
    summary="See what has become of an upload",
    responses={
        200: {
            "description": "The recording that it has become, or how far it has come.",
            "headers": _ANY_HEADERS | headers("Cache-Control", "Preference-Applied"),
        },
        202: {
            "model": AcceptedRecord,
            "description": "Whole; the conversion goes on.",
            "headers": _ANY_HEADERS
            | headers("Cache-Control", "Location", "Preference-Applied", "Retry-After"),
        },
        **_answers(*_ANY, *_FINISHING, errors.ConversionFailed),
    },
    openapi_extra=asks("Prefer", token=True),
)
async def show_upload(
    upload_id: Uuid, request: Request, response: Response, services: Service, base_url: BaseUrl
) -> StoredRecord | UnfinishedUpload | Response:
    """For a whole upload the answer is that of POST /record, and comes when the MP3 is stored."""
    upload, record = await _get(upload_id, request, services)
    progress = await _progress(services, upload, record)
    uncached = {"Cache-Control": "no-store"}
    if progress.record is not None:
        return await records.answer_when_stored(
            progress.record, request, response, services, base_url, uncached, is_new=False
        )
    response.headers.update(uncached)
    return UnfinishedUpload(
        id=upload.id,
        offset=progress.offset,
        length=upload.length_bytes,
        expires=datetime.fromtimestamp(progress.expires_at, UTC),
    )


@router.patch(
    "/uploads/{upload_id}",
    status_code=204,
    summary="Go on with an upload",
    response_class=Response,
    dependencies=_TUS,
    responses={
        204: {"description": "It has come so far.", "headers": _PROGRESS_HEADERS},
        **_answers(*_TUS_ANY, *_BROUGHT, errors.OffsetConflict),
    },
    openapi_extra=asks("Tus-Resumable", "Upload-Offset", body=_BODY, token=True),
)
async def go_on_with_upload(
    upload_id: Uuid, request: Request, services: Service, base_url: BaseUrl
) -> Response:
    """Send what is missing from Upload-Offset on, or a part of it. What has come is kept, however
    the request ends. With the last byte the upload becomes a recording, to which Link leads.
    """
    upload, record = await _get(upload_id, request, services)
    offset = tus.number(request, "Upload-Offset")
    addition = Addition.of(request, offset, records.limits(services))
    progress = await _progress(services, upload, record, addition)
    return Response(status_code=204, headers=progress.headers(base_url))


@router.delete(
    "/uploads/{upload_id}",
    status_code=204,
    summary="Give an upload up",
    response_class=Response,
    dependencies=_TUS,
    responses={
        204: {"description": "It is gone.", "headers": _ANY_HEADERS},
        **_answers(*_TUS_ANY),
    },
    openapi_extra=asks("Tus-Resumable", token=True),
)
async def terminate_upload(upload_id: Uuid, request: Request, services: Service) -> Response:
    """What has come of it is deleted. A recording that it has become stays."""
    upload, _ = await _get(upload_id, request, services)
    await _forget(services, upload.id)
    return Response(status_code=204)


@router.post("/uploads/{upload_id}", include_in_schema=False)
async def override_method(
    upload_id: str, request: Request, services: Service, base_url: BaseUrl
) -> Response:
    """For clients that can only GET and POST."""
    method = request.headers.get("x-http-method-override")
    if method not in {"PATCH", "DELETE"}:
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)
    await _check_version(request)
    if method == "PATCH":
        return await go_on_with_upload(upload_id, request, services, base_url)
    return await terminate_upload(upload_id, request, services)


async def _begin(
    services: Services, user_id: int, announced: Announcement, keyed: KeyedRequest | None
) -> tuple[ResumableUpload, Record | None, bool]:
    """A new upload; or that to which its key led earlier, its record, and whether it did.

    First the file, then the row: a file without a row is swept away, a row needs its file.
    """
    upload_id = uuid4()
    begin = partial(services.uploads.begin, upload_id, expected_bytes=announced.length_bytes)
    await anyio.to_thread.run_sync(begin)
    try:
        upload, record, was_earlier = await services.transact(
            _create, upload_id, user_id, announced, keyed
        )
    except (errors.IdempotencyConflict, errors.UploadNotFound):
        await services.forget_upload(upload_id)
        raise
    if was_earlier:
        await services.forget_upload(upload_id)
    return upload, record, was_earlier


def _create(
    session: Session,
    upload_id: UUID,
    user_id: int,
    announced: Announcement,
    keyed: KeyedRequest | None,
) -> tuple[ResumableUpload, Record | None, bool]:
    def create() -> Outcome:
        upload = resumable.create(
            session,
            upload_id=upload_id,
            user_id=user_id,
            length_bytes=announced.length_bytes,
            upload_metadata=announced.metadata,
        )
        return {"upload": str(upload.id)}

    outcome, was_earlier = once(session, keyed, create)
    return *resumable.get(session, UUID(outcome["upload"])), was_earlier


async def _take_beginning(
    request: Request, services: Services, upload: ResumableUpload, keyed: KeyedRequest | None
) -> Progress:
    """What the creation brings of the upload, if anything."""
    addition = Addition.of(request, 0, records.limits(services)) if has_body(request) else None
    try:
        return await _go_on(services, upload, addition)
    except tus.REFUSALS:
        # It will never be a recording; a repeat is to hear of that too, and not that it is gone.
        await _forget(services, upload.id, keyed)
        raise
    except errors.QuaverError:
        if keyed is None:  # Nobody knows its address; else who repeats the request is told it.
            await _forget(services, upload.id)
        raise


async def _get(
    upload_id: str, request: Request, services: Services
) -> tuple[ResumableUpload, Record | None]:
    return await services.transact.read(_authorized, upload_id, request)


def _authorized(
    session: Session, upload_id: str, request: Request
) -> tuple[ResumableUpload, Record | None]:
    """An upload, for whoever began it; for all others there is none.

    Raises: UploadNotFound, InvalidCredentials.
    """
    sent = Credentials.of(request, user="")
    try:
        upload, record = resumable.get(session, UUID(upload_id))
        credentials.authenticate(session, replace(sent, user=str(upload.user_id)))
    except (ValueError, errors.UploadNotFound, errors.InvalidCredentials):
        credentials.authenticate_anybody(session, sent)
        raise errors.UploadNotFound from None
    return upload, record


async def _progress(
    services: Services,
    upload: ResumableUpload,
    record: Record | None,
    addition: Addition | None = None,
) -> Progress:
    """How far an upload has come with an addition, if it takes one."""
    if record is None:
        try:
            return await _go_on(services, upload, addition)
        except errors.UploadNotFound:
            # Unless another request has finished it and its file is converted by now.
            _, record = await services.transact.read(resumable.get, upload.id)
            if record is None:
                raise
    if addition is not None:
        addition.check(upload.length_bytes, upload.length_bytes)
    return Progress(upload.length_bytes, record=record)


async def _go_on(
    services: Services, upload: ResumableUpload, addition: Addition | None
) -> Progress:
    """Take in an addition, if there is one, and make the upload a record once it is whole.

    The record may be the one thing that is missing, if a process died just before: so that is done
    for whoever asks next. No client is told that all has come before it is.
    """
    expiry_seconds = services.settings.upload_expiry_seconds
    with services.places.place() as place:
        if addition is not None:
            place.take(is_known=True)
        async with tus.resumed(
            services.uploads, upload.id, expiry_seconds=expiry_seconds
        ) as stored:
            wav = await tus.receive(stored, upload.length_bytes, addition, records.limits(services))
            if wav is None:
                return Progress(stored.size_bytes, stored.written_at + expiry_seconds)
    record = await services.transact(_accept, upload.id, wav, services.settings.max_bytes_per_user)
    services.queue.hint(record.job_id, jobs.CONVERT)
    return Progress(upload.length_bytes, record=record)


def _accept(session: Session, upload_id: UUID, wav: Wav, most_bytes: int | None) -> Record:
    """Once, whoever else is at it.

    Raises:
        UploadNotFound: it was given up meanwhile.
        TooManyRequests: its user has no room for it; it stays, for whoever asks again.
    """
    upload, record = resumable.lock(session, upload_id)
    filename = tus.parse_metadata(upload.upload_metadata).get("filename", "")
    return record or records.new_record(
        session,
        upload_id,
        user_id=upload.user_id,
        filename=filename,
        wav=wav,
        most_bytes=most_bytes,
    )


async def _forget(services: Services, upload_id: UUID, keyed: KeyedRequest | None = None) -> None:
    if await services.transact(_forget_begun, upload_id, keyed) is None:
        await services.forget_upload(upload_id)


def _forget_begun(session: Session, upload_id: UUID, keyed: KeyedRequest | None) -> Record | None:
    """An upload, and the key that it was begun with."""
    if keyed is not None:
        forget(session, keyed)
    return resumable.forget(session, upload_id)
