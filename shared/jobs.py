"""Jobs: units of work that survive whatever happens to the processes that do them.

The row is the truth. A Celery message is a hint, "look at job X", which may be lost, doubled or
late without harm, because only a claim on the row starts work and only the holder of the row's
lease can end it::

            claim                     settle
    queued ───────▶ running (lease) ───────────▶ done
       ▲               │       └───────────────▶ failed
       ├───────────────┤  put_back: retryable error, or lease ran out
       │               │            (failed instead after the last attempt)
       │               │ split
       └─── waiting ◀──┘  for its children; the last one's end queues it again, and the first
                          failure among them fails it and all that are left

Every move is one conditional UPDATE, timed by the database's clock. All functions expect to be
called inside a transaction and never commit, except `Hints`, which speaks to the broker and is
called after the commit.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import (
    ColumnElement,
    Interval,
    Row,
    bindparam,
    case,
    func,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from shared import crashpoints, errors, logs, tracing
from shared.models import Job, State

CONVERT = "records.convert"
ENCODE_SEGMENT = "records.encode_segment"
COLLECT = "questions.collect"
QUEUES = {CONVERT: "records", ENCODE_SEGMENT: "segments", COLLECT: "questions"}
KINDS = tuple(QUEUES)

log = logging.getLogger(__name__)


def workers_of(kind: str) -> str:
    """The group of workers that does such jobs: `records` or `questions`."""
    return kind.partition(".")[0]


@dataclass(frozen=True)
class Claim:
    """The right to work on a job, for as long as its lease is extended."""

    job_id: UUID
    lease_token: UUID
    kind: str
    payload: dict[str, Any]
    attempt: int
    parent_id: UUID | None = None
    request_id: str | None = None
    traceparent: str | None = None

    @property
    def subject(self) -> dict[str, Any]:
        """What lines about it are about."""
        return {
            "request_id": self.request_id,
            "job": str(self.job_id),
            "kind": self.kind,
            "attempt": self.attempt,
        }


_UNFLUSHED = func.set_config("synchronous_commit", "off", True)  # noqa: FBT003
"""In a statement's columns, lets the transaction's COMMIT return before it is on disk.

Should a crash of the server undo a claim, that is as if its worker had died: the job is queued, and
what the worker does with its lease is refused."""

_CLAIM_COLUMNS = (
    Job.id,
    Job.lease_token,
    Job.kind,
    Job.payload,
    Job.attempt,
    Job.parent_id,
    Job.request_id,
    Job.traceparent,
)
_CLAIM = (
    update(Job)
    .where(Job.id == bindparam("job"), Job.state == State.QUEUED, Job.not_before <= func.now())
    .values(
        state=State.RUNNING,
        attempt=Job.attempt + 1,
        error=None,
        lease_token=bindparam("token"),
        lease_until=func.clock_timestamp() + bindparam("lease", type_=Interval),
    )
    .returning(*_CLAIM_COLUMNS, _UNFLUSHED)
)
"""Made once, for a claim is what a waiting client waits for; so are others on its way."""


def create(
    session: Session, kind: str, payload: dict[str, Any], *, parent_id: UUID | None = None
) -> Job:
    """Add a queued job. Once this is committed, send its hint."""
    job = _new(kind, payload, parent_id)
    session.add(job)
    session.flush()
    crashpoints.reach("job-created")
    return job


def _new(kind: str, payload: dict[str, Any], parent_id: UUID | None) -> Job:
    return Job(
        id=uuid4(),
        kind=kind,
        payload=payload,
        parent_id=parent_id,
        request_id=logs.request_id(),
        traceparent=tracing.traceparent(),
    )


def get(session: Session, job_id: UUID) -> Job:
    """Raises: JobNotFound."""
    job = session.get(Job, job_id)
    if job is None:
        raise errors.JobNotFound
    return job


def final_ids(session: Session, job_ids: Iterable[UUID]) -> set[UUID]:
    """Which of these jobs have ended."""
    ended = select(Job.id).where(Job.id.in_(list(job_ids)), Job.finished_at.is_not(None))
    return set(session.scalars(ended))


def claim(session: Session, job_id: UUID, *, lease: timedelta) -> Claim | None:
    """Start a queued job that is due; None when somebody else has it, or it has ended.

    The attempt is counted here, before the work starts, so that it counts even if the work kills
    its process. It is one statement, whose transaction is not flushed to disk.
    """
    values = {"job": job_id, "token": uuid4(), "lease": lease}
    row = session.connection().execute(_CLAIM, values).one_or_none()
    return _claim_of(row) if row else None


def extend(session: Session, held: Claim, *, lease: timedelta, progress: float) -> bool:
    """Push the lease's end away; False when the lease is no longer ours."""
    until = func.clock_timestamp() + lease
    return _move(session, held, lease_until=until, progress=progress)


