"""What routes are handed: the database, the queue, uploads, limits, and who is asking.

The functions that hand it out are coroutines though they wait for nothing: a plain function would
be run in a thread, which costs a request more than all of them do, and time in which a client that
leaves takes its body along.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, cast
from uuid import UUID

import anyio
import anyio.to_thread
from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from sqlalchemy import QueuePool, select
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

from api import negotiation, problems
from api.places import Places
from api.recent import Recent
from api.waiting import Waiter
from shared import crashpoints, errors, jobs
from shared.database import Database
from shared.jobs import Hints
from shared.settings import Settings
from shared.store import UploadStore

P = ParamSpec("P")
T = TypeVar("T")
Body = TypeVar("Body", bound=BaseModel)

DATABASE_SECONDS = 5
JSON_LIMIT_BYTES = 64 * 1024
JSON_SECONDS = 10


class Transactions:
    """Runs plain functions over a Session, each in a thread.

    `await transact(users.create, name)` returns when the transaction is committed: a connection is
    held for no longer than the function runs, and never while a client is waited for.
    """

    def __init__(self, database: Database, *, at_once: int) -> None:
        self._database = database
        self._places = asyncio.Semaphore(at_once)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="database")
        self._worked_at = 0.0
        """When work was last done, by the clock of `time.monotonic`."""

    async def __call__(
        self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """In a transaction of its own.

        Raises: DatabaseUnavailable, within `DATABASE_SECONDS` of the last sign of life even if the
        server is frozen.
        """
        return await self._run(
            self._database.transaction, lambda session: work(session, *args, **kwargs)
        )

    async def read(
        self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for what only reads, in fewer round trips. Raises: DatabaseUnavailable."""
        return await self._run(
            self._database.statements, lambda session: work(session, *args, **kwargs)
        )

    async def check(self) -> None:
        """Raises: DatabaseUnavailable, if no transaction would have a chance."""
        await self.read(lambda session: session.execute(select(1)))

    @property
    def pool(self) -> QueuePool:
        return cast(QueuePool, self._database.engine.pool)

    async def _run(
        self, begin: Callable[[], AbstractContextManager[Session]], work: Callable[[Session], T]
    ) -> T:
        is_abandoned = threading.Event()

        def run() -> T:
            with begin() as session:
                result = work(session)
                self._worked_at = time.monotonic()
                if is_abandoned.is_set():
                    # The client was told that nothing was stored: so nothing may be, even if the
                    # server has woken up since.
                    raise errors.DatabaseUnavailable
                return result

        try:
            await self._take_place()
            async with asyncio.timeout(DATABASE_SECONDS):
                return await self._in_thread(run)
        except TimeoutError:
            raise errors.DatabaseUnavailable from None
        finally:
            is_abandoned.set()

    async def _take_place(self) -> None:
        """Where many ask, each waits for as long as work is being done: busy is not away.

        Raises: TimeoutError, once none was done for `DATABASE_SECONDS`.
        """
        begun = time.monotonic()
        while (left := max(begun, self._worked_at) + DATABASE_SECONDS - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._places.acquire()
                    return
        raise TimeoutError

    async def _in_thread(self, run: Callable[[], T]) -> T:
        """Give the place back when the thread has ended, even if nobody waits for it any more.

        A frozen server answers nobody: threads are left to wait for it alone. But no others are
        started meanwhile, however many ask: those of a minute could be thousands.
        """
        loop = asyncio.get_running_loop()
        # Its lines, and the jobs that it makes, are about the same request.
        running = self._threads.submit(copy_context().run, run)
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._places.release))
        return await asyncio.wrap_future(running)


