"""Waiting for jobs to end, without a thread or a database connection for each that waits."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from typing import TypeVar
from uuid import UUID

from redis import RedisError

from shared import errors
from shared.signals import Signal

T = TypeVar("T")

log = logging.getLogger(__name__)

RECHECK_SECONDS = 5
"""A lost signal costs a waiting client no more than this."""

GATHER_SECONDS = 0.1
"""How long suspects are gathered for one query. Most jobs have ended by then, and said so."""

RETRY_SECONDS = 1

LOOK_SECONDS = 3
LOOK_TIMEOUT_SECONDS = 2
LOOKS = 3
"""Workers that are not there so often in turn are away: the launcher needs a few seconds to start
one again, and a worker to find a broker that was. Looks are counted and not seconds, so that an API
which itself stood still accuses nobody."""

LAST_SECONDS = 1
"""For the row to be read and for another look, where the workers are away: the job may have ended
before that, and they may be back."""

LOOK_AGAIN_SECONDS = 0.5
"""However many clients need workers that are away, nobody looks for them more often."""


class Waiter:
    """Knows which jobs are waited for, listens to signals, and reads rows to see who is done.

    `listen` yields signals and, when it begins, None. `find_ended` says which of some jobs have
    ended: it is asked at the beginning, when signals may have been lost, and now and then.
    `look_for` says which groups of workers are there; nobody waits for those that are not.
    """

    def __init__(
        self,
        listen: Callable[[], AsyncIterator[Signal | None]],
        find_ended: Callable[[Iterable[UUID]], Awaitable[set[UUID]]],
        look_for: Callable[[], Awaitable[set[str]]],
    ) -> None:
        self._listen = listen
        self._find_ended = find_ended
        self._look_for = look_for
        self._misses: Counter[str] = Counter()
        self._waiting: defaultdict[UUID, set[asyncio.Future[bool]]] = defaultdict(set)
        self._watching: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._waiting_for: defaultdict[str, set[asyncio.Future[bool]]] = defaultdict(set)
        self._suspects: set[UUID] = set()
        self._suspicion = asyncio.Event()
        self._doubt = asyncio.Event()
        self.is_closing = False

    async def ended(self, job_id: UUID, within_seconds: float, *, by: str) -> bool:
        """Whether the job ends within this time, by a worker's word or by its row.

        The row has to be read anyway for what became of the job; so a worker's word is enough to
        read it, and not enough to believe. If the workers of the group `by` are away, or no hint
        can reach them, it will not end before long: that is said at once.
        """
        if self.is_closing:
            return False
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_seconds
        future: asyncio.Future[bool] = loop.create_future()
        self._waiting[job_id].add(future)
        self._waiting_for[by].add(future)
        # Registered first, read second: an end between the two is seen by the one or the other.
        self._suspect({job_id})
        try:
            if self._is_away(by):
                self._doubt.set()
                await asyncio.wait([future], timeout=min(within_seconds, LAST_SECONDS))
                if self._is_away(by) and not future.done():
                    return False
            async with asyncio.timeout_at(deadline):
                return await future
        except TimeoutError:
            return False
        finally:
            self._waiting_for[by].discard(future)
            _discard(self._waiting, job_id, future)

    @contextmanager
    def watch(self, job_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set when the job may have changed, and when the process is to stop.

        A lost signal hides progress; the job's end comes out all the same.
        """
        changed = asyncio.Event()
        self._watching[job_id].add(changed)
        try:
            yield changed
        finally:
            _discard(self._watching, job_id, changed)

    @property
    def clients(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def watchers(self) -> int:
        """How many follow a job's changes."""
        return sum(map(len, self._watching.values()))

    def release(self) -> None:
        """Let nobody wait any longer, now or later: the process is about to stop."""
        self.is_closing = True
        for futures in self._waiting_for.values():
            _tell(futures, has_ended=False)
        for job_id in self._watching:
            self._show(job_id)

    async def run(self) -> None:
        """Serve all that wait, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_signals())
            tasks.create_task(self._recheck())
            tasks.create_task(self._read_rows())
            tasks.create_task(self._look_for_workers())
            tasks.create_task(self._look_again())

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
            self._suspect(self._known())
        elif signal.state.is_final:
            self._wake(signal.job_id)
        else:
            self._show(signal.job_id)

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            self._suspect(self._known())

    def _known(self) -> set[UUID]:
        return self._waiting.keys() | self._watching.keys()

    def _suspect(self, job_ids: Iterable[UUID]) -> None:
        self._suspects.update(job_ids)
        self._suspicion.set()

    async def _read_rows(self) -> None:
        """One query for all that became suspect meanwhile and still wait."""
        while True:
            await self._suspicion.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._suspicion.clear()
            suspects, self._suspects = self._suspects & self._known(), set()
            for job_id in await self._find_ended_of(suspects):
                self._wake(job_id)

    def _wake(self, job_id: UUID) -> None:
        _tell(self._waiting.get(job_id, ()), has_ended=True)
        self._show(job_id)

    def _show(self, job_id: UUID) -> None:
        for changed in self._watching.get(job_id, ()):
            changed.set()

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

    async def _look_for_workers(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            there = await self._find_there()
            for group, futures in self._waiting_for.items():
                self._misses[group] = 0 if group in there else self._misses[group] + 1
                if self._misses[group] == LOOKS:
                    _tell(futures, has_ended=False)

    async def _look_again(self) -> None:
        """Whoever needs workers that are away need not wait for the next look to find them back.

        These looks excuse and never accuse: how often they come is up to the clients.
        """
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            for group in await self._find_there():
                self._misses[group] = 0
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _find_there(self) -> set[str]:
        """Without a broker nobody is: whatever the workers are doing, they get no hints."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                return await self._look_for()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("no word of the workers: %r", error)
        except Exception:
            log.exception("no word of the workers")
        return set()

    def _is_away(self, group: str) -> bool:
        return self._misses[group] >= LOOKS


def _discard(groups: dict[UUID, set[T]], job_id: UUID, member: T) -> None:
    groups[job_id].discard(member)
    if not groups[job_id]:
        del groups[job_id]


def _tell(futures: Iterable[asyncio.Future[bool]], *, has_ended: bool) -> None:
    for future in futures:
        if not future.done():
            future.set_result(has_ended)
