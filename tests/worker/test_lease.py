"""What a worker may do with a job while it holds its lease, and after it lost it."""

import queue
import threading
import time
from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from shared import errors, jobs, logs, users
from shared.database import Database
from shared.models import Job, State, User
from worker.lease import Lease, LeaseLost

NewLease = Callable[..., Lease]


def state(database: Database, job_id: UUID) -> State:
    with database.transaction() as session:
        return State(jobs.get(session, job_id).state)


def steal(database: Database, job_id: UUID) -> None:
    """Let the job be another worker's."""
    with database.transaction() as session:
        session.execute(
            update(Job).where(Job.id == job_id).values(lease_token=func.gen_random_uuid())
        )


def test_effects_and_end_are_settled_together(database: Database, new_lease: NewLease) -> None:
    lease = new_lease(jobs.COLLECT)

    with lease.settle() as settlement:
        users.create(settlement.session, "Ann")
        settlement.result = {"id": 1}

    with database.transaction() as session:
        assert session.scalar(select(User.name)) == "Ann"
        assert jobs.get(session, lease.job_id).result == {"id": 1}


def test_an_error_while_settling_undoes_the_effects_and_keeps_the_lease(
    database: Database, new_lease: NewLease
) -> None:
    lease = new_lease(jobs.COLLECT)

    with pytest.raises(errors.NameTaken), lease.settle() as settlement:
        users.create(settlement.session, "Ann")
        users.create(settlement.session, "ann")

    with database.transaction() as session:
        assert session.scalar(select(User.name)) is None
    with lease.settle():
        pass
    assert state(database, lease.job_id) is State.DONE


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set instead of a kill of this process; what hangs is given a tenth of a second."""
    event = threading.Event()
    monkeypatch.setattr("worker.lease.kill_this_process", event.set)
    monkeypatch.setattr("worker.lease.HANG_SECONDS", 0.1)
    monkeypatch.setattr("worker.lease.HANG_LEASES", 0)
    return event


def test_work_that_hangs_takes_its_process_along(
    new_lease: NewLease, killed: threading.Event
) -> None:
    """A heartbeat alone would keep the job for it for ever."""
    lease = new_lease(jobs.COLLECT, seconds=0.3)

    with lease.heartbeat():
        assert killed.wait(20)


def test_work_that_shows_signs_of_life_does_not_hang(
    new_lease: NewLease, killed: threading.Event
) -> None:
    lease = new_lease(jobs.COLLECT, seconds=0.3)
    until = time.monotonic() + 1

    with lease.heartbeat():
        while time.monotonic() < until:
            lease.report(0.5)
            time.sleep(0.01)

    assert not killed.is_set()


def test_settling_does_not_hang(new_lease: NewLease, killed: threading.Event) -> None:
    lease = new_lease(jobs.COLLECT, seconds=30)

    with lease.settle():
        lease._alive_at -= 1000

        assert not lease._hangs()

    assert not lease._hangs()
    assert not killed.is_set()


def test_a_zombie_leaves_no_effects(database: Database, new_lease: NewLease) -> None:
    lease = new_lease(jobs.COLLECT)
    steal(database, lease.job_id)

    with pytest.raises(LeaseLost), lease.settle() as settlement:
        users.create(settlement.session, "Ann")

    with database.transaction() as session:
        assert session.scalar(select(User.name)) is None


def test_the_heartbeat_extends_the_lease(database: Database, new_lease: NewLease) -> None:
    lease = new_lease(jobs.COLLECT, seconds=0.3)
    extended = threading.Event()
    lease._publish = lambda *_: extended.set()

    with lease.heartbeat():
        assert extended.wait(5)

    with database.transaction() as session:
        assert jobs.expired(session) == []


def test_a_worker_that_lost_its_lease_is_stopped_by_its_next_report(
    database: Database, new_lease: NewLease
) -> None:
    lease = new_lease(jobs.COLLECT, seconds=0.3)
    steal(database, lease.job_id)

    with lease.heartbeat():
        assert lease._lost.wait(5)

    with pytest.raises(LeaseLost):
        lease.report(0.5)


def test_who_watches_is_told_of_progress(new_lease: NewLease) -> None:
    lease = new_lease(jobs.COLLECT)
    told: list[tuple[State, float]] = []
    published = threading.Event()

    def publish(_: UUID, state: State, progress: float) -> None:
        told.append((state, progress))
        published.set()

    lease._publish = publish
    lease._reported_at -= 1

    with lease.heartbeat():
        lease.report(0.25)
        assert published.wait(5)

    assert told == [(State.RUNNING, 0.25)]


def test_a_failed_job_cannot_be_settled(database: Database, new_lease: NewLease) -> None:
    lease = new_lease(jobs.COLLECT)

    lease.fail(errors.StorageFull())

    assert state(database, lease.job_id) is State.FAILED
    with pytest.raises(LeaseLost), lease.settle():
        pass


def test_the_heartbeat_is_about_the_same_request(new_lease: NewLease) -> None:
    lease = new_lease(jobs.COLLECT, seconds=0.03)
    seen: queue.Queue[str | None] = queue.Queue()
    lease._publish = lambda *_: seen.put(logs.request_id())

    with logs.about(request_id="mine"), lease.heartbeat():
        told = seen.get(timeout=10)

    assert told == "mine"
