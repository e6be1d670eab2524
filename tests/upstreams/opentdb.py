"""An Open Trivia Database of our own, with session tokens and without patience.

::

    with OpenTDB(make_questions(200), interval_seconds=0.2) as opentdb:
        ...
        assert opentdb.codes == [0, 5, 0]
"""

import random
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

from shared.sources import OPENTDB
from tests.upstreams.server import Behaviour, Exchange, Upstream

MOST_PER_REQUEST = 50
IDS = {name: number for number, name in enumerate(OPENTDB.categories, start=9)}


def make_question(number: int, **other: Any) -> Any:
    """An item as it is kept; it is encoded when it is sent."""
    return {
        "type": "multiple",
        "difficulty": "easy",
        "category": "Science & Nature",
        "question": f"What is the question number {number}?",
        "correct_answer": "An answer",
        "incorrect_answers": ["Another", "A third", "None"],
    } | other


def make_questions(count: int, first: int = 1, **other: Any) -> list[Any]:
    return [make_question(number, **other) for number in range(first, first + count)]


def encoded(item: Any) -> Any:
    """As `encode=url3986` has it."""
    if isinstance(item, dict):
        return {name: encoded(value) for name, value in item.items()}
    if isinstance(item, list):
        return [encoded(each) for each in item]
    return quote(item, safe="-_.~") if isinstance(item, str) else item


def answer(*items: Any) -> dict[str, Any]:
    """The whole of an answer with these items."""
    return {"response_code": 0, "results": [encoded(item) for item in items]}


def serve(exchange: Exchange, amount: int) -> None:
    """As the real one, which counts any request."""
    opentdb = exchange.upstream
    assert isinstance(opentdb, OpenTDB)
    with opentdb.lock:
        body = opentdb.respond(urlsplit(exchange.path).path, exchange.query, amount)
        opentdb.codes.append(body["response_code"])
    exchange.reply(body, status=429 if body["response_code"] == 5 else 200)


def code(number: int) -> Behaviour:
    """Nothing but this response code."""
    return lambda exchange, _amount: exchange.reply({"response_code": number, "results": []})


def except_for_tokens(behave: Behaviour) -> Behaviour:
    """This, and tokens all the same."""
    return lambda exchange, amount: (serve if exchange.path.startswith("/api_token") else behave)(
        exchange, amount
    )


class OpenTDB(Upstream):
    """Serves `GET /api.php` and `/api_token.php`, once in an interval."""

    count_parameter = "amount"

    def __init__(
        self,
        items: Iterable[Any] = (),
        behave: Behaviour = serve,
        *,
        interval_seconds: float = 0,
    ) -> None:
        super().__init__(items, behave)
        self.interval_seconds = interval_seconds
        self.codes: list[int] = []
        """The response codes of all answers so far."""
        self.tokens: dict[str, set[str]] = {}
        """The questions that were given for each token."""
        self._next = 0.0

    def respond(self, path: str, query: dict[str, str], amount: int) -> dict[str, Any]:
        now = time.monotonic()
        if now < self._next:
            return {"response_code": 5, "results": []}
        self._next = now + self.interval_seconds
        if path == "/api_token.php":
            return self._token(query)
        return self._questions(query, amount)

    def _token(self, query: dict[str, str]) -> dict[str, Any]:
        match query:
            case {"command": "request"}:
                token = uuid4().hex * 2
            case {"command": "reset", "token": token} if token in self.tokens:
                pass
            case _:
                return {"response_code": 3, "response_message": "Token Not Found!", "results": []}
        self.tokens[token] = set()
        return {"response_code": 0, "token": token}

    def _questions(self, query: dict[str, str], amount: int) -> dict[str, Any]:
        given = self.tokens.get(query["token"]) if "token" in query else set()
        fitting = [item for item in self.items if self._fits(item, query)]
        if given is None:
            return {"response_code": 3, "results": []}
        if not 1 <= amount <= MOST_PER_REQUEST or query.get("encode") != "url3986":
            return {"response_code": 2, "results": []}
        if len(fitting) < amount:
            return {"response_code": 1, "results": []}
        fresh = [item for item in fitting if item["question"] not in given]
        if len(fresh) < amount:
            return {"response_code": 4, "results": []}
        chosen = random.sample(fresh, amount)
        given.update(item["question"] for item in chosen)
        return answer(*chosen)

    def _fits(self, item: Any, query: dict[str, str]) -> bool:
        return (
            query.get("category") in {None, str(IDS.get(item["category"]))}
            and query.get("difficulty") in {None, item["difficulty"]}
            and query.get("type") in {None, item["type"]}
        )
