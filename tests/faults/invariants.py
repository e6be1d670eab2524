"""What must be true when the product has come to rest, whatever was done to it.

A check yields what does not hold; nothing is what everybody hopes for.
"""

import hashlib
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import httpx
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared import jobs
from shared.models import Chunk, Job, Peaks, Piece, Question, Record, State
from shared.waveforms import PIXEL_BYTES, SAMPLES_PER_PIXEL
from tests.faults.load import Operation
from tests.faults.violations import Violation, doubled, left_over, lost, untrue
from worker import mp3

CREATED, OK, ACCEPTED = 201, 200, 202
CLIENT_ERRORS, SERVER_ERRORS = range(400, 500), range(500, 600)
NEVER_BEGUN = {408, 413, 415, 422, 429}


@dataclass(frozen=True)
class Seen:
    """All that is in the database, as far as it matters."""

    jobs: Sequence[Job]
    records: Mapping[str, Record]
    """By the upload's name, without its extension."""
    names: Mapping[str, int]
    """How many records have each of these names."""
    questions: Sequence[Question]

    @classmethod
    def read(cls, session: Session) -> "Seen":
        records = [(_stem(row.filename), row) for row in session.scalars(select(Record))]
        return cls(
            session.scalars(select(Job)).all(),
            dict(records),
            Counter(name for name, _ in records),
            session.scalars(select(Question).order_by(Question.id)).all(),
        )

    def job_of(self, record: Record) -> Job:
        return next(job for job in self.jobs if job.id == record.job_id)


def _stem(filename: str) -> str:
    return filename.rpartition(".")[0]


def await_rest(session_of: Any, seconds: float) -> float | None:
    """How long it took until no job was open any more; None if some are after that time."""
    began = time.monotonic()
    is_open = select(func.count()).select_from(Job).where(Job.finished_at.is_(None))
    while time.monotonic() - began < seconds:
        with session_of() as session:
            if not session.scalar(is_open):
                return time.monotonic() - began
        time.sleep(0.1)
    return None


def check_jobs(seen: Seen, *, most_attempts: int) -> Iterator[Violation]:
    """All have ended, after no more attempts than are allowed, and failures have a reason."""
    for job in seen.jobs:
        if not State(job.state).is_final:
            yield lost(f"job {job.id} ({job.kind}) is still {job.state}")
        if job.attempt > most_attempts:
            yield doubled(f"job {job.id} was attempted {job.attempt} times")
        if job.state == State.FAILED and not job.error:
            yield untrue(f"job {job.id} failed without a reason")


def check_record(
    session: Session, record: Record, operation: Operation | None
) -> Iterator[Violation]:
    """One MP3 of the right length without gaps, its digest and its waveform; nothing left over."""
    name = f"record {record.id}"
    rows = session.scalars(
        select(Chunk).where(Chunk.record_id == record.id).order_by(Chunk.start, Chunk.part)
    ).all()
    position = 0
    for row in rows:
        if row.start != position:
            yield lost(f"{name} has a chunk at {row.start} where {position} is due")
            return
        position += len(row.data)
    if position != record.size_bytes:
        yield lost(f"{name} has {position} bytes, and should have {record.size_bytes}")
        return
    if _digest(rows) != record.sha256:
        yield lost(f"{name} has another digest than its bytes")
    if session.scalar(select(func.count()).where(Piece.record_id == record.id)):
        yield left_over(f"{name} has pieces left over")
    if operation is not None:
        heard = _heard(b"".join(bytes(row.data) for row in rows))
        if heard != operation.size:
            yield lost(f"{name} plays {heard} samples, and {operation.size} were uploaded")
        pixels = session.scalars(select(Peaks.data).where(Peaks.record_id == record.id)).all()
        drawn = sum(map(len, pixels)) // PIXEL_BYTES
        if drawn != math.ceil(operation.size / SAMPLES_PER_PIXEL):
            yield lost(f"{name} has {drawn} pixels for {operation.size} samples")


