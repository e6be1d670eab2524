"""Where questions come from: servers that speak a trivia protocol, and the bank of our own.

A source lives as long as its process and is shared by its threads. What one job has had from it
already is the job's business (`worker/collect.py`).
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from shared.questions import Candidate
from shared.sources import KNOWN
from worker.sources.bank import Bank
from worker.sources.jservice import JService
from worker.upstream import SourceError, Upstream

__all__ = ["Bank", "JService", "QuestionSource", "SourceError", "sources_from"]


class QuestionSource(Protocol):
    """One of the places that are asked for questions. Threads share it."""

    @property
    def name(self) -> str: ...

    @property
    def most_per_request(self) -> int: ...

    def fetch(self, count: int, deadline: float) -> list[Candidate]:
        """About `count` questions, at most `most_per_request`; [] when the source has none at all.

        They may repeat what was fetched before. `deadline` is a time of `time.monotonic()`, by
        which this returns or raises.

        Raises:
            SourceError: the source failed, or what it sent cannot be used.
        """


_ON_SERVERS: Mapping[str, Callable[[Upstream], QuestionSource]] = {
    JService.name: JService,
}


def sources_from(urls: Mapping[str, str | None]) -> list[QuestionSource]:
    """The sources of these names, in this order; None stands for a source's own address."""
    return [_source(name, url or KNOWN[name].url) for name, url in urls.items()]


def _source(name: str, url: str | None) -> QuestionSource:
    return Bank() if url is None else _ON_SERVERS[name](Upstream(url))
