"""The moves of a job's row, each judged by what a second worker can do afterwards."""

import json
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, text, update

from shared import errors, jobs, logs, signals
from shared.database import Database
from shared.models import Job, State

MINUTE = timedelta(minutes=1)


@pytest.fixture
def job_id(database: Database) -> UUID:
    with database.transaction() as session:
        return jobs.create(session, jobs.COLLECT, {"count": 3}).id


def claim(database: Database, job_id: UUID, lease: timedelta = MINUTE) -> jobs.Claim | None:
    with database.transaction() as session:
        return jobs.claim(session, job_id, lease=lease)


def held(database: Database, job_id: UUID, lease: timedelta = MINUTE) -> jobs.Claim:
    claimed = claim(database, job_id, lease)
    assert claimed is not None
    return claimed


def read(database: Database, job_id: UUID) -> Job:
    with database.transaction() as session:
        return jobs.get(session, job_id)


def test_a_claim_counts_the_attempt_and_carries_the_payload(
    database: Database, job_id: UUID
) -> None:
    claimed = held(database, job_id)

    assert (claimed.payload, claimed.attempt) == ({"count": 3}, 1)
    assert read(database, job_id).state == State.RUNNING


def test_of_many_claims_at_once_one_succeeds(database: Database, job_id: UUID) -> None:
    with ThreadPoolExecutor(20) as threads:
        claims = list(threads.map(lambda _: claim(database, job_id), range(20)))

    assert sum(claimed is not None for claimed in claims) == 1


def test_an_unknown_job_cannot_be_claimed(database: Database) -> None:
    assert claim(database, uuid4()) is None


def test_a_job_put_back_waits_for_its_delay(database: Database, job_id: UUID) -> None:
    first = held(database, job_id)

    with database.transaction() as session:
        jobs.put_back(session, first, errors.StorageFull(), delay=timedelta(hours=1))

    assert claim(database, job_id) is None
    assert read(database, job_id).state == State.QUEUED


def test_a_job_put_back_counts_its_next_attempt(database: Database, job_id: UUID) -> None:
    first = held(database, job_id)

    with database.transaction() as session:
        jobs.put_back(session, first, errors.StorageFull(), delay=timedelta())

    assert held(database, job_id).attempt == 2


@pytest.mark.parametrize("move", ["extend", "finish", "fail", "put_back"])
def test_who_lost_the_lease_can_do_nothing(database: Database, job_id: UUID, move: str) -> None:
    zombie = held(database, job_id)
    with database.transaction() as session:
        jobs.put_back(session, zombie, errors.StorageFull(), delay=timedelta())
    heir = held(database, job_id)
    arguments: dict[str, dict[str, Any]] = {
        "extend": {"lease": MINUTE, "progress": 0.5},
        "fail": {"error": errors.StorageFull()},
        "put_back": {"error": errors.StorageFull(), "delay": MINUTE},
    }

    with database.transaction() as session:
        assert not getattr(jobs, move)(session, zombie, **arguments.get(move, {}))

    with database.transaction() as session:
        assert jobs.finish(session, heir)


def test_a_finished_job_has_its_result_and_cannot_be_claimed(
    database: Database, job_id: UUID
) -> None:
    claimed = held(database, job_id)

    with database.transaction() as session:
        assert jobs.finish(session, claimed)
        jobs.set_result(session, claimed, {"id": 7})

    job = read(database, job_id)
    assert (job.state, job.result, job.progress) == (State.DONE, {"id": 7}, 1)
    assert job.finished_at is not None
    assert claim(database, job_id) is None


def test_a_failed_job_keeps_its_error(database: Database, job_id: UUID) -> None:
    claimed = held(database, job_id)

    with database.transaction() as session:
        jobs.fail(session, claimed, errors.QuestionsExhausted("Too few.", found=2))

    stored = read(database, job_id).error
    assert stored is not None
    error = errors.QuaverError.from_json(stored)
    assert isinstance(error, errors.QuestionsExhausted)
    assert (error.detail, error.members) == ("Too few.", {"found": 2})


def test_only_leases_that_ran_out_are_expired(database: Database, job_id: UUID) -> None:
    with database.transaction() as session:
        fresh = jobs.create(session, jobs.COLLECT, {}).id
    held(database, fresh)
    dead = held(database, job_id, lease=timedelta(seconds=-1))

    with database.transaction() as session:
        assert jobs.expired(session) == [dead]


