"""MP3s in the database: chunks of at most `CHUNK_BYTES`, in parts that are stored apart."""

import hashlib
import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from uuid import UUID

import psycopg2.extensions
from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from shared.models import Chunk

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Part:
    """A part of an MP3 that is stored."""

    number: int
    size_bytes: int
    sha256: bytes


def write(session: Session, record_id: UUID, number: int, file: BinaryIO) -> Part:
    """Store a part, from where `file` stands to its end, in bounded memory.

    Its place in the MP3 is not known yet: see `place`.
    """
    return _copy(session, _CopyStream(record_id, number, file))


def write_whole(session: Session, record_id: UUID, file: BinaryIO) -> Part:
    """Store an MP3 of a single part, as `write` does and in its place already."""
    return _copy(session, _CopyStream(record_id, 0, file, start=0))


def _copy(session: Session, stream: "_CopyStream") -> Part:
    """COPY in its binary form, because a bytea parameter travels as hexadecimal text: twice the
    bytes and a third of the speed.
    """
    cursor = cast(psycopg2.extensions.cursor, session.connection().connection.cursor())
    with cursor, io.BufferedReader(stream, CHUNK_BYTES) as reader:
        cursor.copy_expert(
            "COPY chunks (record_id, part, number, start, data) FROM STDIN (FORMAT binary)",
            reader,
            CHUNK_BYTES,
        )
    return Part(stream.part, stream.size_bytes, stream.sha256.digest())


def place(session: Session, record_id: UUID, parts: Sequence[Part]) -> None:
    """Let these parts follow each other from the MP3's first byte on; it can be read then.

    The chunks' rows are rewritten but not their data, which PostgreSQL keeps apart.
    """
    starts = []
    position = 0
    for part in parts:
        starts.append({"of_part": part.number, "position": position})
        position += part.size_bytes
    statement = (
        update(Chunk)
        .where(Chunk.record_id == record_id, Chunk.part == bindparam("of_part"))
        .values(start=bindparam("position") + Chunk.number * CHUNK_BYTES)
    )
    session.connection().execute(statement, starts)


def read(session: Session, record_id: UUID, start: int, *, most_chunks: int) -> Sequence[bytes]:
    """Bytes of an MP3 from offset `start` on: as many chunks as asked for, or up to its end."""
    first = (
        select(Chunk.start)
        .where(Chunk.record_id == record_id, Chunk.start <= start)
        .order_by(Chunk.start.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = session.execute(
        select(Chunk.start, Chunk.data)
        .where(Chunk.record_id == record_id, Chunk.start >= first)
        .order_by(Chunk.start)
        .limit(most_chunks)
    )
    return [bytes(row.data[max(0, start - row.start) :]) for row in rows]


def forget(session: Session, record_id: UUID) -> None:
    """Delete all parts of an MP3."""
    session.execute(delete(Chunk).where(Chunk.record_id == record_id))


class _CopyStream(io.RawIOBase):
    """A file's bytes as rows of `chunks` in PostgreSQL's COPY BINARY format.

    https://www.postgresql.org/docs/18/sql-copy.html, "Binary Format".
    """

    def __init__(
        self, record_id: UUID, part: int, file: BinaryIO, *, start: int | None = None
    ) -> None:
        """`start` is the part's offset in the MP3, where it is known."""
        self.part = part
        self.size_bytes = 0
        self.sha256 = hashlib.sha256()
        self._rest = memoryview(b"")
        self._start = start
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
        number = 0
        while chunk := file.read(CHUNK_BYTES):
            # Five fields, each after its length: uuid, two integers, bigint or null, bytea.
            yield struct.pack(">hi16siiii", 5, 16, record_id, 4, self.part, 4, number)
            yield self._start_field() + struct.pack(">i", len(chunk))
            yield chunk
            number += 1
            self.size_bytes += len(chunk)
            self.sha256.update(chunk)
        yield struct.pack(">h", -1)

    def _start_field(self) -> bytes:
        if self._start is None:
            return struct.pack(">i", -1)
        return struct.pack(">iq", 8, self._start + self.size_bytes)
