"""Waiting for jobs, with signals that get lost and rows that cannot be read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import RedisError

from api import waiting
from api.waiting import Waiter
from shared import errors
from shared.models import State
from shared.signals import Signal

JOB = UUID(int=1)


class Workers:
    """What the workers have done, and what is heard and read of it."""

    def __init__(self) -> None:
        self.ended: set[UUID] = set()
        self.queries: list[set[UUID]] = []
        self._queried = asyncio.Condition()
        self.trouble: list[Exception] = []
        """What the next queries fail with."""
        self.listened = 0
        self.there: set[str] | Exception = {"records"}
        """Who is found at work, or why nobody is."""
        self.looks = 0
        self._signals: asyncio.Queue[Signal | Exception | None] = asyncio.Queue()
        self.waiter = Waiter(self._listen, self._find_ended, self._look)

    def end(self, *job_ids: UUID, state: State = State.DONE, silently: bool = False) -> None:
        self.ended.update(job_ids)
        for job_id in () if silently else job_ids:
            self.say(Signal(job_id, state, 1))

    def say(self, signal: Signal | Exception | None) -> None:
        self._signals.put_nowait(signal)

    async def _listen(self) -> AsyncIterator[Signal | None]:
        self.listened += 1
        yield None
        while True:
            signal = await self._signals.get()
            if isinstance(signal, Exception):
                raise signal
            yield signal

    async def _find_ended(self, job_ids: Iterable[UUID]) -> set[UUID]:
        asked = set(job_ids)
        ended = asked & self.ended
        self.queries.append(asked)
        async with self._queried:
            self._queried.notify_all()
        if self.trouble:
            raise self.trouble.pop(0)
        return ended

    async def _look(self) -> set[str]:
        self.looks += 1
        async with self._queried:
            self._queried.notify_all()
        if isinstance(self.there, Exception):
            raise self.there
        return self.there

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.waiter.run())
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    def wait(
        self, job_id: UUID = JOB, within_seconds: float = 10, by: str = "records"
    ) -> asyncio.Task[bool]:
        return asyncio.create_task(self.waiter.ended(job_id, within_seconds, by=by))

    async def was_asked(self, times: int = 1) -> None:
        async with self._queried:
            await self._queried.wait_for(lambda: len(self.queries) >= times)

    async def were_looked_for(self, times: int) -> None:
        times += self.looks
        async with self._queried:
            await self._queried.wait_for(lambda: self.looks >= times)


Scenario = Callable[[Workers], Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """No re-reading by itself, no pause after a failure, and hardly one between looks."""
    monkeypatch.setattr(waiting, "RECHECK_SECONDS", 1_000)
    monkeypatch.setattr(waiting, "RETRY_SECONDS", 0)
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.01)


def play(scenario: Scenario) -> Workers:
    """Play a scenario to its end, while the waiter is at work."""

    async def whole() -> Workers:
        workers = Workers()
        async with workers.at_work():
            await asyncio.wait_for(scenario(workers), 20)
        return workers

    return asyncio.run(whole())


async def seen(changed: asyncio.Event) -> None:
    await changed.wait()
    changed.clear()


@pytest.mark.parametrize("state", list(State))
def test_who_watches_sees_every_change(state: State) -> None:
    async def scenario(workers: Workers) -> None:
        with workers.waiter.watch(JOB) as changed:
            workers.say(Signal(UUID(int=2), state, 0.5))
            workers.say(Signal(JOB, state, 0.5))

            await seen(changed)

    play(scenario)


def test_who_watches_sees_the_end_without_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "RECHECK_SECONDS", 0.01)

    async def scenario(workers: Workers) -> None:
        with workers.waiter.watch(JOB) as changed:
            workers.end(JOB, silently=True)

            await seen(changed)

    play(scenario)


def test_who_watches_is_released() -> None:
    async def scenario(workers: Workers) -> None:
        with workers.waiter.watch(JOB) as changed:
            workers.waiter.release()

            await seen(changed)
            assert workers.waiter.is_closing

    play(scenario)


@pytest.mark.parametrize("state", [State.DONE, State.FAILED])
def test_a_signal_wakes_who_waits(state: State) -> None:
    async def scenario(workers: Workers) -> None:
        waiting = workers.wait()
        await workers.was_asked()

        workers.end(JOB, state=state)

        assert await waiting

    play(scenario)


def test_a_job_that_has_ended_before_is_not_waited_for() -> None:
    async def scenario(workers: Workers) -> None:
        workers.end(JOB, silently=True)

        assert await workers.wait()

    play(scenario)


def test_a_signal_wakes_who_waits_without_a_query() -> None:
    async def scenario(workers: Workers) -> None:
        waiting = workers.wait()
        await workers.was_asked()

        workers.say(Signal(JOB, State.DONE, 1))

        assert await waiting

    assert len(play(scenario).queries) == 1


def test_a_lost_signal_is_made_up_for_by_reading_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "RECHECK_SECONDS", 0.01)

    async def scenario(workers: Workers) -> None:
        waiting = workers.wait()
        await workers.was_asked()

        workers.end(JOB, silently=True)

        assert await waiting

    play(scenario)


@pytest.mark.parametrize("error", [RedisError("gone"), OSError("reset"), AttributeError("a bug")])
def test_what_ended_while_nobody_listened_is_read_again(error: Exception) -> None:
    async def scenario(workers: Workers) -> None:
        waiting = workers.wait()
        await workers.was_asked()

        workers.end(JOB, silently=True)
        workers.say(error)

        assert await waiting

    assert play(scenario).listened == 2


@pytest.mark.parametrize("error", [errors.DatabaseUnavailable(), ValueError("a bug")])
def test_rows_that_cannot_be_read_are_read_later(error: Exception) -> None:
    async def scenario(workers: Workers) -> None:
        workers.trouble = [error] * 3
        workers.end(JOB, silently=True)

        assert await workers.wait()

    assert len(play(scenario).queries) == 4


def test_jobs_at_work_and_jobs_of_others_cost_no_query() -> None:
    async def scenario(workers: Workers) -> None:
        waiting = workers.wait()
        await workers.was_asked()

        workers.say(Signal(JOB, State.RUNNING, 0.5))
        workers.end(*(uuid4() for _ in range(50)))
        workers.end(JOB)

        assert await waiting

    assert [len(asked) for asked in play(scenario).queries] == [1]


def test_thousands_wait_with_few_queries() -> None:
    jobs = [UUID(int=number) for number in range(2_000)]

    async def scenario(workers: Workers) -> None:
        waiting = [workers.wait(job) for job in jobs]
        await workers.was_asked()

        workers.end(*jobs)

        assert all(await asyncio.gather(*waiting))

    assert len(play(scenario).queries) < 20


def test_two_may_wait_for_one_job() -> None:
    async def scenario(workers: Workers) -> None:
        impatient, patient = workers.wait(within_seconds=0.01), workers.wait()
        assert not await impatient

        workers.end(JOB)

        assert await patient

    play(scenario)


@pytest.mark.parametrize("within_seconds", [0, 0.01])
def test_who_has_waited_long_enough_is_forgotten(within_seconds: float) -> None:
    async def scenario(workers: Workers) -> None:
        assert not await workers.wait(within_seconds=within_seconds)

    assert play(scenario).waiter._waiting == {}


def test_who_stops_waiting_is_forgotten() -> None:
    async def scenario(workers: Workers) -> None:
        waiting = workers.wait()
        await workers.was_asked()

        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting

    assert play(scenario).waiter._waiting == {}


@pytest.mark.parametrize("there", [{"questions"}, RedisError("gone"), ValueError("a bug")])
def test_nobody_waits_for_workers_that_are_away(there: set[str] | Exception) -> None:
    async def scenario(workers: Workers) -> None:
        waiting = workers.wait(within_seconds=1_000)
        workers.there = there

        assert not await waiting

    assert play(scenario).looks >= waiting.LOOKS


def test_nobody_waits_for_workers_whom_a_frozen_broker_hides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "LOOK_TIMEOUT_SECONDS", 0.01)

    async def scenario(workers: Workers) -> None:
        monkeypatch.setattr(workers.waiter, "_look_for", asyncio.Event().wait)

        assert not await workers.wait(within_seconds=1_000)

    play(scenario)


def test_other_workers_are_waited_for() -> None:
    async def scenario(workers: Workers) -> None:
        others, theirs = workers.wait(by="questions"), workers.wait(UUID(int=2))
        workers.there = {"records"}
        assert not await others

        workers.end(UUID(int=2))

        assert await theirs

    play(scenario)


def test_what_has_ended_is_read_though_the_workers_are_away() -> None:
    async def scenario(workers: Workers) -> None:
        workers.there = set()
        assert not await workers.wait(within_seconds=1_000)

        workers.end(JOB, silently=True)

        assert await workers.wait(within_seconds=1_000)

    play(scenario)


def test_workers_that_are_back_are_waited_for_again() -> None:
    async def scenario(workers: Workers) -> None:
        workers.there = set()
        assert not await workers.wait(within_seconds=1_000)
        workers.there = {"records"}
        await workers.were_looked_for(2)

        waiting = workers.wait(within_seconds=1_000)
        await workers.was_asked(len(workers.queries) + 1)
        workers.end(JOB)

        assert await waiting

    play(scenario)


def test_workers_are_back_before_they_are_next_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(workers: Workers) -> None:
        workers.there = set()
        assert not await workers.wait(within_seconds=1_000)
        monkeypatch.setattr(waiting, "LOOK_SECONDS", 1_000)
        monkeypatch.setattr(waiting, "LAST_SECONDS", 0.5)
        await workers.were_looked_for(1)
        workers.there = {"records"}

        outcome = workers.wait(within_seconds=1_000)
        given_up, _ = await asyncio.wait([outcome], timeout=2 * waiting.LAST_SECONDS)
        assert not given_up
        workers.end(JOB)

        assert await outcome

    play(scenario)


def test_looks_for_some_workers_do_not_accuse_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(workers: Workers) -> None:
        assert not await workers.wait(within_seconds=1_000, by="questions")
        monkeypatch.setattr(waiting, "LOOK_SECONDS", 1_000)
        monkeypatch.setattr(waiting, "LOOK_AGAIN_SECONDS", 0)
        monkeypatch.setattr(waiting, "LAST_SECONDS", 0.01)
        await workers.were_looked_for(1)
        workers.there, looks = set(), workers.looks

        theirs = workers.wait(UUID(int=2), within_seconds=1_000)
        while workers.looks < looks + 2 * waiting.LOOKS:
            assert not await workers.wait(within_seconds=1_000, by="questions")
        workers.end(UUID(int=2))

        assert await theirs

    play(scenario)


def test_many_who_need_workers_that_are_away_look_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(workers: Workers) -> None:
        workers.there = set()
        assert not await workers.wait(within_seconds=1_000)
        monkeypatch.setattr(waiting, "LOOK_SECONDS", 1_000)
        await workers.were_looked_for(1)
        before = workers.looks

        answers = await asyncio.gather(
            *(workers.wait(UUID(int=number), within_seconds=1_000) for number in range(100))
        )

        assert not any(answers)
        assert 1 <= workers.looks - before < 20

    play(scenario)


def test_who_waits_is_released_before_the_process_stops() -> None:
    async def check(workers: Workers) -> None:
        waiting = asyncio.create_task(workers.waiter.ended(JOB, 60, by="records"))
        await asyncio.sleep(0)

        workers.waiter.release()

        assert await waiting is False
        assert await workers.waiter.ended(JOB, 60, by="records") is False

    asyncio.run(check(Workers()))