def test_a_job_that_is_being_settled_is_not_expired(database: Database, job_id: UUID) -> None:
    slow = held(database, job_id, lease=timedelta(seconds=-1))

    with database.transaction() as settling, database.transaction() as sweeping:
        assert jobs.finish(settling, slow)
        assert jobs.expired(sweeping) == []


def test_old_hints_are_sent_again_and_then_count_as_new(database: Database, job_id: UUID) -> None:
    with database.transaction() as session:
        jobs.create(session, jobs.COLLECT, {})
        session.execute(
            update(Job).where(Job.id == job_id).values(hinted_at=text("now() - interval '1 hour'"))
        )

    def unhinted() -> list[UUID]:
        with database.transaction() as session:
            due = jobs.unhinted(session, jobs.COLLECT, older_than=MINUTE, limit=10)
            return [job_id for job_id, _ in due]

    # The other job's hint is too young, and a job that was put off is not due.
    assert unhinted() == []
    with database.transaction() as session:
        session.execute(update(Job).values(not_before=text("now() - interval '1 hour'")))
    assert unhinted() == [job_id]
    assert unhinted() == []


def test_final_ids_are_those_of_ended_jobs(database: Database, job_id: UUID) -> None:
    with database.transaction() as session:
        other = jobs.create(session, jobs.COLLECT, {}).id
    claimed = held(database, job_id)
    with database.transaction() as session:
        jobs.finish(session, claimed)

    with database.transaction() as session:
        assert jobs.final_ids(session, [job_id, other]) == {job_id}


def test_an_unknown_job_is_not_found(database: Database) -> None:
    with pytest.raises(errors.JobNotFound), database.transaction() as session:
        jobs.get(session, uuid4())


def test_hints_wait_in_the_queue_of_their_kind(redis_url: str) -> None:
    hints = jobs.Hints(jobs.celery_app(redis_url))

    hints.send(uuid4(), jobs.COLLECT)
    hints.send(uuid4(), jobs.COLLECT)

    assert (hints.waiting(jobs.COLLECT), hints.waiting(jobs.CONVERT)) == (2, 0)


def test_a_hint_to_a_broker_that_is_away_is_no_error() -> None:
    hints = jobs.Hints(jobs.celery_app("redis://127.0.0.1:1/0"))

    hints.send(uuid4(), jobs.COLLECT)

    with pytest.raises(errors.QueueUnavailable):
        hints.waiting(jobs.COLLECT)


def split(database: Database, job_id: UUID, count: int = 3) -> list[UUID]:
    parent = held(database, job_id)
    with database.transaction() as session:
        payloads = ({"index": n} for n in range(count))
        return jobs.split(session, parent, jobs.ENCODE_SEGMENT, payloads, segments=count)


def finish_child(database: Database, child: UUID) -> float | None:
    claimed = held(database, child)
    with database.transaction() as session:
        assert jobs.finish(session, claimed)
        assert claimed.parent_id is not None
        return jobs.resume_parent(session, claimed.parent_id)


def test_a_parent_waits_for_its_children_and_cannot_be_claimed(
    database: Database, job_id: UUID
) -> None:
    split(database, job_id)

    assert read(database, job_id).state == State.WAITING
    assert claim(database, job_id) is None


def test_the_last_child_queues_its_parent_again(database: Database, job_id: UUID) -> None:
    children = split(database, job_id)

    progress = [finish_child(database, child) for child in children]

    assert progress == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1]
    again = held(database, job_id)
    assert (again.payload, again.attempt) == ({"count": 3, "segments": 3}, 1)


def test_of_children_that_end_at_once_one_knows_that_it_was_the_last(
    database: Database, job_id: UUID
) -> None:
    children = split(database, job_id, 20)

    with ThreadPoolExecutor(20) as threads:
        progress = list(threads.map(lambda child: finish_child(database, child), children))

    assert progress.count(1) == 1
    assert read(database, job_id).state == State.QUEUED


def test_a_childs_failure_is_its_familys(database: Database, job_id: UUID) -> None:
    first, second, third = split(database, job_id)
    finish_child(database, first)
    running, failing = held(database, second), held(database, third)

    with database.transaction() as session:
        assert jobs.fail(session, failing, errors.InvalidWav("Broken."))

    parent = read(database, job_id)
    assert parent.state == State.FAILED
    assert parent.error is not None
    assert parent.error["detail"] == "Broken."
    assert read(database, first).state == State.DONE
    with database.transaction() as session:
        assert not jobs.finish(session, running)


