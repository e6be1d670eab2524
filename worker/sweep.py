"""What makes jobs survive: lost hints sent again, jobs rescued from dead workers, uploads cleared.

Every worker's main process sweeps twice in `SWEEP_SECONDS`, so that a lost hint costs no more than
that; an advisory lock lets one of them work at a time. The timing is this thread's, not Celery
beat's, for beat would send its orders through the broker whose losses are to be mended.
"""

import logging
import time
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared import crashpoints, errors, idempotency, jobs, logs, records, resumable, store
from shared.database import Database
from shared.models import State
from worker.lease import Publish
from worker.tallies import Tallies

log = logging.getLogger(__name__)

LOCK_KEY = 0x53574545  # "SWEE"

MOST_HINTS = 100
"""Hints are sent again only while the broker holds fewer than this: it stays fed, and a long
queue of healthy jobs does not fill with duplicates."""

OVERDUE = timedelta(minutes=1)
"""How long after its lease's end a job may still be held by a worker that is settling it."""

STALE_SECONDS = 900
"""An upload without a record is given up after so long; a living one is written to, or refused,
within `UPLOAD_STALL_SECONDS`."""


class Sweep:
    """One sweeper. Its methods may be called at any time, by any number of processes."""

    def __init__(
        self,
        *,
        database: Database,
        uploads: store.UploadStore,
        publish: Publish,
        hints: jobs.Hints,
        tallies: Tallies,
        max_attempts: int,
        upload_expiry: timedelta,
        period: timedelta,
    ) -> None:
        """What is lost is found within `period`: a hint counts as lost after half of it, and the
        next sweep comes within the other half.
        """
        self._database = database
        self._uploads = uploads
        self._publish = publish
        self._hints = hints
        self._tallies = tallies
        self._max_attempts = max_attempts
        self._upload_expiry = upload_expiry
        self._half_period = period / 2

    def run_forever(self) -> None:
        while True:
            try:
                self.run()
            except (errors.Unavailable, OSError) as error:
                log.warning("sweep put off: %r", error)
            except Exception:
                log.exception("sweep failed")
            time.sleep(self._half_period.total_seconds())

    def run(self) -> None:
        """Sweep once, unless another process is at it."""
        with self._database.transaction() as session:
            if not session.scalar(select(func.pg_try_advisory_xact_lock(LOCK_KEY))):
                return
            if evicted := jobs.evict(session, overdue=OVERDUE):
                log.warning("%d frozen workers lost the jobs that they held", evicted)
            for record_id in records.forget_failed(session):
                log.warning("what was encoded of record %s is deleted: it failed", record_id)
            idempotency.forget_old(session)
            rescued = [(held, self._rescue(session, held)) for held in jobs.expired(session)]
        for held, state in rescued:
            with logs.about(**held.subject):
                self._tell_rescued(held, state)
        for kind in jobs.KINDS:
            self._hint_again(kind)
        self._clear_uploads()

    def _rescue(self, session: Session, held: jobs.Claim) -> State:
        """A job that broke off `max_attempts` times is poison: it ends here."""
        error = jobs.abandoned(held.kind)
        if held.attempt >= self._max_attempts:
            jobs.fail(session, held, error)
            return State.FAILED
        jobs.put_back(session, held, error, delay=timedelta())
        return State.QUEUED

    def _tell_rescued(self, held: jobs.Claim, state: State) -> None:
        log.warning("the job lost its worker and is now %s", state)
        crashpoints.reach("job-rescued")
        self._tallies.expiry(held.kind)
        self._publish(held.job_id, state, 0)
        if state is State.QUEUED:
            self._hints.send(held.job_id, held.kind)
        elif held.parent_id is not None:
            self._publish(held.parent_id, state, 0)

    def _hint_again(self, kind: str) -> None:
        room = MOST_HINTS - self._hints.waiting(kind)
        if room <= 0:
            return
        with self._database.transaction() as session:
            due = jobs.unhinted(session, kind, older_than=self._half_period, limit=room)
        for job_id, request_id in due:
            crashpoints.reach("hint-due")
            self._tallies.hint(kind)
            with logs.about(request_id=request_id, job=str(job_id), kind=kind):
                self._hints.send(job_id, kind)

    def _clear_uploads(self) -> None:
        """Delete the uploads of ended jobs, those whose request died before it had a job, and
        resumable ones with which nobody goes on.
        """
        ages = dict(self._uploads.ages())
        with self._database.statements() as session:
            ended = records.converted(session, ages)
            begun = resumable.begun(session, ages)
            resumable.forget_old(session, age=self._upload_expiry, stored=ages)
        for upload_id, age_seconds in ages.items():
            # Who has gone on in the last moment has time to finish.
            patience = self._upload_expiry.total_seconds() if upload_id in begun else 0
            if ended.get(upload_id, age_seconds > patience + STALE_SECONDS):
                self._uploads.delete(upload_id)
