"""How a job's row says what became of an attempt."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import pytest
from celery.exceptions import Retry
from sqlalchemy import func, select, update

from shared import errors, jobs
from shared.database import Database
from shared.models import Job, State
from worker.lease import Lease

Perform = Callable[[UUID, Callable[[Lease], None]], None]


@pytest.fixture
def perform(
    database: Database, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Perform:
    """`tasks.perform` at a workplace where two attempts are made."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    from worker import tasks  # noqa: PLC0415 - The module reads its settings when imported.

    place = Mock(database=database, lease=timedelta(minutes=1), max_attempts=2)
    return lambda job_id, work: tasks.perform(place, job_id, work)


@pytest.fixture
def job_id(database: Database) -> UUID:
    with database.transaction() as session:
        return jobs.create(session, jobs.COLLECT, {}).id


def read(database: Database, job_id: UUID) -> Job:
    with database.transaction() as session:
        return jobs.get(session, job_id)


def make_due(database: Database) -> None:
    with database.transaction() as session:
        session.execute(update(Job).values(not_before=func.now()))


def raising(error: BaseException) -> Callable[[Lease], None]:
    def work(_: Lease) -> None:
        raise error

    return work


def test_work_that_settles_is_done(database: Database, perform: Perform, job_id: UUID) -> None:
    def work(lease: Lease) -> None:
        with lease.settle() as settlement:
            settlement.result = {"id": 3}

    perform(job_id, work)

    job = read(database, job_id)
    assert (job.state, job.result) == (State.DONE, {"id": 3})


def test_a_second_hint_does_nothing(database: Database, perform: Perform, job_id: UUID) -> None:
    def work(lease: Lease) -> None:
        with lease.settle():
            pass

    perform(job_id, work)
    perform(job_id, raising(AssertionError("worked twice")))

    assert read(database, job_id).attempt == 1


def test_a_hint_for_an_unknown_job_does_nothing(perform: Perform) -> None:
    perform(uuid4(), raising(AssertionError("worked on nothing")))


def test_a_final_error_fails_the_job_at_once(
    database: Database, perform: Perform, job_id: UUID
) -> None:
    with pytest.raises(errors.InvalidWav):
        perform(job_id, raising(errors.InvalidWav("It is cut short.")))

    job = read(database, job_id)
    assert job.state == State.FAILED
    assert job.error is not None
    assert job.error["detail"] == "It is cut short."


def test_a_passing_error_is_tried_again_and_then_fails(
    database: Database, perform: Perform, job_id: UUID
) -> None:
    with pytest.raises(Retry):
        perform(job_id, raising(errors.StorageFull()))
    assert read(database, job_id).state == State.QUEUED

    make_due(database)
    with pytest.raises(errors.StorageFull):
        perform(job_id, raising(errors.StorageFull()))
    assert read(database, job_id).state == State.FAILED


def test_a_job_waits_for_the_store_however_long_that_takes(
    database: Database, perform: Perform, job_id: UUID
) -> None:
    for _ in range(4):
        with pytest.raises(Retry):
            perform(job_id, raising(errors.StorageUnavailable()))
        make_due(database)

    job = read(database, job_id)
    assert (job.state, job.attempt) == (State.QUEUED, 0)


def test_what_goes_wrong_with_a_job_that_is_not_wanted_any_more_is_no_mistake(
    database: Database, perform: Perform, job_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    def work(_: Lease) -> None:
        with database.transaction() as session:
            jobs.cancel(session, job_id, errors.RecordNotFound("It was deleted."))
        raise FileNotFoundError("the upload")

    perform(job_id, work)

    error = read(database, job_id).error
    assert error is not None
    assert error["detail"] == "It was deleted."
    assert "not wanted any more" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("mistake", [MemoryError(), ZeroDivisionError("secret detail")])
def test_a_mistake_is_tried_again_and_tells_users_nothing_of_itself(
    database: Database, perform: Perform, job_id: UUID, mistake: BaseException
) -> None:
    with pytest.raises(Retry):
        perform(job_id, raising(mistake))

    make_due(database)
    with pytest.raises(errors.QueueUnavailable):
        perform(job_id, raising(mistake))

    assert "secret" not in str(read(database, job_id).error)


def test_a_job_that_was_taken_over_is_left_to_its_heir(
    database: Database, perform: Perform, job_id: UUID
) -> None:
    def work(lease: Lease) -> None:
        with database.transaction() as session:
            values: dict[str, Any] = {"lease_token": func.gen_random_uuid()}
            session.execute(update(Job).values(**values))
        lease.settle().__enter__()

    perform(job_id, work)

    with database.transaction() as session:
        assert session.scalar(select(Job.state)) == State.RUNNING
