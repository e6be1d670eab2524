"""Records: a user's recordings. Their MP3s are in `shared/chunks.py`."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, case, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from shared import chunks, errors, waveforms
from shared.chunks import Part
from shared.models import Job, Piece, Record, ResumableUpload, State

PIECES_PER_QUERY = 16
"""A megabyte."""

MOST_BYTES_PER_SECOND = 40_000
"""Of any MP3: 320 kbit/s."""

JOINERS = "\u200c\u200d"
"""Not printable, but Persian and many emoji are others without them."""

_GET = (
    select(Record, Job)
    .join(Job, Job.id == Record.job_id)
    .where(Record.id == bindparam("record"), Record.user_id == bindparam("user"))
)


def create(
    session: Session, *, record_id: UUID, user_id: int, job_id: UUID, filename: str
) -> Record:
    """Add a record whose job is still to be done. `filename` is the upload's own or empty."""
    record = Record(id=record_id, user_id=user_id, job_id=job_id, filename=mp3_name(filename))
    session.add(record)
    session.flush()
    return record


def mp3_name(filename: str) -> str:
    """The download's name for an upload's."""
    return f"{title(filename) or 'recording'}.mp3"


def title(filename: str) -> str:
    """What an upload's name says: no folders, no extension, no control characters; or nothing."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    # Whatever kind of space: some systems write a narrow one, in "10.00 AM" for instance.
    name = "".join(" " if c.isspace() else c for c in name)
    name = "".join(c for c in name if c.isprintable() or c in JOINERS).strip()
    stem = name.rpartition(".")[0] if "." in name else name
    # File systems allow 255 bytes; a name is cut between characters, not inside one.
    return stem.encode("utf-8", "ignore")[:250].decode("utf-8", "ignore").strip(". ")


def get(session: Session, record_id: UUID, user_id: int) -> tuple[Record, Job]:
    """A user's record and its job. Raises: RecordNotFound."""
    row = session.execute(_GET, {"record": record_id, "user": user_id}).one_or_none()
    if row is None:
        raise errors.RecordNotFound
    return row[0], row[1]


def page(
    session: Session, user_id: int, *, limit: int, after: tuple[datetime, UUID] | None = None
) -> list[tuple[Record, Job]]:
    """A user's records and their jobs, newest first, in whatever state.

    `after` is the creation time and the id of the last one before the page. It may be gone by now.
    """
    statement = (
        select(Record, Job)
        .join(Job, Job.id == Record.job_id)
        .where(Record.user_id == user_id)
        .order_by(Record.created_at.desc(), Record.id.desc())
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(Record.created_at, Record.id) < after)
    return [(row[0], row[1]) for row in session.execute(statement)]


def total_bytes(session: Session, user_id: int) -> int:
    """Of all MP3s that a user has stored, and those still to be made at their largest."""
    wav = Job.payload["wav"]
    seconds = wav["sample_frames"].as_float() / wav["sample_rate_hz"].as_float()
    # Of what is MPEG audio already nobody knows yet how long it is.
    largest = func.coalesce(seconds * MOST_BYTES_PER_SECOND, wav["data_size_bytes"].as_float())
    to_be_made = case((Job.finished_at.is_(None), largest), else_=0)
    total = (
        select(func.coalesce(func.sum(func.coalesce(Record.size_bytes, to_be_made)), 0))
        .join(Job, Job.id == Record.job_id)
        .where(Record.user_id == user_id)
    )
    return int(session.scalar(total) or 0)


def forget(session: Session, record_id: UUID) -> None:
    """Delete a record, all that is stored of it, and the upload that it was, lest that become it
    again. Its job must have ended.
    """
    session.execute(delete(ResumableUpload).where(ResumableUpload.id == record_id))
    session.execute(delete(Record).where(Record.id == record_id))


def of_job(session: Session, job_id: UUID) -> Record:
    """The record that a job converts. Raises: RecordNotFound, if it was deleted."""
    record = session.scalars(select(Record).where(Record.job_id == job_id)).one_or_none()
    if record is None:
        raise errors.RecordNotFound("The recording was deleted.")
    return record


def converted(session: Session, record_ids: Iterable[UUID]) -> dict[UUID, bool]:
    """Of those records that exist: whether their job has ended, well or badly."""
    statement = (
        select(Record.id, Job.state)
        .join(Job, Job.id == Record.job_id)
        .where(Record.id.in_(list(record_ids)))
    )
    return {row.id: State(row.state).is_final for row in session.execute(statement)}


def set_stored(
    session: Session, record_id: UUID, parts: Sequence[Part], *, duration_seconds: float
) -> None:
    """Describe a record's MP3, whose parts are stored by now, in this order."""
    digests = b"".join(part.sha256 for part in parts)
    session.connection().execute(
        update(Record)
        .where(Record.id == record_id)
        .values(
            duration_seconds=duration_seconds,
            size_bytes=sum(part.size_bytes for part in parts),
            sha256=hashlib.sha256(digests).digest(),
            stored_at=func.clock_timestamp(),
        )
    )


def add_piece(session: Session, record_id: UUID, segment: int, part: Part, ends: bytes) -> None:
    """Keep what joining needs of an encoded segment, whose body is stored by now."""
    piece = Piece(
        record_id=record_id,
        segment=segment,
        size_bytes=part.size_bytes,
        sha256=part.sha256,
        ends=ends,
    )
    session.add(piece)


def pieces(session: Session, record_id: UUID) -> Iterator[Piece]:
    """All pieces of a record in their order; few of them are in memory at a time."""
    segment = -1
    while True:
        page = session.scalars(
            select(Piece)
            .where(Piece.record_id == record_id, Piece.segment > segment)
            .order_by(Piece.segment)
            .limit(PIECES_PER_QUERY)
        ).all()
        if not page:
            return
        for piece in page:
            session.expunge(piece)
            yield piece
        segment = page[-1].segment


def forget_pieces(session: Session, record_id: UUID) -> None:
    """The MP3 is whole."""
    session.execute(delete(Piece).where(Piece.record_id == record_id))


def forget_failed(session: Session) -> Sequence[UUID]:
    """Delete what was stored of records whose conversion failed on the way; returns their ids.

    Cheap: only unfinished records have pieces.
    """
    failed = session.scalars(
        select(Piece.record_id)
        .distinct()
        .join(Record, Record.id == Piece.record_id)
        .join(Job, Job.id == Record.job_id)
        .where(Job.state == State.FAILED)
    ).all()
    for record_id in failed:
        forget_parts(session, record_id)
    return failed


def forget_parts(session: Session, record_id: UUID) -> None:
    """Delete all that segments have stored of a record."""
    chunks.forget(session, record_id)
    waveforms.forget(session, record_id)
    forget_pieces(session, record_id)
