"""Records: a user's recordings, each an MP3 kept as chunks of at most `CHUNK_BYTES`."""

import hashlib
import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from uuid import UUID

import psycopg2.extensions
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared import errors
from shared.models import Chunk, Job, Record, State

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Mp3:
    """A finished MP3: its bytes, and the exact length of the sound that they decode to."""

    file: BinaryIO
    duration_seconds: float


def create(
    session: Session, *, record_id: UUID, user_id: int, job_id: UUID, filename: str
) -> Record:
    """Add a record whose job is still to be done. `filename` is the upload's own or empty."""
    record = Record(id=record_id, user_id=user_id, job_id=job_id, filename=mp3_name(filename))
    session.add(record)
    session.flush()
    return record


def mp3_name(filename: str) -> str:
    """The download's name for an upload's: no folders, no control characters, ending .mp3."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    # Whatever kind of space: some systems write a narrow one, in "10.00 AM" for instance.
    name = "".join(" " if c.isspace() else c for c in name)
    name = "".join(c for c in name if c.isprintable()).strip()
    stem = name.rpartition(".")[0] if "." in name else name
    # File systems allow 255 bytes; a name is cut between characters, not inside one.
    stem = stem.encode("utf-8", "ignore")[:250].decode("utf-8", "ignore").strip(". ")
    return f"{stem or 'recording'}.mp3"


def get(session: Session, record_id: UUID, user_id: int) -> tuple[Record, Job]:
    """A user's record and its job. Raises: RecordNotFound."""
    statement = (
        select(Record, Job)
        .join(Job, Job.id == Record.job_id)
        .where(Record.id == record_id, Record.user_id == user_id)
    )
    row = session.execute(statement).one_or_none()
    if row is None:
        raise errors.RecordNotFound
    return row[0], row[1]


def of_job(session: Session, job_id: UUID) -> Record:
    """The record that a job converts."""
    return session.scalars(select(Record).where(Record.job_id == job_id)).one()


def converted(session: Session, record_ids: Iterable[UUID]) -> dict[UUID, bool]:
    """Of those records that exist: whether their job has ended, well or badly."""
    statement = (
        select(Record.id, Job.state)
        .join(Job, Job.id == Record.job_id)
        .where(Record.id.in_(list(record_ids)))
    )
    return {row.id: State(row.state).is_final for row in session.execute(statement)}


def store(session: Session, record_id: UUID, mp3: Mp3) -> None:
    """Write a record's MP3, in bounded memory.

    COPY in its binary form, because a bytea parameter travels as hexadecimal text: twice the
    bytes and a third of the speed.
    """
    stream = _CopyStream(record_id, mp3.file)
    cursor = cast(psycopg2.extensions.cursor, session.connection().connection.cursor())
    with cursor, io.BufferedReader(stream, CHUNK_BYTES) as reader:
        cursor.copy_expert(
            "COPY chunks (record_id, start, data) FROM STDIN (FORMAT binary)", reader, CHUNK_BYTES
        )
    session.execute(
        update(Record)
        .where(Record.id == record_id)
        .values(
            duration_seconds=mp3.duration_seconds,
            size_bytes=stream.size_bytes,
            sha256=stream.sha256.digest(),
            stored_at=func.clock_timestamp(),
        )
    )


def read(session: Session, record_id: UUID, start: int, *, most_chunks: int) -> Sequence[bytes]:
    """Bytes of an MP3 from offset `start` on: as many chunks as asked for, or up to its end."""
    first = (
        select(func.max(Chunk.start))
        .where(Chunk.record_id == record_id, Chunk.start <= start)
        .scalar_subquery()
    )
    rows = session.execute(
        select(Chunk.start, Chunk.data)
        .where(Chunk.record_id == record_id, Chunk.start >= first)
        .order_by(Chunk.start)
        .limit(most_chunks)
    )
    return [bytes(row.data[max(0, start - row.start) :]) for row in rows]


class _CopyStream(io.RawIOBase):
    """A file's bytes as rows of `chunks` in PostgreSQL's COPY BINARY format.

    https://www.postgresql.org/docs/18/sql-copy.html, "Binary Format".
    """

    def __init__(self, record_id: UUID, file: BinaryIO) -> None:
        self.size_bytes = 0
        self.sha256 = hashlib.sha256()
        self._rest = memoryview(b"")
        self._pieces = self._format(record_id.bytes, file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _format(self, record_id: bytes, file: BinaryIO) -> Iterator[bytes]:
        yield b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
        while chunk := file.read(CHUNK_BYTES):
            # Three fields, each after its length: uuid, bigint, bytea.
            start = self.size_bytes
            yield struct.pack(">hi16siqi", 3, 16, record_id, 8, start, len(chunk))
            yield chunk
            self.size_bytes += len(chunk)
            self.sha256.update(chunk)
        yield struct.pack(">h", -1)
