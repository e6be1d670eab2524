"""Holding a job: claimed, kept by a heartbeat, and ended in one fenced transaction."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from shared import crashpoints, errors, jobs, tracing
from shared.database import Database
from shared.models import State
from shared.tallies import Outcome

log = logging.getLogger(__name__)

Publish = Callable[[UUID, State, float], None]
Hint = Callable[[UUID, str], None]

REPORT_SECONDS = 0.5

HANG_LEASES, HANG_SECONDS = 4, 60
"""Work that shows no sign of life for four leases, and no less than a minute, hangs. It shows one
with each block of samples and each batch of questions; what takes longest between two of them is a
source that does not answer, which is given up after 25 seconds."""


def kill_this_process() -> None:
    """Nothing less would do: a thread that hangs cannot be told to end."""
    os.kill(os.getpid(), signal.SIGKILL)


class LeaseLost(Exception):
    """Another worker has the job by now: stop, and leave no trace."""


class Settlement:
    """What a job leaves behind: rows written through `session`, and the `result` in its own."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.result: dict[str, Any] | None = None


class Lease:
    """A claimed job in the hands of this worker."""

    def __init__(
        self,
        claim: jobs.Claim,
        *,
        duration: timedelta,
        database: Database,
        publish: Publish,
        hint: Hint,
    ) -> None:
        self.job_id = claim.job_id
        self.kind = claim.kind
        self.payload = claim.payload
        self.attempt = claim.attempt
        self.progress = 0.0
        self.outcome: Outcome = "lost"
        """What became of this attempt."""
        self._claim = claim
        self._duration = duration
        self._database = database
        self._publish = publish
        self._hint = hint
        self._lost = threading.Event()
        self._beat_now = threading.Event()
        self._reported_at = time.monotonic()
        self._alive_at = time.monotonic()
        self._is_settling = False

    def check(self) -> None:
        """A sign of life. Raises: LeaseLost."""
        self._alive_at = time.monotonic()
        if self._lost.is_set():
            raise LeaseLost(str(self.job_id))

    def holds(self) -> bool:
        """Whether the job is still this worker's, by the database's word if that can be had."""
        with suppress(errors.Unavailable):
            self._extend()
        return not self._lost.is_set()

    def report(self, progress: float) -> None:
        """Note how far the work is, from 0 to 1; who watches is told at most twice a second.

        Raises: LeaseLost.
        """
        self.check()
        crashpoints.reach("work-begun")
        self.progress = progress
        if time.monotonic() - self._reported_at >= REPORT_SECONDS:
            self._reported_at = time.monotonic()
            self._beat_now.set()

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Extend the lease, in a thread of its own, while the block runs."""
        ended = threading.Event()
        beat = partial(copy_context().run, self._beat, ended)  # Its lines are about the job too.
        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            self._beat_now.set()
            thread.join()

    def _beat(self, ended: threading.Event) -> None:
        """Three times in the lease's length and at every report, until the end or the loss."""
        lease_seconds = self._duration.total_seconds()
        deadline = time.monotonic() + lease_seconds
        while not self._lost.is_set():
            self._beat_now.wait(lease_seconds / 3)
            self._beat_now.clear()
            if ended.is_set():
                return
            if self._hangs():
                # It would keep its job for ever, and its place in the pool. What else this process
                # is at is rescued like the job itself.
                log.critical("the job hangs, so this process is killed")
                kill_this_process()
            started = time.monotonic()
            try:
                self._extend()
                deadline = started + lease_seconds
            except Exception as error:  # noqa: BLE001 - Whatever it is, the work goes on.
                log.warning("lease not extended: %r", error)
                # Until the lease's end the job is ours, and the outage may be over by then.
                if time.monotonic() >= deadline:
                    self._lost.set()

    def _hangs(self) -> bool:
        """A settling is PostgreSQL's work, and bounded by its own timeout."""
        silence = time.monotonic() - self._alive_at
        patience = max(HANG_SECONDS, HANG_LEASES * self._duration.total_seconds())
        return not self._is_settling and silence > patience

    def _extend(self) -> None:
        progress = self.progress
        with self._database.transaction() as session:
            held = jobs.extend(session, self._claim, lease=self._duration, progress=progress)
        if held:
            self._publish(self.job_id, State.RUNNING, progress)
        else:
            self._lost.set()

    @contextmanager
    def settle(self) -> Iterator[Settlement]:
        """One transaction for the job's effects and its end.

        The end comes first: it locks the job's row, so that no rescue can come between. An
        exception in the block undoes everything, and the lease is still held.

        Raises: LeaseLost, before the block; or after it, and nothing is kept then, when the job's
        parent does not want it any more.
        """
        resumed: float | None = None
        self.check()
        crashpoints.reach("work-done")
        with tracing.span("settle"), self._settling(), self._database.transaction() as session:
            self._require(jobs.finish(session, self._claim))
            settlement = Settlement(session)
            yield settlement
            if settlement.result is not None:
                jobs.set_result(session, self._claim, settlement.result)
            if self._claim.parent_id is not None:
                resumed = jobs.resume_parent(session, self._claim.parent_id)
                self._require(resumed is not None)
            crashpoints.reach("end-written")
        crashpoints.reach("job-ended")
        self.outcome = "done"
        self._publish(self.job_id, State.DONE, 1)
        if self._claim.parent_id is not None and resumed is not None:
            self._tell_parent(self._claim.parent_id, resumed)

    @contextmanager
    def _settling(self) -> Iterator[None]:
        self._is_settling = True
        try:
            yield
        finally:
            self._alive_at = time.monotonic()
            self._is_settling = False

    def _tell_parent(self, parent_id: UUID, progress: float) -> None:
        if progress == 1:
            crashpoints.reach("parent-queued")
            self._hint(parent_id, jobs.CONVERT)
        self._publish(parent_id, State.QUEUED if progress == 1 else State.WAITING, progress)

    def split(self, kind: str, payloads: Iterable[dict[str, Any]], **payload: Any) -> None:
        """Let children do the work; the job's turn comes again, with `payload`, when they are done.

        Raises: LeaseLost.
        """
        with self._database.transaction() as session:
            children = jobs.split(session, self._claim, kind, payloads, **payload)
            self._require(bool(children))
            crashpoints.reach("split-written")
        crashpoints.reach("job-split")
        self.outcome = "split"
        self._publish(self.job_id, State.WAITING, 0)
        for child in children:
            self._hint(child, kind)

    def fail(self, error: errors.QuaverError) -> None:
        """The job has failed for good. Raises: LeaseLost."""
        with self._database.transaction() as session:
            self._require(jobs.fail(session, self._claim, error))
        crashpoints.reach("job-failed")
        self.outcome = "failed"
        for job_id in filter(None, (self.job_id, self._claim.parent_id)):
            self._publish(job_id, State.FAILED, self.progress)

    def put_back(
        self, error: errors.QuaverError, *, delay: timedelta, counted: bool = True
    ) -> None:
        """Another attempt is to be made after `delay`. Raises: LeaseLost."""
        with self._database.transaction() as session:
            held = jobs.put_back(session, self._claim, error, delay=delay, counted=counted)
            self._require(held)
        self.outcome = "retried"
        self._publish(self.job_id, State.QUEUED, self.progress)

    def _require(self, held: bool) -> None:  # noqa: FBT001
        if not held:
            self._lost.set()
            raise LeaseLost(str(self.job_id))
