"""GET /record/peaks."""

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from api import schemas
from api.dependencies import Transact
from api.downloads import Sound
from api.openapi import asks, headers, problem, responses
from api.problems import kind_of_http
from api.routes import records
from api.waveforms import MOST_SAMPLES_PER_PIXEL, Waveform, respond
from shared import errors, waveforms
from shared.wav import Wav
from shared.waveforms import SAMPLES_PER_PIXEL

router = APIRouter(tags=["records"])

_HEADERS = headers(
    "Cache-Control",
    "ETag",
    "Last-Modified",
    "Referrer-Policy",
    "X-Content-Type-Options",
    "X-Robots-Tag",
)
_REQUEST = asks(*records.CONDITIONS)
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": schemas.Waveform, "description": "The waveform.", "headers": _HEADERS},
    304: {"description": "The client's copy is good.", "headers": _HEADERS},
    412: problem(kind_of_http(HTTPStatus.PRECONDITION_FAILED)),
    **responses(
        errors.RecordNotFound,
        errors.RecordNotReady,
        errors.ConversionFailed,
        errors.InvalidRequest,
        errors.DatabaseUnavailable,
    ),
}


@router.head(
    "/record/peaks",
    summary="Look at a waveform's headers",
    operation_id="look_at_waveform",
    responses=_RESPONSES,
    openapi_extra=_REQUEST,
)
@router.get(
    "/record/peaks",
    summary="Draw a recording",
    responses=_RESPONSES,
    openapi_extra=_REQUEST,
)
async def draw_record(
    request: Request,
    transact: Transact,
    record_id: records.RecordParameter,
    user: records.UserParameter,
    samples_per_pixel: Annotated[
        int,
        Query(
            ge=SAMPLES_PER_PIXEL,
            le=MOST_SAMPLES_PER_PIXEL,
            multiple_of=SAMPLES_PER_PIXEL,
            description="Sample frames of the WAV that are drawn as one.",
        ),
    ] = SAMPLES_PER_PIXEL,
) -> Response:
    """The waveform in the data format of audiowaveform, which peaks.js and wavesurfer.js read.

    Like the recording itself it needs no token.
    """
    link = records.link(record_id, user)
    return respond(request, await transact.read(_waveform, *link, samples_per_pixel), transact)


def _waveform(session: Session, record_id: UUID, user_id: int, samples_per_pixel: int) -> Waveform:
    """Raises: as `records.stored`."""
    record, job = records.stored(session, record_id, user_id)
    return Waveform(
        sound=Sound.of(record),
        sample_rate_hz=Wav.from_json(job.payload["wav"]).sample_rate_hz,
        stored_pixels=waveforms.length(session, record_id),
        samples_per_pixel=samples_per_pixel,
    )
