"""A job's changes as Server-Sent Events."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

from fastapi.sse import format_sse_event

from api.schemas import JobStatus
from api.waiting import Waiter
from shared import errors

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""nginx would keep events back until it has enough of them."""

SILENCE_SECONDS = 15
"""Then a comment is sent: proxies close what is silent, and who has left is found out."""

RETRY_SECONDS = 1
RECONNECT_MILLISECONDS = 2000

_COMMENT = format_sse_event(comment="still at work")


async def follow(
    job_id: UUID,
    read: Callable[[], Awaitable[JobStatus]],
    waiter: Waiter,
    last_seen: str | None,
) -> AsyncIterator[bytes]:
    """An event for each change that the client, by the id of its last event, has not seen.

    The last one says that the job has ended. While the database is away there is nothing to say.
    """
    with waiter.watch(job_id) as changed:
        yield format_sse_event(retry=RECONNECT_MILLISECONDS)
        while not waiter.is_closing:
            changed.clear()
            try:
                status = await read()
            except errors.DatabaseUnavailable:
                yield _COMMENT
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except errors.JobNotFound:  # Its recording was deleted this moment.
                return
            if id_of(status) != last_seen:
                last_seen = id_of(status)
                data = status.model_dump_json(exclude_unset=True)
                yield format_sse_event(data_str=data, id=last_seen)
            if status.state.is_final:
                return
            while not await _is_set(changed):
                yield _COMMENT


def id_of(status: JobStatus) -> str:
    """Names what is seen of a job, so that it need not be sent again."""
    return f"{status.attempt}-{status.state}-{status.progress:.4f}"


async def _is_set(changed: asyncio.Event) -> bool:
    """Whether it is set before the silence has become too long."""
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            return await changed.wait()
    except TimeoutError:
        return False
