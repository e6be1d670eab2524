"""Where questions come from: servers that speak a trivia protocol, and the bank of our own.

A source lives as long as its process and is shared by its threads. What one job has had from it
already is the job's business (`worker/collect.py`).
"""

import csv
import functools
import importlib.resources
import io
import logging
import random
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from shared.questions import Candidate, clean
from worker.upstream import BACKOFF_SECONDS, RESPONSE_SECONDS, SourceError, Upstream

__all__ = ["Bank", "JService", "QuestionSource", "SourceError", "sources_from"]

JSERVICE_URL = "https://jservice.io/api/random"

LONGEST_TEXT = 4000
"""Characters. No quiz question comes near; what is longer is a mistake or an attack."""

_UNUSABLE_ANSWERS = 3
"""So many answers in a row without one usable item count as a failure. One such answer is bad
luck when a single question was asked for."""

# Clues that make no sense without their picture, sound or film.
_NEEDS_MEDIA = re.compile(
    r"""\b (?:seen|heard|shown|pictured) \s+ here \b
      | \b (?:audio|video|picture) \s+ clue \b
      | \b href \s* = [^>]* \. (?:jpe?g|png|gif|mp3|wav|wmv|mp4) \b""",
    re.IGNORECASE | re.VERBOSE,
)

log = logging.getLogger(__name__)


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


class JService:
    """The protocol of jservice.io, which closed in 2023; self-hosted servers speak it still."""

    name = "jservice"
    most_per_request = 100

    def __init__(
        self,
        url: str | None = None,
        *,
        response_seconds: float = RESPONSE_SECONDS,
        backoff_seconds: float = BACKOFF_SECONDS,
    ) -> None:
        self._upstream = Upstream(
            url or JSERVICE_URL,
            response_seconds=response_seconds,
            backoff_seconds=backoff_seconds,
        )

    def close(self) -> None:
        """Close the connections that are kept for the next request."""
        self._upstream.close()

    def fetch(self, count: int, deadline: float) -> list[Candidate]:
        params = {"count": min(count, self.most_per_request)}
        for _ in range(_UNUSABLE_ANSWERS):
            items = self._upstream.get(params, deadline=deadline)
            if not isinstance(items, list):
                raise SourceError("sent something other than a list of questions")
            usable = [candidate for item in items if (candidate := _clue(item))]
            log.debug("%d of %d items from jservice are usable", len(usable), len(items))
            if usable or not items:
                return usable
        raise SourceError("sent nothing usable")


def _clue(item: Any) -> Candidate | None:
    """An item of jService's answer, if it can be asked; anything but its id may be null."""
    match item:
        case {"id": number, "question": str(question), "answer": str(answer)} if (
            _is_id(number) and max(len(question), len(answer)) <= LONGEST_TEXT
        ):
            texts = clean(question), clean(answer)
        case _:
            return None
    if not all(texts) or _NEEDS_MEDIA.search(question) or _NEEDS_MEDIA.search(texts[0]):
        return None
    return Candidate(
        JService.name, str(number), *texts, _category(item), _moment(item.get("created_at"))
    )


def _is_id(number: Any) -> bool:
    """A bool is an int to Python, and no index has room for a number of a thousand digits."""
    return type(number) is int and 0 <= number < 1 << 63


def _category(item: Mapping[str, Any]) -> str | None:
    match item:
        case {"category": {"title": str(title)}} if len(title) <= LONGEST_TEXT:
            return clean(title) or None
        case _:
            return None


def _moment(value: Any) -> datetime | None:
    """A time in ISO 8601, taken as UTC when it names no zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


class Bank:
    """The questions that come with the package. It never fails, and it ends."""

    name = "bank"
    most_per_request = 10_000
    """More than there are: one request for the most brings all, so a job that wants what others
    have left finds it."""

    def fetch(self, count: int, deadline: float) -> list[Candidate]:  # noqa: ARG002
        """A random choice, so that jobs at work side by side rarely get the same."""
        candidates = _bank()
        return random.sample(candidates, min(count, len(candidates)))


@functools.cache
def _bank() -> tuple[Candidate, ...]:
    text = (importlib.resources.files("worker") / "bank.csv").read_text("utf-8")
    return tuple(
        Candidate(
            Bank.name,
            row["id"],
            row["question"],
            row["answer"],
            row["category"] or None,
            created_at=None,
        )
        for row in csv.DictReader(io.StringIO(text))
    )


_KINDS: Mapping[str, Callable[[str | None], QuestionSource]] = {
    JService.name: JService,
    Bank.name: lambda _url: Bank(),
}


def sources_from(urls: Mapping[str, str | None]) -> list[QuestionSource]:
    """The sources of these names, in this order; None stands for a source's own address."""
    return [_KINDS[name](url) for name, url in urls.items()]