def check_link(operation: Operation, record: Record) -> Iterator[Violation]:
    """What the client got leads to the MP3."""
    answer = httpx.head(operation.body["url"], trust_env=False)
    found = answer.status_code, answer.headers.get("content-length")
    if found != (OK, str(record.size_bytes)):
        yield untrue(f"{operation.name}: its link gives {found}, not {record.size_bytes} bytes")


def _digest(rows: Sequence[Chunk]) -> bytes:
    whole = hashlib.sha256()
    for _, part in groupby(rows, key=lambda row: row.part):
        whole.update(hashlib.sha256(b"".join(bytes(row.data) for row in part)).digest())
    return whole.digest()


def _heard(sound: bytes) -> int:
    """How many samples a player gives back: those of all frames but what the header tells of."""
    start = 0
    if sound.startswith(b"ID3"):
        start = 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(sound[6:10])))
    header, *frames = mp3.Framer().feed(sound[start:])
    first = mp3.parse_header(int.from_bytes(header[:4], "big"))
    gaps = header.index(b"LAME") + 21
    both = int.from_bytes(header[gaps : gaps + 3], "big")
    return len(frames) * first.sample_frames - (both >> 12) - (both & 0xFFF)


def check_uploads(seen: Seen, operations: Iterable[Operation]) -> Iterator[Violation]:
    """What clients were told of their uploads is true."""
    for operation in operations:
        if operation.kind == "questions":
            continue
        name = _stem(operation.name)
        record = seen.records.get(name)
        told = f"{operation.name}: the client was told {operation.status}"
        job = seen.job_of(record) if record else None
        if operation.status in {CREATED, ACCEPTED} and record is None:
            yield lost(f"{told}, and there is no record")
        elif operation.status == CREATED and job and job.state != State.DONE:
            yield untrue(f"{told}, and its job is {job.state}")
        elif operation.status in NEVER_BEGUN and job and job.state != State.FAILED:
            yield untrue(f"{told}, and there is a record")
        elif operation.kind == "refused" and record is not None:
            yield untrue(f"{told}, and there is a record of something that is no whole WAV")
        if seen.names.get(name, 0) > 1:
            yield doubled(f"{told}, and there are {seen.names[name]} records")


def check_questions(seen: Seen, operations: Iterable[Operation]) -> Iterator[Violation]:
    """Stored are as many as successful jobs were asked for, in an unbroken chain.

    Each job's result is the newest question before its own; clients were told that and no other.
    """
    done = [job for job in seen.jobs if job.kind == jobs.COLLECT and job.state == State.DONE]
    wanted = sum(job.payload["count"] for job in done)
    if len(seen.questions) != wanted:
        wrong = lost if len(seen.questions) < wanted else doubled
        yield wrong(f"{len(seen.questions)} questions are stored, and {wanted} were asked for")
    for what in ("question", "source_id"):
        repeated = [text for text, count in Counter(_texts(seen, what)).items() if count > 1]
        if repeated:
            yield doubled(f"stored more than once, by {what}: {repeated[:3]}")
    yield from _check_chain(seen, done)
    results = Counter((job.result or {}).get("id", 0) for job in done)
    told = Counter(
        operation.body.get("id", 0)
        for operation in operations
        if operation.kind == "questions" and operation.status == OK
    )
    for answer in told - results:
        yield untrue(f"a client was told of question {answer}, which no job had for its result")


def _texts(seen: Seen, what: str) -> Iterator[Any]:
    return (getattr(question, what) for question in seen.questions)


def _check_chain(seen: Seen, done: Sequence[Job]) -> Iterator[Violation]:
    ids = [question.id for question in seen.questions]
    due = 0
    for job in sorted(done, key=lambda job: (job.result or {}).get("id", 0)):
        before = (job.result or {}).get("id", 0)
        if before != (ids[due - 1] if due else 0):
            yield lost(f"job {job.id} names question {before} as the newest before its own")
            return
        due += job.payload["count"]
        if due > len(ids):
            yield lost(f"job {job.id} should have stored more than there are")
            return
