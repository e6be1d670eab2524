"""Each violation is seen: a checker that never complains proves nothing."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from shared import jobs, questions, records, users
from shared.database import Database
from shared.models import Chunk, Job, Peaks, Piece, Question, Record, Source, State
from shared.questions import Candidate
from shared.store import FolderStore
from tests import audio
from tests.faults import invariants
from tests.faults.invariants import Seen
from tests.faults.load import NOTE, Operation
from tests.faults.violations import Kind, Violation
from tests.jservice import JService
from worker import mp3
from worker.convert import convert
from worker.cores import Cores
from worker.lease import Lease
from worker.recording import Recording

NAME = "note.wav"


def told(kind: str, status: int | None, *, name: str = "", size: int = 0, **body: Any) -> Operation:
    return Operation(kind, name, size, status, body, began=0, ended=1)


UPLOAD = told("upload", 201, name=NAME, size=NOTE.sample_frames)
HONEST = [UPLOAD, told("questions", 200), told("questions", 200, id=2)]


@pytest.fixture
def healthy(database: Database, new_lease: Callable[..., Lease], tmp_path: Path) -> Database:
    """One recording, and two requests for two questions each."""
    uploads, record_id = FolderStore(tmp_path), uuid4()
    upload = uploads.create(record_id)
    upload.write(NOTE.wav())
    upload.commit()
    wav = audio.read([NOTE.wav()]).to_json()
    lease = new_lease(jobs.CONVERT, record=str(record_id), wav=wav)
    with database.transaction() as session:
        user_id, _ = users.create(session, "Ann")
        records.create(
            session, record_id=record_id, user_id=user_id, job_id=lease.job_id, filename=NAME
        )
    recording = Recording.of_job(lease.payload, uploads=uploads, quality=2, most_seconds=60)
    convert(lease, recording, Cores(1))
    for number in range(2):
        lease = new_lease(jobs.COLLECT, count=2)
        new = [candidate(2 * number + place) for place in range(2)]
        with lease.settle() as settlement:
            settlement.result = questions.add(settlement.session, new, 2)
    return database


def candidate(number: int) -> Candidate:
    return Candidate(
        source="test",
        source_id=str(number),
        question=f"What is {number}?",
        answer="A number",
        category=None,
        created_at=None,
    )


def complaints(database: Database, operations: list[Operation]) -> Iterator[Violation]:
    with database.statements() as session:
        seen = Seen.read(session)
        yield from invariants.check_jobs(seen, most_attempts=3)
        yield from invariants.check_uploads(seen, operations)
        yield from invariants.check_questions(seen, operations)
        for record in seen.records.values():
            yield from invariants.check_record(session, record, UPLOAD)


def test_nothing_is_said_of_what_is_as_it_should_be(healthy: Database) -> None:
    assert list(complaints(healthy, HONEST)) == []


def set_jobs(**values: Any) -> Callable[[Session], Any]:
    return lambda session: session.execute(update(Job).values(**values))


def double_a_question(session: Session) -> None:
    first = session.scalars(select(Question).order_by(Question.id)).first()
    assert first is not None
    session.execute(insert(Source).values(name="other"))
    session.execute(
        insert(Question).values(
            question=first.question,
            text_key=b"another",
            answer="",
            source="other",
            source_id="7",
            created_at=first.created_at,
        )
    )


def double_a_record(session: Session) -> None:
    first = session.scalars(select(Record)).one()
    job = jobs.create(session, jobs.CONVERT, {})
    values = {"id": uuid4(), "job_id": job.id, "user_id": first.user_id}
    session.execute(insert(Record).values(filename=first.filename, **values))


def shorten_the_sound(session: Session) -> None:
    """By its last frame, everything else being as it should be."""
    chunk = session.scalars(select(Chunk)).one()
    *_, last = mp3.Framer().feed(chunk.data[chunk.data.index(b"\xff\xfb") :])
    chunk.data = chunk.data[: -len(last)]
    digest = hashlib.sha256(hashlib.sha256(chunk.data).digest()).digest()
    session.execute(update(Record).values(size_bytes=len(chunk.data), sha256=digest))


def leave_a_piece(session: Session) -> None:
    record = session.scalars(select(Record)).one()
    values = {"segment": 0, "size_bytes": 0, "sha256": b"", "ends": b""}
    session.execute(insert(Piece).values(record_id=record.id, **values))


def spoil_the_sound(session: Session) -> None:
    chunk = session.scalars(select(Chunk)).one()
    chunk.data = chunk.data[:-1] + bytes([chunk.data[-1] ^ 1])


def swap_results(session: Session) -> None:
    for job in session.scalars(select(Job).where(Job.kind == jobs.COLLECT)):
        job.result = {"id": 3} if job.result else {}


@pytest.mark.parametrize(
    ("harm", "kind", "complaint"),
    [
        (set_jobs(state=State.QUEUED, finished_at=None), Kind.LOST, "is still queued"),
        (set_jobs(attempt=4), Kind.DOUBLED, "was attempted 4 times"),
        (set_jobs(state=State.FAILED), Kind.UNTRUE, "failed without a reason"),
        (lambda session: session.execute(delete(Chunk)), Kind.LOST, "has 0 bytes, and should have"),
        (lambda session: session.execute(update(Chunk).values(start=1)), Kind.LOST, "where 0 is"),
        (spoil_the_sound, Kind.LOST, "has another digest than its bytes"),
        (shorten_the_sound, Kind.LOST, "samples, and 88200 were uploaded"),
        (leave_a_piece, Kind.LEFT, "has pieces left over"),
        (lambda session: session.execute(delete(Peaks)), Kind.LOST, "has 0 pixels"),
        (lambda session: session.execute(delete(Record)), Kind.LOST, "and there is no record"),
        (double_a_record, Kind.DOUBLED, "and there are 2 records"),
        (lambda session: session.execute(delete(Question)), Kind.LOST, "0 questions are stored"),
        (double_a_question, Kind.DOUBLED, "5 questions are stored, and 4 were asked for"),
        (double_a_question, Kind.DOUBLED, "stored more than once, by question"),
        (swap_results, Kind.LOST, "as the newest before its own"),
    ],
)
def test_what_is_wrong_in_the_database_is_said(
    healthy: Database, harm: Callable[[Session], Any], kind: Kind, complaint: str
) -> None:
    with healthy.transaction() as session:
        harm(session)

    found = [each for each in complaints(healthy, HONEST) if complaint in str(each)]

    assert {each.kind for each in found} == {kind}


def test_a_link_that_does_not_work_is_said(healthy: Database) -> None:
    with JService() as other, healthy.statements() as session:
        record = session.scalars(select(Record)).one()
        operation = replace(UPLOAD, body={"url": f"{other.base}/record"})

        (found,) = invariants.check_link(operation, record)

    assert found.kind is Kind.UNTRUE
    assert "its link gives" in str(found)


@pytest.mark.parametrize(
    ("operation", "complaint"),
    [
        (replace(UPLOAD, name="lost.wav"), "was told 201, and there is no record"),
        (replace(UPLOAD, name="lost.wav", status=202), "was told 202, and there is no record"),
        (replace(UPLOAD, status=422), "was told 422, and there is a record"),
        (replace(UPLOAD, kind="refused", status=None), "of something that is no whole WAV"),
        (told("questions", 200, id=1), "was told of question 1, which no job had"),
        (told("questions", 200), "was told of question 0, which no job had"),
    ],
)
def test_what_a_client_was_told_and_is_not_true_is_said(
    healthy: Database, operation: Operation, complaint: str
) -> None:
    assert any(complaint in str(each) for each in complaints(healthy, [*HONEST, operation]))