def test_nothing_is_wanted_of_a_child_whose_parent_has_failed(
    database: Database, job_id: UUID
) -> None:
    first, second = split(database, job_id, 2)
    settling, failing = held(database, first), held(database, second)

    with database.transaction() as session:
        # It has its row by now, and so is passed over by the failure.
        assert jobs.finish(session, settling)
        with database.transaction() as other:
            assert jobs.fail(other, failing, errors.InvalidWav())
        assert jobs.resume_parent(session, job_id) is None


def test_a_cancelled_job_has_failed_and_its_children_too(database: Database, job_id: UUID) -> None:
    first, second, third = split(database, job_id)
    finish_child(database, first)
    running = held(database, second)

    with database.transaction() as session:
        jobs.cancel(session, job_id, errors.RecordNotFound("Deleted."))

    assert [read(database, each).state for each in (job_id, first, second, third)] == [
        *(State.FAILED, State.DONE, State.FAILED, State.FAILED),
    ]
    with database.transaction() as session:
        assert not jobs.finish(session, running)


def test_a_job_that_is_being_settled_is_not_cancelled(database: Database, job_id: UUID) -> None:
    settling = held(database, job_id)

    def cancel() -> None:
        with database.transaction() as session:
            jobs.cancel(session, job_id, errors.RecordNotFound())

    with ThreadPoolExecutor(1) as thread:
        with database.transaction() as session:
            assert jobs.finish(session, settling)
            cancelling = thread.submit(cancel)
            assert not cancelling.done()
        cancelling.result(timeout=20)

    assert read(database, job_id).state == State.DONE


def test_only_a_claim_is_not_flushed(database: Database, job_id: UUID) -> None:
    flush = text("SET LOCAL synchronous_commit TO on")  # The tests' server has it off.
    is_flushed = text("SELECT current_setting('synchronous_commit')")

    with database.transaction() as session:
        session.execute(flush)
        claimed = jobs.claim(session, job_id, lease=MINUTE)
        assert session.scalar(is_flushed) == "off"

    assert claimed is not None
    with database.transaction() as session:
        session.execute(flush)
        assert jobs.finish(session, claimed)
        assert session.scalar(is_flushed) == "on"


def test_the_census_counts_what_has_not_ended_and_tells_since_when_it_is_due(
    database: Database, job_id: UUID
) -> None:
    with database.transaction() as session:
        parent = jobs.create(session, jobs.CONVERT, {}).id
    with database.transaction() as session:
        jobs.finish(session, held(database, job_id))
        jobs.split(session, held(database, parent), jobs.ENCODE_SEGMENT, [{}, {}])
        jobs.create(session, jobs.CONVERT, {}).not_before = func.now() - MINUTE
        jobs.create(session, jobs.CONVERT, {}).not_before = func.now() + MINUTE

    with database.transaction() as session:
        found = {(each.kind, each.state): each for each in jobs.census(session)}

    assert {key: each.number for key, each in found.items()} == {
        (jobs.CONVERT, State.QUEUED): 2,
        (jobs.CONVERT, State.WAITING): 1,
        (jobs.ENCODE_SEGMENT, State.QUEUED): 2,
    }
    assert 60 <= found[jobs.CONVERT, State.QUEUED].longest_due_seconds < 120


def test_children_know_their_parents_request(database: Database) -> None:
    with logs.about(request_id="mine"), database.transaction() as session:
        parent = jobs.create(session, jobs.CONVERT, {}).id
    claimed = held(database, parent)

    with logs.about(**claimed.subject), database.transaction() as session:
        (child,) = jobs.split(session, claimed, jobs.ENCODE_SEGMENT, [{}])

    assert held(database, child).request_id == "mine"


def test_hints_show_the_request_and_carry_the_job_alone(redis_url: str) -> None:
    job_id = uuid4()
    with logs.about(request_id="mine"):
        jobs.Hints(jobs.celery_app(redis_url)).send(job_id, jobs.COLLECT)

    redis = signals.connect(redis_url)
    message = json.loads(redis.lindex("questions", 0) or "")
    redis.close()
    assert json.loads(b64decode(message["body"]))[:2] == [[str(job_id)], {}]
    assert message["headers"]["kwargsrepr"] == "{'request_id': 'mine'}"
