"""Waiting for jobs to end, without a thread or a database connection for each that waits."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from uuid import UUID

from redis import RedisError

from shared import errors
from shared.signals import Signal

log = logging.getLogger(__name__)

RECHECK_SECONDS = 5
"""A lost signal costs a waiting client no more than this."""

GATHER_SECONDS = 0.1
"""How long suspects are gathered for one query. Most jobs have ended by then, and said so."""

RETRY_SECONDS = 1


class Waiter:
    """Knows which jobs are waited for, listens to signals, and reads rows to see who is done.

    `listen` yields signals and, when it begins, None. `find_ended` says which of some jobs have
    ended: it is asked at the beginning, when signals may have been lost, and now and then.
    """

    def __init__(
        self,
        listen: Callable[[], AsyncIterator[Signal | None]],
        find_ended: Callable[[Iterable[UUID]], Awaitable[set[UUID]]],
    ) -> None:
        self._listen = listen
        self._find_ended = find_ended
        self._waiting: defaultdict[UUID, set[asyncio.Future[bool]]] = defaultdict(set)
        self._suspects: set[UUID] = set()
        self._suspicion = asyncio.Event()
        self._is_closing = False

    async def ended(self, job_id: UUID, within_seconds: float) -> bool:
        """Whether the job ends within this time, by a worker's word or by its row.

        The row has to be read anyway for what became of the job; so a worker's word is enough to
        read it, and not enough to believe.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._is_closing:
            return False
        self._waiting[job_id].add(future)
        # Registered first, read second: an end between the two is seen by the one or the other.
        self._suspect({job_id})
        try:
            async with asyncio.timeout(within_seconds):
                return await future
        except TimeoutError:
            return False
        finally:
            self._forget(job_id, future)

    def release(self) -> None:
        """Let nobody wait any longer, now or later: the process is about to stop."""
        self._is_closing = True
        for future in (future for futures in self._waiting.values() for future in futures):
            if not future.done():
                future.set_result(False)

    async def run(self) -> None:
        """Serve all that wait, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_signals())
            tasks.create_task(self._recheck())
            tasks.create_task(self._read_rows())

    async def _follow_signals(self) -> None:
        while True:
            try:
                async with aclosing(self._listen()) as listening:  # type: ignore[type-var]
                    async for signal in listening:
                        self._heed(signal)
            except (RedisError, OSError) as error:
                log.warning("no signals from the workers, rows are read instead: %r", error)
            except Exception:
                log.exception("no signals from the workers, rows are read instead")
            await asyncio.sleep(RETRY_SECONDS)

    def _heed(self, signal: Signal | None) -> None:
        if signal is None:
            self._suspect(self._waiting.keys())
        elif signal.state.is_final:
            self._wake(signal.job_id)

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            self._suspect(self._waiting.keys())

    def _suspect(self, job_ids: Iterable[UUID]) -> None:
        self._suspects.update(job_ids)
        self._suspicion.set()

    async def _read_rows(self) -> None:
        """One query for all that became suspect meanwhile and still wait."""
        while True:
            await self._suspicion.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._suspicion.clear()
            suspects, self._suspects = self._suspects & self._waiting.keys(), set()
            for job_id in await self._find_ended_of(suspects):
                self._wake(job_id)

    def _wake(self, job_id: UUID) -> None:
        for future in self._waiting.get(job_id, ()):
            if not future.done():
                future.set_result(True)

    async def _find_ended_of(self, suspects: set[UUID]) -> set[UUID]:
        """Nobody has ended while rows cannot be read; they are suspects again a moment later.

        Whatever the reason, it must not leave here: all that wait would wait in vain.
        """
        try:
            return await self._find_ended(suspects) if suspects else set()
        except errors.Unavailable as error:
            log.warning("no word of %d jobs: %r", len(suspects), error)
        except Exception:
            log.exception("no word of %d jobs", len(suspects))
        await asyncio.sleep(RETRY_SECONDS)
        self._suspect(suspects)
        return set()

    def _forget(self, job_id: UUID, future: asyncio.Future[bool]) -> None:
        self._waiting[job_id].discard(future)
        if not self._waiting[job_id]:
            del self._waiting[job_id]