def finish(session: Session, held: Claim) -> bool:
    """The job is done; False when the lease is lost.

    The row stays locked for the rest of the transaction, so that nobody can take the job before it
    ends: what the transaction does after this is fenced.
    """
    return _move(session, held, state=State.DONE, progress=1, **_ended())


def split(
    session: Session, held: Claim, kind: str, payloads: Iterable[dict[str, Any]], **payload: Any
) -> list[UUID]:
    """Let children do the work, and the job wait for them; returns their ids, to be hinted.

    `payload` is added to the job's own, for when its turn comes again. Its attempts are counted
    anew, for each child has its own. There are no children when the lease is lost.
    """
    merged = held.payload | payload
    values = {"lease_token": None, "lease_until": None, "attempt": 0, "payload": merged}
    if not _move(session, held, state=State.WAITING, **values):
        return []
    children = [_new(kind, child, held.job_id) for child in payloads]
    session.add_all(children)
    session.flush()
    return [child.id for child in children]


def resume_parent(session: Session, parent_id: UUID) -> float | None:
    """Note that one more child is done, and queue the parent again if it was the last.

    To be called at the end of the transaction that finished the child: siblings wait here for each
    other, so that the last of them knows that it is. Returns the parent's progress, 1 when it was
    queued, or None when it no longer waits: then nothing of the child is wanted.
    """
    # Not a lock on the parent's row: that one is updated by each of those who wait for it, and so
    # many of them at once have been seen to deadlock.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(str(parent_id), 0))))
    share = func.avg(case((Job.state == State.DONE, 1.0), else_=0.0))
    progress = float(session.scalar(select(share).where(Job.parent_id == parent_id)) or 0)
    values: dict[str, Any] = {"progress": progress}
    if progress == 1:
        values |= {"state": State.QUEUED, "not_before": func.clock_timestamp()}
    is_waiting = (Job.id == parent_id) & (Job.state == State.WAITING)
    resumed = session.execute(update(Job).where(is_waiting).values(**values).returning(Job.id))
    return None if resumed.one_or_none() is None else progress


def set_result(session: Session, held: Claim, result: dict[str, Any]) -> None:
    """Say what came of a job, in the transaction that finished it."""
    session.execute(update(Job).where(Job.id == held.job_id).values(result=result))


def fail(session: Session, held: Claim, error: errors.QuaverError) -> bool:
    """The job has failed for good, and so have its parent and its siblings that are not done.

    False when the lease is lost.
    """
    failed = {"state": State.FAILED, "error": error.to_json()} | _ended()
    if not _move(session, held, **failed):
        return False
    if held.parent_id is not None:
        session.execute(update(Job).where(_open_family(held.parent_id)).values(**failed))
    return True


def cancel(session: Session, job_id: UUID, error: errors.QuaverError) -> None:
    """End a job that nobody wants any more, and its children; no effect if it has ended.

    Waits for a worker that is settling it this moment.
    """
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
    cancelled = {"state": State.FAILED, "error": error.to_json()} | _ended()
    session.execute(update(Job).where(_open_family(job_id)).values(**cancelled))


def _open_family(parent_id: UUID) -> ColumnElement[bool]:
    """A parent that has not ended, and its children that are not done.

    Children that are being settled this moment are left out: they hold their rows and wait for
    their parent's, and will find that it does not want them any more.
    """
    family = (Job.id == parent_id) | (Job.parent_id == parent_id)
    rows = select(Job.id).where(family, Job.finished_at.is_(None))
    return Job.id.in_(rows.with_for_update(skip_locked=True))


def put_back(
    session: Session,
    held: Claim,
    error: errors.QuaverError,
    *,
    delay: timedelta,
    counted: bool = True,
) -> bool:
    """Queue the job again, to be tried after `delay`; False when the lease is lost.

    An attempt that is not `counted` is as if it had never been made.
    """
    return _move(
        session,
        held,
        state=State.QUEUED,
        error=error.to_json(),
        progress=0,
        attempt=held.attempt if counted else held.attempt - 1,
        lease_token=None,
        lease_until=None,
        not_before=func.clock_timestamp() + delay,
    )


def expired(session: Session) -> Sequence[Claim]:
    """Jobs whose worker has gone or is frozen, locked until the transaction ends.

    One that is being settled this moment is skipped: its settling transaction holds the row.
    """
    rows = session.execute(
        select(*_CLAIM_COLUMNS)
        .where(Job.state == State.RUNNING, Job.lease_until < func.clock_timestamp())
        .with_for_update(skip_locked=True)
    )
    return [_claim_of(row) for row in rows]


def evict(session: Session, *, overdue: timedelta) -> int:
    """End the transactions that hold jobs whose leases ran out so long ago; returns how many.

    A worker that is frozen while it settles keeps its job's row locked, and no timeout of the
    server's ends a COPY that waits for its client. A settling that lasts so long, it is not.
    """
    statement = text("""
        SELECT count(pg_terminate_backend(lock.pid))
        FROM jobs JOIN pg_locks lock
            ON lock.locktype = 'transactionid' AND lock.granted AND lock.transactionid = jobs.xmax
        WHERE state = 'running' AND lease_until < clock_timestamp() - :overdue
            AND lock.pid <> pg_backend_pid()
    """)
    return session.scalar(statement, {"overdue": overdue}) or 0


