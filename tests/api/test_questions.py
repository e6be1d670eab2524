"""POST /questions."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from shared.models import Question
from tests import jservice
from tests.api.problems import problem
from tests.jservice import JService, make_clue, make_clues
from tests.stack import Api, Stack, eventually


def stored_ids(stack: Stack) -> list[int]:
    with stack.database.transaction() as session:
        return list(session.scalars(select(Question.id).order_by(Question.id)))


def test_the_first_answer_is_an_empty_object(api: Api, questions: JService) -> None:
    questions.clues = make_clues(1)

    answer = api.ask_questions(1)

    assert answer.status_code == 200
    assert answer.text == "{}"


def test_the_second_answer_is_the_question_stored_before(api: Api, questions: JService) -> None:
    questions.clues = [
        make_clue(18663, "Which <i>word</i> &amp; why?", "It\\'s this"),
        make_clue(2),
    ]
    api.ask_questions(1)

    question = api.ask_questions(1).json()

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", question.pop("saved_at"))
    assert question.pop("id") > 0
    assert list(question.items()) == [
        ("question", "Which word & why?"),
        ("answer", "It's this"),
        ("created_at", "2022-12-30T18:45:16.026000Z"),
        ("source", "jservice"),
        ("source_id", "18663"),
        ("category", "in the dictionary"),
    ]


def test_the_members_are_in_the_contracts_order(api: Api, questions: JService) -> None:
    questions.clues = [*make_clues(1), make_clue(2, category=None), make_clue(3)]
    api.ask_questions(2)

    question = api.ask_questions(1).json()

    named = "id question answer created_at saved_at source source_id category"
    assert list(question) == named.split()
    assert question["category"] is None


def test_the_answer_is_the_newest_of_many(api: Api, stack: Stack, questions: JService) -> None:
    questions.clues, questions.behave = make_clues(150), jservice.serve
    api.ask_questions(120)
    newest = stored_ids(stack)[-1]

    question = api.ask_questions(30).json()

    assert question["id"] == newest
    assert len(stored_ids(stack)) == 150


@pytest.mark.parametrize(
    "count", ["1", 1.0, 1.5, True, None, 0, -1, 1001, 2**63, 2**64, 10**30, [1], {}]
)
def test_a_count_that_is_none_is_refused_and_named(api: Api, count: Any) -> None:
    answer = api.ask_questions(count)

    assert problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] == "#/questions_num"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{}", (422, "invalid-request")),
        ('{"questions": 1}', (422, "invalid-request")),
        ("1", (422, "invalid-request")),
        ("[1]", (422, "invalid-request")),
        ('{"questions_num": 1e0}', (422, "invalid-request")),
        ('{"questions_num": NaN}', (422, "invalid-request")),
        ('{"questions_num": 01}', (400, "malformed-request")),
        ('{"questions_num": }', (400, "malformed-request")),
        ("", (400, "malformed-request")),
    ],
)
def test_another_body_is_refused(api: Api, body: str, expected: tuple[int, str]) -> None:
    answer = api.post("/questions", content=body, headers={"Content-Type": "application/json"})

    assert problem(answer) == expected


def test_more_members_do_no_harm(api: Api, questions: JService) -> None:
    questions.clues = make_clues(1)

    answer = api.post("/questions", json={"questions_num": 1, "comment": "thanks"})

    assert answer.status_code == 200


def test_an_operator_may_allow_fewer(strict: Api) -> None:
    answer = strict.ask_questions(6)

    assert problem(answer) == (422, "invalid-request")
    assert "at most 5" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("category", ""),
        ("category", 7),
        ("category", "long " * 100),
        ("difficulty", "extreme"),
        ("difficulty", "Easy"),
        ("difficulty", ["easy"]),
    ],
)
def test_a_filter_that_is_none_is_refused_and_named(api: Api, name: str, value: Any) -> None:
    answer = api.post("/questions", json={"questions_num": 1, name: value})

    assert problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] == f"#/{name}"


def test_filters_that_no_source_honours_are_refused_before_a_job_is_made(
    api: Api, stack: Stack
) -> None:
    jobs = stack.rows()["jobs"]
    body = {"questions_num": 1, "category": "History", "difficulty": "easy"}

    answer = api.post("/questions", json=body)

    assert problem(answer) == (422, "invalid-request")
    assert {each["pointer"]: each["detail"] for each in answer.json()["errors"]} == {
        "#/category": "cannot be chosen with jservice, only with opentdb, trivia-api, bank",
        "#/difficulty": "cannot be chosen with jservice, only with opentdb, trivia-api",
    }
    assert stack.rows()["jobs"] == jobs


def test_no_filter_may_be_said_too(api: Api, questions: JService) -> None:
    questions.clues = make_clues(1)

    answer = api.post("/questions", json={"questions_num": 1, "category": None, "difficulty": None})

    assert answer.status_code == 200


def test_parallel_requests_make_an_unbroken_chain(
    api: Api, stack: Stack, questions: JService
) -> None:
    questions.clues, questions.behave = make_clues(400), jservice.serve

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(api.ask_questions, [10] * 20))

    ids = stored_ids(stack)
    previous = sorted(answer.json().get("id", 0) for answer in answers)
    assert {answer.status_code for answer in answers} == {200}
    assert len(ids) == 200
    assert previous == [0, *ids[9:-1:10]]


def test_too_few_new_questions_store_nothing_and_say_how_many(
    api: Api, stack: Stack, questions: JService
) -> None:
    questions.clues, questions.behave = make_clues(3), jservice.serve

    answer = api.ask_questions(5)

    assert problem(answer) == (503, "questions-exhausted")
    assert answer.json()["found"] == 3
    assert int(answer.headers["retry-after"]) > 0
    assert stored_ids(stack) == []
    assert api.ask_questions(3).status_code == 200


def test_nothing_new_is_found_zero(api: Api, questions: JService) -> None:
    questions.clues, questions.behave = make_clues(1), jservice.serve
    api.ask_questions(1)

    answer = api.ask_questions(1)

    assert problem(answer) == (503, "questions-exhausted")
    assert answer.json()["found"] == 0


@pytest.mark.parametrize("body", [jservice.PARKED, {"error": "closed"}, "null", [{"id": None}]])
def test_a_source_without_questions_is_unavailable(
    api: Api, questions: JService, body: Any
) -> None:
    questions.behave = lambda exchange, _count: exchange.reply(body)

    answer = api.ask_questions(1)

    assert problem(answer) == (503, "question-source-unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_what_went_wrong_is_over_when_the_source_is_back(api: Api, questions: JService) -> None:
    questions.behave = jservice.status(404)
    assert problem(api.ask_questions(1)) == (503, "question-source-unavailable")
    questions.clues, questions.behave = make_clues(1), jservice.serve_in_order

    assert api.ask_questions(1).status_code == 200


def test_a_client_that_goes_away_cancels_nothing(
    api: Api, stack: Stack, questions: JService
) -> None:
    questions.clues = make_clues(7)
    body = b'{"questions_num": 7}'

    with api.connect() as wire:
        wire.send_head(
            "POST /questions", "Content-Type: application/json", f"Content-Length: {len(body)}"
        )
        wire.send(body)

    eventually(lambda: len(stored_ids(stack)) == 7)


def test_curl_needs_the_content_type(api: Api) -> None:
    answer = api.post(
        "/questions",
        content='{"questions_num": 1}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert problem(answer) == (415, "unsupported-media-type")
    assert "application/json" in answer.json()["detail"]
