"""The Trivia API: what is taken from it."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from shared.questions import Candidate
from shared.sources import Filters
from tests.upstreams import server, trivia_api
from tests.upstreams.trivia_api import make_question, make_questions
from worker.sources import SourceError, TriviaAPI
from worker.upstream import Upstream

ANY = Filters()


@pytest.fixture
def upstream() -> Iterator[trivia_api.TriviaAPI]:
    with trivia_api.TriviaAPI(make_questions(120)) as upstream:
        yield upstream


@pytest.fixture
def source(upstream: trivia_api.TriviaAPI) -> Iterator[TriviaAPI]:
    with closing(Upstream(upstream.base, backoff_seconds=0.01)) as door:
        yield TriviaAPI(door)


def fetch(source: TriviaAPI, count: int = 50, filters: Filters = ANY) -> list[Candidate]:
    return source.fetch(count, time.monotonic() + 5, filters)


def test_an_item_becomes_a_candidate(source: TriviaAPI, upstream: trivia_api.TriviaAPI) -> None:
    upstream.items = [
        make_question(
            7, "Who played &#039;Amélie&#039;  in 2001?", correctAnswer="Audrey <b>Tautou</b>"
        )
    ]

    assert fetch(source) == [
        Candidate(
            source="trivia-api",
            source_id="622a1c300000000000000007",
            question="Who played 'Amélie' in 2001?",
            answer="Audrey Tautou",
            category="film_and_tv",
            created_at=None,
            difficulty="medium",
        )
    ]


@pytest.mark.parametrize(
    "item",
    [
        None,
        [],
        {},
        make_question(1) | {"id": None},
        make_question(1) | {"id": 7},
        make_question(1) | {"id": ""},
        make_question(1) | {"id": "a\x00b"},
        make_question(1) | {"id": "a" * 1000},
        make_question(1) | {"question": "What?"},
        make_question(1) | {"question": {"text": None}},
        make_question(1, ""),
        make_question(1, "Which of these is a fruit?"),
        make_question(1) | {"correctAnswer": [{"url": "https://example.org/a.svg"}]},
        make_question(1) | {"correctAnswer": " "},
    ],
    ids=repr,
)
def test_items_that_cannot_be_asked_are_skipped(
    source: TriviaAPI, upstream: trivia_api.TriviaAPI, item: Any
) -> None:
    upstream.behave = server.serve_always([item, make_question(2)])

    assert [candidate.question for candidate in fetch(source)] == ["What is the question number 2?"]


@pytest.mark.parametrize("other", [None, 7, [], "extreme"])
def test_what_it_does_not_tell_is_left_out(
    source: TriviaAPI, upstream: trivia_api.TriviaAPI, other: Any
) -> None:
    category = other if other != "extreme" else None
    upstream.behave = server.serve_always([make_question(1, difficulty=other, category=category)])

    (candidate,) = fetch(source)

    assert (candidate.difficulty, candidate.category) == (None, None)


def test_a_request_asks_for_fifty_at_most(
    source: TriviaAPI, upstream: trivia_api.TriviaAPI
) -> None:
    assert len(fetch(source, 1000)) == 50
    assert upstream.counts == [50]


def test_answers_without_a_usable_item_are_a_failure(
    source: TriviaAPI, upstream: trivia_api.TriviaAPI
) -> None:
    upstream.behave = server.serve_always([{}, 3])

    with pytest.raises(SourceError, match="nothing usable"):
        fetch(source)


def test_filters_are_passed_on(source: TriviaAPI, upstream: trivia_api.TriviaAPI) -> None:
    upstream.items = [
        *make_questions(10),
        *make_questions(10, 11, category="science"),
        *make_questions(10, 21, category="science", difficulty="easy"),
    ]

    batch = fetch(source, 50, Filters("Science", "easy"))

    assert {(each.category, each.difficulty) for each in batch} == {("science", "easy")}
    assert len(batch) == 10
