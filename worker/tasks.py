"""The Celery tasks: look at the job a hint names, and do it if it is still to be done."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn
from uuid import UUID

from celery.exceptions import Retry

from shared import crashpoints, errors, jobs, logs, tracing
from shared.sources import Filters
from worker.app import QUESTION_SECONDS, Workplace, app, workplace
from worker.collect import collect
from worker.convert import convert, encode_segment
from worker.lease import Lease, LeaseLost
from worker.recording import Recording

log = logging.getLogger(__name__)


@app.task(name=jobs.CONVERT, throws=(errors.QuaverError,))  # type: ignore[untyped-decorator]
def convert_record(job_id: str) -> None:
    place = workplace()
    with place.cores.taken(1):
        perform(
            place,
            UUID(job_id),
            lambda lease: convert(lease, _recording(place, lease), place.cores),
        )


@app.task(name=jobs.ENCODE_SEGMENT, throws=(errors.QuaverError,))  # type: ignore[untyped-decorator]
def encode_record_segment(job_id: str) -> None:
    place = workplace()
    with place.cores.taken(1):
        perform(place, UUID(job_id), lambda lease: encode_segment(lease, _recording(place, lease)))


def _recording(place: Workplace, lease: Lease) -> Recording:
    return Recording.of_job(
        lease.payload,
        uploads=place.uploads,
        quality=place.mp3_quality,
        most_seconds=place.most_seconds,
    )


@app.task(name=jobs.COLLECT, throws=(errors.QuaverError,))  # type: ignore[untyped-decorator]
def collect_questions(job_id: str) -> None:
    place = workplace()
    perform(
        place,
        UUID(job_id),
        lambda lease: collect(
            lease,
            count=lease.payload["count"],
            filters=Filters(lease.payload.get("category"), lease.payload.get("difficulty")),
            sources=place.sources,
            database=place.database,
            breaker=place.breaker,
            deadline_seconds=QUESTION_SECONDS,
        ),
    )


def perform(place: Workplace, job_id: UUID, work: Callable[[Lease], None]) -> None:
    """Claim a job, work on it, and see that its row says how that ended.

    `work` settles the lease itself. When the row cannot be written, the sweep rescues the job
    later. What is raised is for Flower's eyes alone, the row has it already.

    Raises:
        errors.QuaverError: the job has failed.
        Retry: another attempt will be made.
    """
    crashpoints.reach("hint-received")
    began_ns = time.time_ns()
    with place.database.statements() as session:
        claim = jobs.claim(session, job_id, lease=place.lease)
    if claim is None:
        with logs.about(job=str(job_id)):
            log.info("not to be done now: the hint is late or doubled")
        return
    crashpoints.reach("job-claimed")
    lease = Lease(
        claim,
        duration=place.lease,
        database=place.database,
        publish=place.publish,
        hint=place.hints.send,
    )
    with _observed(place, claim, lease, began_ns), lease.heartbeat():
        try:
            work(lease)
        except LeaseLost:
            log.warning("the job was taken over by another worker")
        except errors.StorageUnavailable as error:
            # However often that happens, it tells nothing of the job.
            _end(lease, error, again=True, counted=False)
        except errors.QuaverError as error:
            _end(lease, error, again=error.retryable and lease.attempt < place.max_attempts)
        except Exception as error:
            if not lease.holds():  # Whoever deletes a recording takes its upload away.
                log.warning("the job is not wanted any more, and broke off: %r", error)
                return
            # A mistake in this program, or a MemoryError, which would end the whole worker if it
            # left the task. The traceback is for the operator, not for the user.
            log.exception("the attempt broke off")
            _end(lease, jobs.abandoned(claim.kind), again=lease.attempt < place.max_attempts)


@contextmanager
def _observed(place: Workplace, claim: jobs.Claim, lease: Lease, began_ns: int) -> Iterator[None]:
    """An attempt, which began with its claim, as logs, traces and metrics have it."""
    parent = claim.traceparent or ""
    with (
        logs.about(**claim.subject),
        tracing.span(claim.kind, kind="CONSUMER", parent=parent, began_ns=began_ns) as span,
    ):
        with tracing.span("claim", began_ns=began_ns):
            pass
        try:
            yield
        finally:
            seconds = max(0, time.time_ns() - began_ns) / 1e9
            fields = {"outcome": lease.outcome, "milliseconds": round(seconds * 1000, 1)}
            log.info("%(outcome)s after %(milliseconds)s ms", fields, extra={"fields": fields})
            place.tallies.attempt(claim.kind, lease.outcome, seconds)
            span.tell({**claim.subject, "outcome": lease.outcome})


def _end(lease: Lease, error: errors.QuaverError, *, again: bool, counted: bool = True) -> NoReturn:
    log.warning("%s", error.detail)
    try:
        if again:
            delay = timedelta(seconds=5 * 4 ** (lease.attempt - 1))
            lease.put_back(error, delay=delay, counted=counted)
            raise Retry(exc=error)
        lease.fail(error)
    except LeaseLost:
        log.warning("the job was taken over by another worker")
    raise error
