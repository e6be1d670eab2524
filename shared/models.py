"""The tables. What may be done with their rows is in the module named after each noun."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class State(StrEnum):
    """Where a job stands."""

    # `shared/jobs.py` has the moves; the docstring is for /openapi.json.

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    """For its children."""
    DONE = "done"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return self in {State.DONE, State.FAILED}


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy declares it so.
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        bytes: LargeBinary,
    }


class Job(Base):
    """A unit of work. This row is the truth about it; a Celery message is only a hint."""

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    kind: Mapped[str]
    """Name of the Celery task that does it, such as `records.convert`."""
    state: Mapped[str] = mapped_column(server_default=State.QUEUED)
    request_id: Mapped[str | None]
    """Of the request that it comes of, for the logs."""
    traceparent: Mapped[str | None]
    """Where in which trace it was made (W3C Trace Context), when traces are made."""
    payload: Mapped[dict[str, Any]]
    """All that its worker needs to begin, so that a claim is the only read."""
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    """`QuaverError.to_json()`: why it failed or, while it is queued, why the last attempt did."""
    progress: Mapped[float] = mapped_column(server_default="0")
    attempt: Mapped[int] = mapped_column(server_default="0")
    """How often it was claimed; counted before the work starts, so that a job which kills its
    worker each time is found out."""
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    not_before: Mapped[datetime] = mapped_column(server_default=func.now())
    hinted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(
            "state IN ('queued', 'running', 'waiting', 'done', 'failed')", name="state"
        ),
        CheckConstraint("(state = 'running') = (lease_token IS NOT NULL)", name="lease"),
        CheckConstraint("(state IN ('done', 'failed')) = (finished_at IS NOT NULL)", name="end"),
        Index(
            "ix_jobs_open",
            "state",
            postgresql_where=text("state IN ('queued', 'running', 'waiting')"),
        ),
    )


class User(Base):
    """Someone who may add recordings."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    name_key: Mapped[str] = mapped_column(unique=True)
    """The name case-folded: what makes two names the same."""
    token_sha256: Mapped[bytes] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Record(Base):
    """A stored sound. Its state is that of its job."""

    __tablename__ = "records"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), unique=True)
    filename: Mapped[str]
    """Name of the download: the upload's own, ending in .mp3."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    duration_seconds: Mapped[float | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[bytes | None]
    """Of the digests of the MP3's parts, in their order."""
    stored_at: Mapped[datetime | None]
    """These four describe the MP3 and are set in the transaction that stores it."""

    __table_args__ = (Index("ix_records_of_user", "user_id", "created_at", "id"),)


class Chunk(Base):
    """A stretch of a record's MP3.

    An MP3 has parts that are stored at different times: a header, the bodies of segments and the
    seams between them, or just one with everything. Where a part begins is known when all are.
    """

    __tablename__ = "chunks"

    record_id: Mapped[UUID] = mapped_column(
        ForeignKey("records.id", ondelete="CASCADE"), primary_key=True
    )
    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Within its part."""
    start: Mapped[int | None] = mapped_column(BigInteger)
    """Offset of its first byte in the MP3."""
    data: Mapped[bytes]
    """Kept uncompressed outside the row (STORAGE EXTERNAL): MP3 does not compress."""

    __table_args__ = (Index("ix_chunks_place", "record_id", "start"),)


class Piece(Base):
    """What joining needs of an encoded segment besides its body; gone when the MP3 is whole."""

    __tablename__ = "pieces"

    record_id: Mapped[UUID] = mapped_column(
        ForeignKey("records.id", ondelete="CASCADE"), primary_key=True
    )
    segment: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes]
    """Of the body, which is in `chunks`."""
    ends: Mapped[bytes]
    """`join.Ends.to_bytes()`."""


class Peaks(Base):
    """A stretch of the waveform of a record's sound."""

    __tablename__ = "peaks"

    record_id: Mapped[UUID] = mapped_column(
        ForeignKey("records.id", ondelete="CASCADE"), primary_key=True
    )
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Number of its first pixel in the waveform."""
    data: Mapped[bytes]
    """The pixels, as `shared/waveforms.py` describes them."""


class ResumableUpload(Base):
    """An upload that may arrive over many requests, and then becomes the record of the same id."""

    __tablename__ = "resumable_uploads"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    length_bytes: Mapped[int] = mapped_column(BigInteger)
    """As announced. How much of it has come is told by the store alone."""
    upload_metadata: Mapped[str]
    """The header of this name as its client sent it; maybe empty."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class IdempotencyKey(Base):
    """A request that is to take effect once; `shared/idempotency.py` says how."""

    __tablename__ = "idempotency_keys"

    key_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    request_sha256: Mapped[bytes]
    sealed: Mapped[bytes | None]
    """What came of it; only the key opens it."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class Source(Base):
    """Where questions have come from, and on what terms they may be passed on."""

    __tablename__ = "sources"

    name: Mapped[str] = mapped_column(primary_key=True)
    licence: Mapped[str | None]
    attribution: Mapped[str | None]
    """Who is to be named, as their licence wants it."""


WORDS: ColumnElement[Any] = literal_column("to_tsvector('english', (question || ' ') || answer)")
"""What a full-text search of the questions looks into, as its index has it."""


class Question(Base):
    """A quiz question. Ids rise in the order in which questions were committed."""

    __tablename__ = "questions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source: Mapped[str] = mapped_column(ForeignKey("sources.name"))
    source_id: Mapped[str]
    question: Mapped[str]
    text_key: Mapped[bytes] = mapped_column(unique=True)
    """SHA-256 of the text with case and white space folded: what makes two texts the same."""
    answer: Mapped[str]
    category: Mapped[str | None]
    difficulty: Mapped[str | None]
    """`easy`, `medium` or `hard`, where the source tells."""
    created_at: Mapped[datetime]
    """When the question was written, by its source's word; else when it was saved."""
    saved_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        UniqueConstraint("source", "source_id"),
        Index("ix_questions_of_source", "source", "id"),
        Index("ix_questions_words", WORDS, postgresql_using="gin"),
    )


Index("ix_questions_of_category", func.lower(Question.category), Question.id)