class Queue:
    """Sends hints without keeping anybody waiting: the broker may be slow or away."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._threads: defaultdict[str, anyio.CapacityLimiter] = defaultdict(
            # Of each kind: a recording's hint must not wait behind those of a thousand questions.
            lambda: anyio.CapacityLimiter(4)
        )
        self._sending: set[asyncio.Task[None]] = set()

    def hint(self, job_id: UUID, kind: str) -> None:
        crashpoints.reach("job-accepted")
        task = asyncio.create_task(self._send(job_id, kind))
        self._sending.add(task)  # The event loop alone would let it be collected.
        task.add_done_callback(self._sending.discard)

    async def _send(self, job_id: UUID, kind: str) -> None:
        threads = self._threads[kind]
        await anyio.to_thread.run_sync(self._hints.send, job_id, kind, limiter=threads)
        crashpoints.reach("hint-sent")


@dataclass
class Services:
    """All that this API process works with; made by `api/app.py`."""

    settings: Settings
    transact: Transactions
    queue: Queue
    waiter: Waiter
    uploads: UploadStore
    broker_url: str
    question_stats: Recent[dict[str, Any]]
    places: Places

    async def forget_upload(self, upload_id: UUID) -> None:
        """Delete what nobody needs; while the store is away, that is left to the sweep."""
        with suppress(errors.StorageUnavailable):
            await anyio.to_thread.run_sync(self.uploads.delete, upload_id)

    async def outcome(
        self,
        job_id: UUID,
        kind: str,
        within_seconds: float,
        read: Callable[[Session], T | None],
        *,
        is_new: bool,
    ) -> T | None:
        """What `read` says of a job once it has ended; None if it has not, or cannot for now.

        `read` returns None for a job that has not ended. One that is not new may have ended long
        ago. The job is accepted by now: "try again" would be the wrong answer, whatever happens
        here.
        """
        deadline = time.monotonic() + within_seconds
        workers = jobs.workers_of(kind)
        while not is_new or await self.waiter.ended(
            job_id, deadline - time.monotonic(), by=workers
        ):
            is_new = True
            try:
                outcome = await self.transact.read(read)
            except errors.DatabaseUnavailable:
                return None
            if outcome is not None:
                crashpoints.reach("outcome-read")
                return outcome
        return None


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Service = Annotated[Services, Depends(_services)]


async def _transactions(request: Request) -> Transactions:
    return (await _services(request)).transact


Transact = Annotated[Transactions, Depends(_transactions)]


async def _base_url(request: Request) -> str:
    """Where links begin: `PUBLIC_URL`, or the service as this client addressed it."""
    return (await _services(request)).settings.public_url or str(request.base_url).rstrip("/")


BaseUrl = Annotated[str, Depends(_base_url)]


async def body_as_it_is(request: Request) -> None:
    """Raises: UnsupportedMediaType, for a body that is compressed."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise errors.UnsupportedMediaType(
            f"A body must be sent as it is, without Content-Encoding: {coding}."
        )


def json_body(kind: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that reads a JSON body of this kind, and never more than a small one."""

    async def read(request: Request) -> Body:
        media_type = negotiation.media_type(request)
        if media_type != "application/json":
            raise errors.UnsupportedMediaType(
                f"The body must be JSON with Content-Type: application/json, not {media_type!r}."
            )
        return _validated(kind, await _small_body(request))

    return read


async def _small_body(request: Request) -> bytes:
    """Raises: UploadTooLarge, UploadTooSlow, MalformedRequest: the client went away."""
    body = bytearray()
    try:
        async with asyncio.timeout(JSON_SECONDS):
            async for block in request.stream():
                body += block
                if len(body) > JSON_LIMIT_BYTES:
                    raise errors.UploadTooLarge(
                        f"A JSON body here is at most {JSON_LIMIT_BYTES} bytes."
                    )
    except TimeoutError:
        raise errors.UploadTooSlow(
            f"The body did not come within {JSON_SECONDS} seconds; send it again."
        ) from None
    except ClientDisconnect:
        raise errors.MalformedRequest from None
    return bytes(body)


def _validated(kind: type[Body], body: bytes) -> Body:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise errors.MalformedRequest(f"The body is not JSON: {first['msg']}.") from None
        raise problems.invalid(error) from None
