"""A jService of our own that misbehaves on demand."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

from tests.upstreams.server import (
    PARKED,
    Behaviour,
    Exchange,
    Upstream,
    break_off,
    drip_body,
    drip_chunk_size,
    drip_head,
    hang,
    hang_up,
    in_turn,
    redirect,
    serve_always,
    status,
)

__all__ = [
    "PARKED",
    "Behaviour",
    "Exchange",
    "JService",
    "break_off",
    "drip_body",
    "drip_chunk_size",
    "drip_head",
    "hang",
    "hang_up",
    "in_turn",
    "make_clue",
    "make_clues",
    "redirect",
    "serve",
    "serve_after",
    "serve_always",
    "serve_in_order",
    "status",
]

MOST_PER_REQUEST = 100


def make_clue(number: int, question: Any = None, answer: Any = "An answer", **other: Any) -> Any:
    """An item as jService sends it; `other` replaces further members."""
    return {
        "id": number,
        "answer": answer,
        "question": f"What is the question number {number}?" if question is None else question,
        "value": 200,
        "airdate": "2010-07-06T19:00:00.000Z",
        "created_at": "2022-12-30T18:45:16.026Z",
        "updated_at": "2022-12-30T18:45:16.026Z",
        "category_id": 7,
        "game_id": None,
        "invalid_count": None,
        "category": {
            "id": 7,
            "title": "in the dictionary",
            "created_at": "2022-12-30T18:45:15.000Z",
            "updated_at": "2022-12-30T18:45:15.000Z",
            "clues_count": 5,
        },
    } | other


def make_clues(count: int, first: int = 1) -> list[Any]:
    return [make_clue(number) for number in range(first, first + count)]


def serve(exchange: Exchange, count: int) -> None:
    """A random choice, as the real one."""
    clues = exchange.upstream.items
    exchange.reply(random.sample(clues, min(count, MOST_PER_REQUEST, len(clues))))


def serve_in_order(exchange: Exchange, count: int) -> None:
    """The clues one after the other, none of them twice, until there are no more."""
    jservice = exchange.upstream
    with jservice.lock:
        size = min(count, MOST_PER_REQUEST)
        clues, jservice.items = jservice.items[:size], jservice.items[size:]
    exchange.reply(clues)


def serve_after(seconds: float) -> Behaviour:
    def behave(exchange: Exchange, count: int) -> None:
        exchange.pause(seconds)
        serve(exchange, count)

    return behave


class JService(Upstream):
    """Serves its clues as `GET /api/random?count=N`."""

    count_parameter = "count"

    def __init__(self, clues: Iterable[Any] = (), behave: Behaviour = serve) -> None:
        super().__init__(clues, behave)

    @property
    def clues(self) -> Sequence[Any]:
        return self.items

    @clues.setter
    def clues(self, clues: Sequence[Any]) -> None:
        self.items = clues

    @property
    def url(self) -> str:
        return f"{self.base}/api/random"
