"""Costly answers are worked out once for all who ask."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from unittest.mock import Mock

import pytest

from api.recent import Recent


def work_of(gate: asyncio.Event) -> Callable[[], Awaitable[int]]:
    """Counts how often it is done; while the gate is shut, nobody gets through."""
    numbers = count(1)

    async def work() -> int:
        number = next(numbers)
        await gate.wait()
        if number == 1:
            raise TimeoutError
        return number

    return work


def test_all_who_wait_have_one_answer_or_one_failure() -> None:
    async def ask() -> None:
        gate = asyncio.Event()
        answers = Recent(work_of(gate))
        waiting = [asyncio.create_task(answers.get()) for _ in range(10)]
        await asyncio.sleep(0)

        gate.set()
        failures = await asyncio.gather(*waiting, return_exceptions=True)
        found = await asyncio.gather(*(answers.get() for _ in range(10)))

        assert {type(failure) for failure in failures} == {TimeoutError}
        assert {answer for answer, _ in found} == {2}

    asyncio.run(ask())


def test_who_goes_away_takes_no_answer_along() -> None:
    async def ask() -> None:
        gate = asyncio.Event()
        answers = Recent(lambda: asyncio.wait_for(gate.wait(), 10))
        leaving, staying = (asyncio.create_task(answers.get()) for _ in range(2))
        await asyncio.sleep(0)

        leaving.cancel()
        gate.set()

        assert (await staying)[0] is True

    asyncio.run(ask())


def test_an_answer_is_kept_as_long_as_its_cost_says(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("api.recent.time", Mock(monotonic=lambda: clock[0]))
    numbers = count(1)

    async def work() -> int:
        clock[0] += 2
        return next(numbers)

    async def ask() -> None:
        answers = Recent(work)
        assert await answers.get() == (1, 40)
        clock[0] += 39
        assert await answers.get() == (1, 1)
        clock[0] += 1
        assert await answers.get() == (2, 40)

    asyncio.run(ask())
