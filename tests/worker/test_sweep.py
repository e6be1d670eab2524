"""What the sweep finds and what it leaves alone."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text, update

from shared import chunks, errors, jobs, logs, records, resumable, s3, signals, tallies, users
from shared.database import Database
from shared.models import Chunk, Job, Piece, Record, State, User
from shared.s3 import S3Store
from shared.store import FolderStore
from worker import sweep as sweep_module
from worker.board import Board
from worker.lease import Lease
from worker.sweep import LOCK_KEY, OVERDUE, STALE_SECONDS, Sweep
from worker.tallies import Tallies

NewLease = Callable[..., Lease]


@pytest.fixture
def uploads(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


@pytest.fixture
def hints(redis_url: str) -> jobs.Hints:
    return jobs.Hints(jobs.celery_app(redis_url))


@pytest.fixture
def sweep(
    database: Database, uploads: FolderStore, hints: jobs.Hints, redis_url: str
) -> Iterator[Sweep]:
    redis = signals.connect(redis_url)
    yield Sweep(
        database=database,
        uploads=uploads,
        publish=lambda *_: None,
        hints=hints,
        tallies=Tallies(Board(redis)),
        max_attempts=2,
        upload_expiry=timedelta(hours=24),
        period=timedelta(seconds=5),
    )
    redis.close()


def expire(database: Database, job_id: UUID, *, attempt: int) -> None:
    with database.transaction() as session:
        session.execute(
            update(Job)
            .where(Job.id == job_id)
            .values(lease_until=func.now() - text("interval '1 second'"), attempt=attempt)
        )


def read(database: Database, job_id: UUID) -> Job:
    with database.transaction() as session:
        return jobs.get(session, job_id)


def store_upload(uploads: FolderStore, upload_id: UUID, *, age_seconds: float = 0) -> Path:
    upload = uploads.create(upload_id)
    upload.write(b"RIFF")
    upload.commit()
    path = uploads._path(upload_id)
    then = time.time() - age_seconds
    os.utime(path, (then, then))
    return path


def new_record(database: Database) -> tuple[UUID, UUID]:
    """Ids of a record and its queued job."""
    with database.transaction() as session:
        user_id, _ = users.create(session, str(uuid4()))
        job = jobs.create(session, jobs.CONVERT, {})
        record = records.create(
            session, record_id=uuid4(), user_id=user_id, job_id=job.id, filename=""
        )
        return record.id, job.id


def test_a_job_whose_worker_died_is_queued_and_hinted_again(
    database: Database, new_lease: NewLease, sweep: Sweep, hints: jobs.Hints
) -> None:
    lease = new_lease(jobs.COLLECT)
    expire(database, lease.job_id, attempt=1)

    sweep.run()

    assert hints.waiting(jobs.COLLECT) == 1
    assert read(database, lease.job_id).state == State.QUEUED
    with database.transaction() as session:
        assert jobs.claim(session, lease.job_id, lease=timedelta(minutes=1)) is not None


def test_a_job_that_broke_off_too_often_fails_with_a_reason(
    database: Database, new_lease: NewLease, sweep: Sweep
) -> None:
    lease = new_lease(jobs.CONVERT)
    expire(database, lease.job_id, attempt=2)

    sweep.run()

    job = read(database, lease.job_id)
    assert job.state == State.FAILED
    assert job.error is not None
    assert job.error["slug"] == errors.ConversionFailed.slug


def test_a_living_job_is_left_alone(database: Database, new_lease: NewLease, sweep: Sweep) -> None:
    lease = new_lease(jobs.COLLECT)

    sweep.run()

    assert read(database, lease.job_id).state == State.RUNNING


@pytest.mark.parametrize(("age_seconds", "sent"), [(0.5, 0), (2.5, 1)])
def test_a_hint_is_sent_again_when_half_the_period_is_over(
    database: Database, sweep: Sweep, hints: jobs.Hints, age_seconds: float, sent: int
) -> None:
    with database.transaction() as session:
        job = jobs.create(session, jobs.CONVERT, {})
        job.hinted_at = job.not_before = func.now() - timedelta(seconds=age_seconds)

    sweep.run()

    assert (hints.waiting(jobs.CONVERT), hints.waiting(jobs.COLLECT)) == (sent, 0)


def test_what_recovery_does_is_counted_and_known_by_its_request(
    database: Database, claim: NewLease, sweep: Sweep, redis_url: str
) -> None:
    with logs.about(request_id="mine"), database.transaction() as session:
        lost, unheard = (jobs.create(session, jobs.COLLECT, {}) for _ in range(2))
        unheard.hinted_at = unheard.not_before = func.now() - timedelta(minutes=1)
    claim(lost.id)
    expire(database, lost.id, attempt=1)

    sweep.run()

    redis = signals.connect(redis_url)
    hinted = [json.loads(message) for message in redis.lrange("questions", 0, -1)]
    redis.close()
    assert [hint["headers"]["kwargsrepr"] for hint in hinted] == ["{'request_id': 'mine'}"] * 2
    assert asyncio.run(tallies.read(redis_url)) == {
        ("expiries", jobs.COLLECT): 1,
        ("hints", jobs.COLLECT): 1,
    }


def test_the_next_sweep_comes_within_the_other_half(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        raise StopIteration

    monkeypatch.setattr("worker.sweep.time.sleep", pause)

    with pytest.raises(StopIteration):
        sweep.run_forever()

    assert pauses == [2.5]


def test_a_long_queue_is_not_hinted_again(
    database: Database, sweep: Sweep, hints: jobs.Hints
) -> None:
    with database.transaction() as session:
        job = jobs.create(session, jobs.COLLECT, {})
        job.hinted_at = job.not_before = func.now() - text("interval '1 hour'")
    for _ in range(100):
        hints.send(uuid4(), jobs.COLLECT)

    sweep.run()

    assert hints.waiting(jobs.COLLECT) == 100


def test_one_sweep_at_a_time(database: Database, new_lease: NewLease, sweep: Sweep) -> None:
    lease = new_lease(jobs.COLLECT)
    expire(database, lease.job_id, attempt=1)

    with database.transaction() as other:
        other.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
        sweep.run()

    assert read(database, lease.job_id).state == State.RUNNING


def test_an_ended_jobs_upload_is_deleted(
    database: Database, uploads: FolderStore, sweep: Sweep
) -> None:
    record_id, job_id = new_record(database)
    path = store_upload(uploads, record_id)
    sweep.run()
    assert path.exists()

    with database.transaction() as session:
        claim = jobs.claim(session, job_id, lease=timedelta(minutes=1))
        assert claim is not None
        jobs.finish(session, claim)
    sweep.run()

    assert not path.exists()


def test_an_upload_without_a_record_is_given_time(uploads: FolderStore, sweep: Sweep) -> None:
    fresh = store_upload(uploads, uuid4())
    stale = store_upload(uploads, uuid4(), age_seconds=STALE_SECONDS + 1)

    sweep.run()

    assert (fresh.exists(), stale.exists()) == (True, False)


def test_in_a_bucket_the_sweep_deletes_what_killed_processes_left(
    sweep: Sweep, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "LEAST_PIECE_BYTES", 1)
    monkeypatch.setattr(sweep_module, "STALE_SECONDS", -1)
    uploads = S3Store.of_url(s3_url)
    sweep._uploads = uploads
    uploads.create(uuid4()).write(b"RIFF")  # And no end of it.
    uploads.begin(uuid4(), expected_bytes=0)  # And no row of it.

    sweep.run()

    assert list(uploads._bucket.entries()) == []


DAY_SECONDS = 86_400


def begin_resumable(
    database: Database, uploads: FolderStore, *, age_seconds: float = 0, with_file: bool = True
) -> tuple[UUID, Path]:
    """A resumable upload that was begun, and last added to, so long ago."""
    upload_id = uuid4()
    path = uploads._path(upload_id).with_suffix(".part")
    if with_file:
        uploads.begin(upload_id, expected_bytes=0)
        then = time.time() - age_seconds
        os.utime(path, (then, then))
    with database.transaction() as session:
        user_id, _ = users.create(session, str(upload_id))
        upload = resumable.create(
            session, upload_id=upload_id, user_id=user_id, length_bytes=100, upload_metadata=""
        )
        upload.created_at = func.now() - timedelta(seconds=age_seconds)
    return upload_id, path


def is_known(database: Database, upload_id: UUID) -> bool:
    with database.transaction() as session:
        return bool(resumable.begun(session, [upload_id]))


def test_a_resumable_upload_is_given_its_own_time(
    database: Database, uploads: FolderStore, sweep: Sweep
) -> None:
    _, waiting = begin_resumable(database, uploads, age_seconds=DAY_SECONDS)
    expired_id, expired = begin_resumable(
        database, uploads, age_seconds=DAY_SECONDS + STALE_SECONDS + 1
    )

    sweep.run()
    sweep.run()

    assert (waiting.exists(), expired.exists()) == (True, False)
    assert not is_known(database, expired_id)


@pytest.mark.parametrize(("age_seconds", "known"), [(60, True), (DAY_SECONDS + 60, False)])
def test_a_resumable_upload_without_a_file_is_forgotten_in_time(
    database: Database, uploads: FolderStore, sweep: Sweep, age_seconds: float, *, known: bool
) -> None:
    upload_id, _ = begin_resumable(database, uploads, age_seconds=age_seconds, with_file=False)

    sweep.run()

    assert is_known(database, upload_id) is known


def test_a_finished_upload_is_known_for_a_while(
    database: Database, uploads: FolderStore, sweep: Sweep
) -> None:
    upload_id, path = begin_resumable(database, uploads, age_seconds=2 * DAY_SECONDS)
    path.unlink()
    with database.transaction() as session:
        upload, _ = resumable.get(session, upload_id)
        job = jobs.create(session, jobs.CONVERT, {})
        records.create(
            session, record_id=upload_id, user_id=upload.user_id, job_id=job.id, filename=""
        )

    sweep.run()
    assert is_known(database, upload_id)

    with database.transaction() as session:
        session.execute(update(Record).values(created_at=func.now() - timedelta(days=2)))
    sweep.run()
    assert not is_known(database, upload_id)


def test_a_worker_that_froze_while_it_settled_loses_its_job(
    database: Database, new_lease: NewLease, sweep: Sweep
) -> None:
    lease = new_lease(jobs.COLLECT)
    with database.transaction() as session:
        session.execute(update(Job).values(lease_until=func.now() - 2 * OVERDUE))

    with pytest.raises(errors.DatabaseUnavailable), lease.settle() as settlement:
        users.create(settlement.session, "Ghost")
        sweep.run()
        assert read(database, lease.job_id).state == State.QUEUED

    with database.transaction() as session:
        assert session.scalar(select(User.name)) is None


def test_a_worker_that_settles_slowly_is_let_alone(
    database: Database, new_lease: NewLease, sweep: Sweep
) -> None:
    lease = new_lease(jobs.COLLECT)
    expire(database, lease.job_id, attempt=1)

    with lease.settle():
        sweep.run()

    assert read(database, lease.job_id).state == State.DONE


@pytest.mark.parametrize(("state", "left"), [(State.FAILED, 0), (State.WAITING, 1)])
def test_what_was_stored_of_a_failed_record_is_deleted(
    database: Database, sweep: Sweep, state: State, left: int
) -> None:
    record_id, job_id = new_record(database)
    with database.transaction() as session:
        part = chunks.write(session, record_id, 1, BytesIO(b"segment"))
        records.add_piece(session, record_id, 0, part, b"ends")
        finished_at = func.now() if state.is_final else None
        session.execute(
            update(Job).where(Job.id == job_id).values(state=state, finished_at=finished_at)
        )

    sweep.run()

    with database.transaction() as session:
        for table in (Chunk, Piece):
            assert session.scalar(select(func.count()).select_from(table)) == left
