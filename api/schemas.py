"""Request and response bodies as the contract has them."""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from fastapi.responses import JSONResponse
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic.json_schema import SkipJsonSchema

from shared import jobs
from shared.models import Record, State
from shared.sources import Filters

LARGEST_ID = (1 << 63) - 1
LONGEST_NAME = 100

RowId = Annotated[str, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LARGEST_ID})]
Uuid = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
"""Ids in addresses, taken as they come: one that is none gets the answer of one that nobody has."""

T = TypeVar("T")

OrEmpty = Annotated[T | None, BeforeValidator(lambda text: text or None)]
"""A query parameter that asks for nothing if it is left empty, as forms do."""

MayBeAbsent = Annotated[
    T | SkipJsonSchema[None], Field(json_schema_extra=lambda schema: schema.pop("default", None))
]
"""A member that is left out rather than null."""

Url = Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})]

ProblemObject = Annotated[
    dict[str, Any],
    # A reference by itself pydantic would look up among its own.
    WithJsonSchema({"allOf": [{"$ref": "#/components/schemas/Problem"}]}),
]

_WHOLE = ConfigDict(json_schema_serialization_defaults_required=True)
"""All members are always there."""

_CONTROLS = r"\u0000-\u001f\u007f-\u009f"
_SPACE = r"\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What `str.strip` strips, written out: the `\\s` of a pattern depends on who reads it."""


def row_id(text: str) -> int:
    """A number as the database gives them to its rows. Raises: ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID))):
        raise ValueError(text)
    if not 0 < int(text) <= LARGEST_ID:
        raise ValueError(text)
    return int(text)


def _clean_name(name: str) -> str:
    name = unicodedata.normalize("NFC", name.strip())
    if not 1 <= len(name) <= LONGEST_NAME:
        raise ValueError(f"must have 1 to {LONGEST_NAME} characters")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise ValueError("must have no control characters")
    return name


class Described(BaseModel):
    """Fields are described in /openapi.json as they are here."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class NewUser(Described):
    name: Annotated[
        str,
        AfterValidator(_clean_name),
        Field(
            min_length=1,
            json_schema_extra={
                # No maximum: how long it is with white space around and before it is composed
                # says nothing.
                "pattern": rf"^[{_SPACE}]*[^{_SPACE}{_CONTROLS}]"
                rf"([^{_CONTROLS}]*[^{_SPACE}{_CONTROLS}])?[{_SPACE}]*$",
            },
        ),
    ]
    """1 to 100 characters, none of them a control character, once white space around is removed and
    what can be composed is (NFC). Unique, whatever its case.
    """


class CreatedUser(Described):
    id: int
    token: UUID
    """Shown this once."""


class RenewedToken(Described):
    token: UUID
    """Shown this once; the old one is no longer good."""


class NewQuestions(Described):
    model_config = ConfigDict(strict=True)

    questions_num: Annotated[int, Field(ge=1, le=1000)]
    """How many new questions to store."""
    category: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Only those of this category, by the name that a source has for it, whatever its case."""
    difficulty: Literal["easy", "medium", "hard"] | None = None
    """Only those that their source calls so."""

    @property
    def filters(self) -> Filters:
        return Filters(self.category, self.difficulty)


class Question(Described):
    id: int
    question: str
    answer: str
    created_at: datetime
    """When its source created it or, if that is not known, when it was saved."""
    saved_at: datetime
    """When this service stored it."""
    source: str
    source_id: str
    """What its source calls it."""
    category: str | None
    """As its source names it."""


class FullQuestion(Question):
    difficulty: Literal["easy", "medium", "hard"] | None
    """As its source rates it."""
    licence: str | None
    """On whose terms it may be passed on; null if its source states none."""
    attribution: str | None
    """Who is to be named wherever it is shown, as the licence wants it."""


class QuestionPage(Described):
    items: list[Question]
    """Newest first."""
    next: Url | None
    """URL of the next page, if there is one."""


class SourceCount(Described):
    name: str
    licence: str | None
    attribution: str | None
    count: int
    newest_saved_at: datetime


class CategoryCount(Described):
    category: str | None
    count: int


class DifficultyCount(Described):
    difficulty: str | None
    count: int


class QuestionStats(Described):
    total: int
    sources: list[SourceCount]
    categories: list[CategoryCount]
    """The largest ones; spellings that differ in case alone are counted as one."""
    difficulties: list[DifficultyCount]


class Nothing(Described):
    """No question was stored before."""

    model_config = ConfigDict(extra="forbid")


class AcceptedJob(Described):
    job: Url
    """URL of the job that goes on."""


class AcceptedRecord(Described):
    url: Url
    """Downloads the MP3 once it is stored, in a browser too: no header and no token needed."""
    id: UUID
    user: int
    job: Url
    """URL of the job that converts it."""

    @classmethod
    def of(cls, record: Record, base_url: str) -> Self:
        return cls(
            url=f"{base_url}/record?id={record.id}&user={record.user_id}",
            id=record.id,
            user=record.user_id,
            job=job_url(record.job_id, base_url),
        )


class StoredRecord(Described):
    url: Url
    """Downloads the MP3, in a browser too: no header and no token needed."""
    id: UUID
    user: int
    duration: float
    """Seconds."""
    size: int
    """Bytes of the MP3."""
    filename: str
    """What the MP3 is saved as: the upload's own name, ending in `.mp3`."""
    job: Url
    """URL of the job that converted it."""

    @classmethod
    def of(cls, record: Record, base_url: str) -> Self:
        """A record whose MP3 is stored."""
        return cls(
            **AcceptedRecord.of(record, base_url).model_dump(),
            duration=round(record.duration_seconds or 0, 6),
            size=record.size_bytes or 0,
            filename=record.filename,
        )


