"""The protocol of jservice.io, which closed in 2023; self-hosted servers speak it still."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.questions import Candidate
from shared.sources import JSERVICE, Filters
from worker.sources import items
from worker.upstream import SourceError, Upstream


class JService:
    """Random clues: `GET /api/random?count=N`."""

    facts = JSERVICE

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def fetch(self, count: int, deadline: float, filters: Filters) -> list[Candidate]:  # noqa: ARG002
        params = {"count": min(count, JSERVICE.most_per_request)}
        return self._upstream.get(params, read=_clues, deadline=deadline)


def _clues(answer: Any) -> list[Candidate]:
    if not isinstance(answer, list):
        raise SourceError("sent something other than a list of questions")
    return items.usable(JSERVICE.name, answer, _clue)


def _clue(item: Any) -> Candidate | None:
    """An item, if it can be asked; anything but its id may be null.

    Its value in dollars is no difficulty: it doubled in 2001, and differs from round to round.
    """
    match item:
        case {"id": number, "question": str(question), "answer": str(answer)} if _is_id(number):
            texts = items.texts(question, answer)
        case _:
            return None
    if texts is None:
        return None
    return Candidate(
        JSERVICE.name, str(number), *texts, _category(item), _moment(item.get("created_at"))
    )


def _is_id(number: Any) -> bool:
    """A bool is an int to Python, and no index has room for a number of a thousand digits."""
    return type(number) is int and 0 <= number < 1 << 63


def _category(item: Mapping[str, Any]) -> str | None:
    match item:
        case {"category": {"title": title}}:
            return items.category(title)
        case _:
            return None


def _moment(value: Any) -> datetime | None:
    """A time in ISO 8601, taken as UTC when it names no zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
