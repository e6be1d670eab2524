"""The Open Trivia Database: what is taken from it, and how its token and its codes are kept."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from launcher import ports
from shared import signals
from shared.questions import Candidate, text_key
from shared.sources import Filters, Limit
from tests.upstreams import opentdb, server
from tests.upstreams.opentdb import make_question, make_questions
from worker.board import Board
from worker.sources import OpenTDB, SourceError, sources_from
from worker.turns import MARGIN_SECONDS, Turns
from worker.upstream import SourceBusy, Upstream

ANY = Filters()
NONE_THERE = f"redis://127.0.0.1:{ports.free()}"


@pytest.fixture
def upstream() -> Iterator[opentdb.OpenTDB]:
    with opentdb.OpenTDB(make_questions(120)) as upstream:
        yield upstream


@pytest.fixture
def board(redis_url: str) -> Iterator[Board]:
    client = signals.connect(redis_url)
    yield Board(client)
    client.close()


@pytest.fixture
def source(upstream: opentdb.OpenTDB, board: Board) -> Iterator[OpenTDB]:
    with closing(Upstream(upstream.base, backoff_seconds=0.01)) as door:
        yield OpenTDB(door, board)


def soon(seconds: float = 5) -> float:
    return time.monotonic() + seconds


def fetch(source: OpenTDB, count: int = 50, filters: Filters = ANY) -> list[Candidate]:
    return source.fetch(count, soon(), filters)


def steps(upstream: opentdb.OpenTDB) -> list[str]:
    """What was asked for, one after the other."""
    return [urlsplit(path).path.strip("/").removesuffix(".php") for path in upstream.paths]


def test_an_item_becomes_a_candidate(source: OpenTDB, upstream: opentdb.OpenTDB) -> None:
    upstream.items = [
        make_question(
            1,
            question="Who wrote &quot;Les Mis&eacute;rables&quot;, 100% — or <i>nobody</i>?",
            correct_answer="Victor Hugo & Söhne",
            category="Entertainment: Musicals &amp; Theatres",
            difficulty="hard",
        )
    ]

    question = 'Who wrote "Les Misérables", 100% — or nobody?'
    assert fetch(source, 1) == [
        Candidate(
            source="opentdb",
            source_id=text_key(question).hex(),
            question=question,
            answer="Victor Hugo & Söhne",
            category="Entertainment: Musicals & Theatres",
            created_at=None,
            difficulty="hard",
        )
    ]


def test_a_question_keeps_its_id_in_another_spelling(
    source: OpenTDB, upstream: opentdb.OpenTDB
) -> None:
    upstream.items = [make_question(1, question="Who  wrote &quot;Hamlet&quot;?")]
    (first,) = fetch(source, 1)
    upstream.items = [make_question(1, question="who wrote “Hamlet”?")]
    (second,) = fetch(source, 1)

    assert first.source_id == second.source_id


@pytest.mark.parametrize(
    "item",
    [
        None,
        [],
        {},
        make_question(1, type="boolean", question="The sun is a star.", correct_answer="True"),
        make_question(1, question=None),
        make_question(1, question=""),
        make_question(1, correct_answer=7),
        make_question(1, correct_answer=["Two", "answers"]),
        make_question(1, question="Which of these is a fruit?"),
        make_question(1, question="Which of the following is NOT a fruit?"),
        make_question(1, question="Which one of the following&nbsp;planets is the largest?"),
        make_question(1, question="Of these cities, which has the most inhabitants?"),
        make_question(1, question="Which country is not a member of the EU?"),
        make_question(1, question="Which actor hasn&#039;t played James Bond?"),
        make_question(1, question="Which statement about the sun is true?"),
        make_question(1, question="Which bird is the odd one out?"),
        make_question(1, question="The bird seen here"),
        make_question(1, question="long " * 1000),
    ],
    ids=repr,
)
def test_items_that_cannot_be_asked_are_skipped(
    source: OpenTDB, upstream: opentdb.OpenTDB, item: Any
) -> None:
    body = opentdb.answer(item, make_question(2))
    upstream.behave = opentdb.except_for_tokens(server.serve_always(body))

    assert [candidate.question for candidate in fetch(source)] == ["What is the question number 2?"]


def test_what_is_no_utf_8_is_skipped(source: OpenTDB, upstream: opentdb.OpenTDB) -> None:
    body = opentdb.answer(make_question(1), make_question(2), make_question(3))
    body["results"][0]["question"] = "%FF%FE"
    body["results"][1]["category"] = "%C3"
    upstream.behave = opentdb.except_for_tokens(server.serve_always(body))

    second, third = fetch(source)

    assert (second.category, third.category) == (None, "Science & Nature")


@pytest.mark.parametrize(
    "question",
    [
        "Which planet is the only one that does not have a magnetic field?",
        "Which band sang 'I Can See for Miles'?",
        "Complete the following lyrics: 'Hello darkness …'",
        "What is the Latin word for 'nothing'?",
        "These islands belong to which country?",
    ],
)
def test_questions_that_need_no_choices_are_kept(
    source: OpenTDB, upstream: opentdb.OpenTDB, question: str
) -> None:
    upstream.items = [make_question(1, question=question)]

    assert [candidate.question for candidate in fetch(source, 1)] == [question]


@pytest.mark.parametrize(
    "body",
    [
        {"response_code": "0", "results": []},
        {"response_code": 6, "results": []},
        {"response_code": -1},
        {"response_code": 0, "results": {}},
        {"response_code": 0},
        {"results": []},
        opentdb.answer(None, 7),
        {"response_code": 2, "results": []},
    ],
)
def test_another_answer_is_an_error(source: OpenTDB, upstream: opentdb.OpenTDB, body: Any) -> None:
    upstream.behave = opentdb.except_for_tokens(server.serve_always(body))

    with pytest.raises(SourceError):
        fetch(source)


@pytest.mark.parametrize("token", [None, 7, "", "a b", "f" * 300, "../x"])
def test_a_token_that_is_none_is_an_error(
    source: OpenTDB, upstream: opentdb.OpenTDB, token: Any
) -> None:
    upstream.behave = server.serve_always({"response_code": 0, "token": token})

    with pytest.raises(SourceError, match="gave no session token"):
        fetch(source)


def test_a_request_asks_for_fifty_at_most(source: OpenTDB, upstream: opentdb.OpenTDB) -> None:
    few, many = fetch(source, 3), fetch(source, 1000)

    assert (len(few), len(many)) == (3, 50)
    assert steps(upstream) == ["api_token", "api", "api"]


def test_workers_share_a_token_and_so_get_different_questions(
    source: OpenTDB, upstream: opentdb.OpenTDB, board: Board
) -> None:
    with closing(Upstream(upstream.base)) as door:
        batches = [fetch(source), fetch(OpenTDB(door, board))]

    assert len(upstream.tokens) == 1
    assert len({each.source_id for batch in batches for each in batch}) == 100


def test_without_redis_a_process_keeps_its_token(upstream: opentdb.OpenTDB) -> None:
    client = signals.connect(NONE_THERE)
    with closing(Upstream(upstream.base)) as door, closing(client):
        source = OpenTDB(door, Board(client))
        fetch(source)
        fetch(source)

    assert steps(upstream) == ["api_token", "api", "api"]


def test_a_forgotten_token_is_replaced(source: OpenTDB, upstream: opentdb.OpenTDB) -> None:
    fetch(source)
    upstream.tokens.clear()

    assert len(fetch(source)) == 50
    assert upstream.codes == [0, 0, 3, 0, 0]


def test_a_used_up_token_is_reset_since_what_it_gave_need_not_be_stored(
    source: OpenTDB, upstream: opentdb.OpenTDB
) -> None:
    upstream.items = make_questions(60)
    first, second = fetch(source), fetch(source)

    assert (len(first), len(second)) == (50, 50)
    assert upstream.codes == [0, 0, 4, 0, 0]
    assert len(upstream.tokens) == 1


def test_where_there_are_fewer_fewer_are_asked_for_from_then_on(
    source: OpenTDB, upstream: opentdb.OpenTDB
) -> None:
    upstream.items = make_questions(20)
    first = fetch(source)
    upstream.counts.clear()
    second = fetch(source)

    assert (len(first), len(second)) == (12, 12)
    assert upstream.counts == [12, 1, 12]  # Used up, reset, and the same twelve and others.


def test_an_empty_database_has_no_more(source: OpenTDB, upstream: opentdb.OpenTDB) -> None:
    upstream.items = []

    assert fetch(source) == []


def test_a_server_that_forgets_its_own_tokens_is_an_error(
    source: OpenTDB, upstream: opentdb.OpenTDB
) -> None:
    upstream.behave = opentdb.except_for_tokens(opentdb.code(3))

    with pytest.raises(SourceError, match="forgets its own"):
        fetch(source)

    assert len(upstream.counts) < 20


@pytest.mark.parametrize("too_fast", [opentdb.code(5), server.status(429)])
def test_too_fast_means_once_more_in_a_while(
    source: OpenTDB, upstream: opentdb.OpenTDB, too_fast: server.Behaviour
) -> None:
    upstream.behave = server.in_turn(opentdb.serve, too_fast, opentdb.serve)

    assert len(fetch(source)) == 50


def test_all_requests_take_turns(upstream: opentdb.OpenTDB, board: Board) -> None:
    upstream.interval_seconds = 0.3
    turns = Turns("opentdb", Limit(1, 0.35 - MARGIN_SECONDS), board)
    with closing(Upstream(upstream.base, turns=turns)) as door:
        fetch(OpenTDB(door, board))
        fetch(OpenTDB(door, board))

    assert upstream.codes == [0, 0, 0]


def test_a_turn_that_comes_too_late_is_not_waited_for(
    upstream: opentdb.OpenTDB, board: Board
) -> None:
    turns = Turns("opentdb", Limit(1, 5), board)
    with closing(Upstream(upstream.base, turns=turns)) as door:
        source, started = OpenTDB(door, board), time.monotonic()
        with pytest.raises(SourceBusy) as caught:
            source.fetch(10, soon(4), ANY)

    assert time.monotonic() - started < 2
    assert caught.value.retry_after_seconds == 6
    assert steps(upstream) == ["api_token"]


@pytest.mark.parametrize("failure", [server.status(503), server.hang_up])
def test_a_failure_is_not_worth_waiting_for_the_next_turn(
    upstream: opentdb.OpenTDB, board: Board, failure: server.Behaviour
) -> None:
    upstream.behave = failure
    turns, started = Turns("opentdb", Limit(1, 5), board), time.monotonic()

    with (
        closing(Upstream(upstream.base, turns=turns, backoff_seconds=0.01)) as door,
        pytest.raises(SourceError) as caught,
    ):
        OpenTDB(door, board).fetch(10, soon(20), ANY)

    assert not isinstance(caught.value, SourceBusy)
    assert time.monotonic() - started < 4


def test_who_was_too_fast_waits_for_the_next_turn(
    upstream: opentdb.OpenTDB, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("worker.upstream.time.sleep", pauses.append)
    upstream.behave = server.in_turn(opentdb.code(5), opentdb.serve)
    turns = Turns("opentdb", Limit(1, 5), board)

    with closing(Upstream(upstream.base, turns=turns, backoff_seconds=0.01)) as door:
        OpenTDB(door, board).fetch(10, soon(20), ANY)

    assert [round(pause) for pause in pauses if pause > 1] == [5, 11]


def test_filters_are_passed_on(source: OpenTDB, upstream: opentdb.OpenTDB) -> None:
    upstream.items = [
        *make_questions(10),
        *make_questions(10, 11, category="History"),
        *make_questions(10, 21, category="History", difficulty="hard"),
    ]

    batch = fetch(source, 10, Filters("history", "hard"))

    assert {(each.category, each.difficulty) for each in batch} == {("History", "hard")}


@pytest.mark.parametrize("path", ["", "/", "/api.php"])
def test_the_address_may_be_given_with_or_without_its_path(
    upstream: opentdb.OpenTDB, board: Board, path: str
) -> None:
    (source,) = sources_from({"opentdb": upstream.base + path}, board)
    with pytest.raises(SourceBusy):
        source.fetch(1, soon(2), ANY)

    assert steps(upstream) == ["api_token"]
