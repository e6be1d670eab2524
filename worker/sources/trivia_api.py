"""The Trivia API, version 2."""

from typing import Any

from shared.questions import Candidate
from shared.sources import TRIVIA_API, Filters
from worker.sources import items
from worker.upstream import SourceError, Upstream

_LONGEST_ID = 100


class TriviaAPI:
    """Random questions: `GET /v2/questions?limit=N`."""

    facts = TRIVIA_API

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def fetch(self, count: int, deadline: float, filters: Filters) -> list[Candidate]:
        params: dict[str, str | int] = {"limit": min(count, TRIVIA_API.most_per_request)}
        if filters.category is not None:
            params["categories"] = filters.category.casefold()
        if filters.difficulty is not None:
            params["difficulties"] = filters.difficulty
        return self._upstream.get(params, read=_read, deadline=deadline, path="/v2/questions")


def _read(answer: Any) -> list[Candidate]:
    if not isinstance(answer, list):
        raise SourceError("sent something other than a list of questions")
    return items.usable(TRIVIA_API.name, answer, _candidate)


def _candidate(item: Any) -> Candidate | None:
    """An item, if it can be asked without its choices; if those are pictures, so is the answer."""
    match item:
        case {
            "id": str(source_id),
            "question": {"text": str(question)},
            "correctAnswer": str(answer),
        } if source_id.isprintable() and 0 < len(source_id) <= _LONGEST_ID:
            texts = items.texts(question, answer)
        case _:
            return None
    if texts is None or items.needs_choices(texts[0]):
        return None
    return Candidate(
        TRIVIA_API.name,
        source_id,
        *texts,
        items.category(item.get("category")),
        created_at=None,
        difficulty=items.difficulty(item.get("difficulty")),
    )