class ListedRecord(AcceptedRecord):
    """A record in whatever state."""

    model_config = _WHOLE

    duration: float | None
    """Seconds; known once the MP3 is stored."""
    size: int | None
    """Bytes of the MP3, once it is stored."""
    filename: str
    """What the MP3 is saved as: the upload's own name, ending in `.mp3`."""
    state: State
    """That of its job."""
    created_at: datetime
    error: ProblemObject | None = None
    """Why the conversion has failed, if it has."""


class RecordPage(Described):
    items: list[ListedRecord]
    """Newest first."""
    next: Url | None
    """URL of the next page, if there is one."""


class UnfinishedUpload(Described):
    id: UUID
    offset: int
    """Bytes that have come."""
    length: int
    """Bytes that are to come in all."""
    expires: datetime
    """When it is deleted, unless more comes."""


class Waveform(Described):
    """The data format of audiowaveform."""

    model_config = _WHOLE

    version: Literal[2] = 2
    channels: Literal[1] = 1
    """All are mixed into one."""
    sample_rate: int
    """Of the WAV, in Hz."""
    samples_per_pixel: int
    """Sample frames of the WAV that are drawn as one."""
    bits: Literal[8] = 8
    length: int
    """How many pixels there are."""
    data: list[Annotated[int, Field(ge=-128, le=127)]]
    """Lowest and highest sample of each pixel in turn."""


def job_url(job_id: UUID, base_url: str) -> str:
    return f"{base_url}/jobs/{job_id}"


def still_at_work(
    accepted: AcceptedRecord | AcceptedJob, headers: Mapping[str, str]
) -> JSONResponse:
    """The 202 of a job that goes on."""
    headers = {"Location": accepted.job, "Retry-After": "5", **headers}
    return JSONResponse(accepted.model_dump(mode="json"), HTTPStatus.ACCEPTED, headers)


class JobStatus(Described):
    id: UUID
    kind: Annotated[str, Field(json_schema_extra={"enum": [jobs.CONVERT, jobs.COLLECT]})]
    state: State
    progress: Annotated[float, Field(ge=0, le=1)]
    """The share that is done."""
    attempt: int
    """How often a worker has begun it; anew once its parts are done and it is to be finished."""
    created_at: datetime
    finished_at: datetime | None
    """When it was done or failed, if it is so far."""
    result: MayBeAbsent[StoredRecord | Question | Nothing] = None
    """The body of the 200 or 201 that the POST would have got; there when the job is done."""
    error: MayBeAbsent[ProblemObject] = None
    """The problem that the POST would have got; there when the job has failed."""


class Live(Described):
    model_config = _WHOLE

    status: Literal["live"] = "live"


class Ready(Described):
    model_config = _WHOLE

    status: Literal["ready"] = "ready"
    checks: dict[str, str]
    """What each part of the service was found to be: `ok`, or `unknown` where nobody could tell."""
    sources: dict[str, str]
    """Of questions: `ok`, or why one is passed over for now, which makes nothing unready."""


class ProblemItem(Described):
    pointer: str
    """Where the field is, such as `#/name` or `#/query/limit`."""
    detail: str
    """What is wrong with it."""


class Problem(Described):
    """What went wrong, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")

    type: str
    """`/problems/…`, the address of a page that explains it."""
    title: str
    """What kind of problem it is."""
    status: int
    """The HTTP status."""
    detail: str
    """What failed, why, and what to do."""
    instance: str
    """The path that was asked for."""
    request_id: str
    """The answer's `X-Request-ID`, by which the logs name the request."""
    errors: MayBeAbsent[list[ProblemItem]] = None
    """Each field that is wrong; there with `invalid-request` alone."""
    found: MayBeAbsent[int] = None
    """So many questions could be had; there with `questions-exhausted` alone."""
    checks: MayBeAbsent[dict[str, str]] = None
    """What works and what does not; there with `not-ready` alone."""
    sources: MayBeAbsent[dict[str, str]] = None
    """Of questions: `ok`, or why one is passed over for now; there with `not-ready` alone."""