def unhinted(
    session: Session, kind: str, *, older_than: timedelta, limit: int
) -> list[tuple[UUID, str | None]]:
    """Queued jobs that are due and whose last hint is so old that it may be lost, oldest first.

    Their ids and their requests'. They count as hinted from now on.
    """
    now = func.clock_timestamp()
    due = (
        select(Job.id)
        .where(
            Job.state == State.QUEUED,
            Job.kind == kind,
            func.greatest(Job.hinted_at, Job.not_before) <= now - older_than,
        )
        .order_by(Job.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    hinted = update(Job).where(Job.id.in_(due)).values(hinted_at=now)
    rows = session.execute(hinted.returning(Job.id, Job.request_id))
    return [(row.id, row.request_id) for row in rows]


class Open(NamedTuple):
    """How many jobs there are of a kind and state, and for how long one has been due."""

    kind: str
    state: State
    number: int
    longest_due_seconds: float


def census(session: Session) -> list[Open]:
    """The jobs that have not ended. The index of these has no others, however many there are."""
    due = func.max(func.clock_timestamp() - Job.not_before)
    rows = session.execute(
        select(Job.kind, Job.state, func.count(), func.extract("epoch", due))
        .where(Job.state.in_([State.QUEUED, State.RUNNING, State.WAITING]))
        .group_by(Job.kind, Job.state)
    )
    return [
        Open(kind, State(state), number, float(max(0, due))) for kind, state, number, due in rows
    ]


def _claim_of(row: Row[Any]) -> Claim:
    return Claim(
        row.id,
        row.lease_token,
        row.kind,
        row.payload,
        row.attempt,
        row.parent_id,
        row.request_id,
        row.traceparent,
    )


def _is_held(held: Claim) -> ColumnElement[bool]:
    return (Job.id == held.job_id) & (Job.lease_token == held.lease_token)


def _ended() -> dict[str, Any]:
    return {"lease_token": None, "lease_until": None, "finished_at": func.clock_timestamp()}


def _move(session: Session, held: Claim, **values: Any) -> bool:
    move = update(Job).where(_is_held(held)).values(**values).returning(Job.id)
    moved = session.connection().execute(move)
    return moved.one_or_none() is not None


def abandoned(kind: str) -> errors.QuaverError:
    """What to tell a user whose job could not be done for reasons that are not theirs."""
    if kind in {CONVERT, ENCODE_SEGMENT}:
        return errors.ConversionFailed(
            "The conversion was tried several times and broke off each time. Upload the recording "
            "again; if that fails too, it may hold something the encoder cannot take."
        )
    return errors.QueueUnavailable(
        "The workers broke off several times; nothing was stored. Try again in a moment.",
        retry_after_seconds=30,
    )


def celery_app(redis_url: str) -> Celery:
    """A Celery application as hints need it: no results, and little patience with the broker.

    Results would make every send subscribe to a channel that nobody reads; and without socket
    timeouts a frozen Redis would hang whoever talks to it for ever.
    """
    app = Celery("quaver", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_routes={kind: {"queue": queue} for kind, queue in QUEUES.items()},
        task_send_sent_event=True,  # Flower shows a task from the moment it is queued.
        broker_connection_timeout=3,
        broker_transport_options={
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "visibility_timeout": 600,
            # Queues in the order they are named: one is served when those before it are empty.
            "queue_order_strategy": "priority",
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            # Who sends tries twice in a tenth of a second; left to itself it tries for six.
            "max_retries": 1,
            "interval_start": 0.1,
        },
    )
    return app


class Hints:
    """Sends hints. The message's id is the job's, so Flower and the API name the same thing."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, job_id: UUID, kind: str) -> None:
        """Tell the workers of a job. It blocks for some seconds at worst and never raises.

        A hint that cannot be sent is not worth an error: the sweep sends it again. The request's
        id is for Flower's eyes alone, which shows of a message what is said to be its arguments.
        """
        request_id = logs.request_id()
        shown = repr({"request_id": request_id} if request_id else {})
        try:
            self._app.send_task(
                kind, args=[str(job_id)], kwargsrepr=shown, task_id=str(job_id), retry=False
            )
        except (OperationalError, OSError) as error:
            log.warning("hint for job %s not sent, the sweep will send it: %s", job_id, error)

    def waiting(self, kind: str) -> int:
        """How many hints of this kind no worker has taken yet.

        Raises:
            QueueUnavailable: the broker is away.
        """
        queue = self._app.amqp.router.route({}, kind)["queue"]
        try:
            with self._app.connection_for_read() as connection:
                return int(queue(connection.default_channel).queue_declare().message_count)
        except (OperationalError, OSError) as error:
            raise errors.QueueUnavailable from error
