"""Answers that cost much, kept for a while and worked out once for all who ask meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

REST = 20
"""How many times as long as it took an answer is kept: whoever asks how often, the database spends
no more than a twentieth of one core on it. And an answer that comes at once is always new."""


class Recent(Generic[T]):
    """What `work` last said."""

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._good_until = 0.0

    async def get(self) -> tuple[T, float]:
        """The answer, and for how many seconds it will be kept. Raises: what `work` raises.

        All who wait for it fail with it, and the next one has it tried again.
        """
        if self._task is None or (self._task.done() and time.monotonic() >= self._good_until):
            self._task = asyncio.create_task(self._run())
        # One who stops waiting does not stop it for the others.
        answer = await asyncio.shield(self._task)
        return answer, max(0.0, self._good_until - time.monotonic())

    async def _run(self) -> T:
        begun = time.monotonic()
        answer = await self._work()
        now = time.monotonic()
        self._good_until = now + REST * (now - begun)
        return answer
