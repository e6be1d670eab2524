"""Where questions come from: servers that speak a trivia protocol, and the bank of our own.

A source lives as long as its process and is shared by its threads. What one job has had from it
already is the job's business (`worker/collect.py`).
"""

import ipaddress
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from shared import sources
from shared.questions import Candidate
from shared.sources import Facts, Filters
from worker.board import Board
from worker.sources.bank import Bank
from worker.sources.jservice import JService
from worker.sources.opentdb import OpenTDB
from worker.sources.trivia_api import TriviaAPI
from worker.turns import Turns
from worker.upstream import SourceError, Upstream

__all__ = [
    "Bank",
    "JService",
    "OpenTDB",
    "QuestionSource",
    "SourceError",
    "TriviaAPI",
    "sources_from",
]


class QuestionSource(Protocol):
    """One of the places that are asked for questions. Threads share it."""

    @property
    def facts(self) -> Facts: ...

    def fetch(self, count: int, deadline: float, filters: Filters) -> list[Candidate]:
        """About `count` questions, no more than its facts allow; [] when it has none at all.

        They may repeat what was fetched before. The filters are some that the source honours; not
        every question need fit them. `deadline` is a time of `time.monotonic()`, by which this
        returns or raises.

        Raises:
            SourceBusy: the source is well, and may not be asked again before the deadline.
            SourceError: the source failed, or what it sent cannot be used.
        """


def sources_from(urls: Mapping[str, str | None], board: Board) -> list[QuestionSource]:
    """The sources of these names, in this order; None stands for a source's own address."""
    return [_source(sources.KNOWN[name], url, board) for name, url in urls.items()]


def _source(facts: Facts, url: str | None, board: Board) -> QuestionSource:
    url = (url or facts.url or "").rstrip("/")
    turns = _turns(facts, url, board)
    match facts:
        case sources.JSERVICE:
            return JService(Upstream(url, turns=turns))
        case sources.OPENTDB:
            return OpenTDB(Upstream(url.removesuffix("/api.php"), turns=turns), board)
        case sources.TRIVIA_API:
            return TriviaAPI(Upstream(url.removesuffix("/v2/questions"), turns=turns))
        case _:
            return Bank()


def _turns(facts: Facts, url: str, board: Board) -> Turns | None:
    """None for a server of the operator's own, on this machine: it has nobody else to serve."""
    if facts.limit is None or (facts.is_self_hosted and _is_here(url)):
        return None
    return Turns(facts.name, facts.limit, board)


def _is_here(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
