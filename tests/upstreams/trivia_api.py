"""A The Trivia API of our own, version 2."""

import random
from collections.abc import Iterable
from typing import Any

from tests.upstreams.server import Behaviour, Exchange, Upstream

MOST_PER_REQUEST = 50


def make_question(number: int, text: Any = None, **other: Any) -> Any:
    """An item as it is sent."""
    return {
        "category": "film_and_tv",
        "id": f"622a1c3{number:017x}",
        "correctAnswer": "An answer",
        "incorrectAnswers": ["Another", "A third", "None"],
        "question": {"text": f"What is the question number {number}?" if text is None else text},
        "tags": ["film", "general_knowledge"],
        "type": "text_choice",
        "difficulty": "medium",
        "regions": [],
        "isNiche": False,
    } | other


def make_questions(count: int, first: int = 1, **other: Any) -> list[Any]:
    return [make_question(number, **other) for number in range(first, first + count)]


def serve(exchange: Exchange, limit: int) -> None:
    """A random choice, as the real one."""
    query = exchange.query
    fitting = [
        item
        for item in exchange.upstream.items
        if item["category"] in query.get("categories", item["category"]).split(",")
        and item["difficulty"] in query.get("difficulties", item["difficulty"]).split(",")
    ]
    exchange.reply(random.sample(fitting, min(limit, MOST_PER_REQUEST, len(fitting))))


class TriviaAPI(Upstream):
    """Serves `GET /v2/questions?limit=N`."""

    count_parameter = "limit"

    def __init__(self, items: Iterable[Any] = (), behave: Behaviour = serve) -> None:
        super().__init__(items, behave)
