"""Sources that failed a moment ago and are passed over: where that is noted, and who reads it.

The workers write it (`worker/breaker.py`); the API shows it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from redis import Redis

from shared import signals


class Outage(NamedTuple):
    """Why a source is being passed over, and for how long still."""

    reason: str
    seconds: int


def key(source: str) -> str:
    """Holds the reason, for as long as the outage lasts."""
    return f"quaver:source:{source}:open"


def noted(client: Redis, sources: Iterable[str]) -> dict[str, Outage]:
    """Those of the sources that are being passed over. Raises: RedisError."""
    names = list(sources)
    with client.pipeline(transaction=False) as pipeline:
        return _found(names, _asking(pipeline, names).execute())


async def read(url: str, sources: Iterable[str]) -> dict[str, Outage]:
    """The same, without holding up an event loop. Raises: RedisError."""
    names = list(sources)
    async with (
        signals.connected(url) as client,
        client.pipeline(transaction=False) as pipeline,
    ):
        return _found(names, await _asking(pipeline, names).execute())


def _asking(pipeline: Any, names: Sequence[str]) -> Any:
    for name in names:
        pipeline.get(key(name))
        pipeline.pttl(key(name))
    return pipeline


def _found(names: Sequence[str], replies: Sequence[Any]) -> dict[str, Outage]:
    return {
        name: Outage(reason.decode(), max(1, -(-milliseconds // 1000)))
        for name, reason, milliseconds in zip(names, replies[::2], replies[1::2], strict=True)
        if reason is not None
    }
