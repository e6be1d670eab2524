"""The sources of questions: what they take from a server, and how they bear a bad one."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from shared import questions
from shared.questions import Candidate
from shared.sources import BANK, Filters
from tests import jservice
from tests.jservice import make_clue, make_clues
from worker.sources import Bank, JService, SourceError
from worker.upstream import Upstream

PATIENCE_SECONDS = 0.3
ANY = Filters()


@pytest.fixture
def server() -> Iterator[jservice.JService]:
    with jservice.JService(make_clues(500)) as server:
        yield server


@pytest.fixture
def source(server: jservice.JService) -> Iterator[JService]:
    """One that is impatient."""
    with closing(
        Upstream(server.url, response_seconds=PATIENCE_SECONDS, backoff_seconds=0.01)
    ) as upstream:
        yield JService(upstream)


def soon() -> float:
    return time.monotonic() + 5


def fetch_items(source: JService, server: jservice.JService, *items: Any) -> list[Candidate]:
    server.behave = jservice.serve_always(list(items))
    return source.fetch(100, soon(), ANY)


def test_a_clue_becomes_a_candidate(source: JService, server: jservice.JService) -> None:
    clue = make_clue(
        18663,
        question=r"Ham\'s &amp;quot;brother&amp;quot;",
        answer="<i>Shem</i> &amp; Japheth",
        category={"id": 7, "title": "in the\u00a0dictionary"},
    )

    assert fetch_items(source, server, clue) == [
        Candidate(
            source="jservice",
            source_id="18663",
            question='Ham\'s "brother"',
            answer="Shem & Japheth",
            category="in the dictionary",
            created_at=datetime(2022, 12, 30, 18, 45, 16, 26_000, tzinfo=UTC),
        )
    ]


def test_a_request_asks_for_a_hundred_at_most(source: JService, server: jservice.JService) -> None:
    some, many = source.fetch(3, soon(), ANY), source.fetch(1000, soon(), ANY)

    assert server.counts == [3, 100]
    assert (len(some), len(many)) == (3, 100)


@pytest.mark.parametrize(
    "item",
    [
        None,
        17,
        "text",
        [],
        {},
        make_clue(1) | {"question": None},
        make_clue(1) | {"answer": None},
        make_clue(1) | {"id": None},
        make_clue(1) | {"id": True},
        make_clue(1) | {"id": "1"},
        make_clue(1) | {"id": 1.5},
        make_clue(1) | {"id": -1},
        make_clue(1) | {"id": 10**300},
        make_clue(1, question=["a", "list"]),
        make_clue(1, answer=1984),
        make_clue(1, question=""),
        make_clue(1, answer=" <br> "),
        make_clue(1, question="\x00\ud800"),
        make_clue(1, question="The bird seen here"),
        make_clue(1, question="The instrument <i>heard</i>&nbsp;here"),
        make_clue(1, question="[audio clue]"),
        make_clue(1, question='<a href="http://x.org/media/1.JPG">This</a> bird'),
        make_clue(1, question="long " * 1000),
    ],
    ids=repr,
)
def test_items_that_cannot_be_asked_are_skipped(
    source: JService, server: jservice.JService, item: Any
) -> None:
    usable = fetch_items(source, server, item, make_clue(2))

    assert [candidate.source_id for candidate in usable] == ["2"]


@pytest.mark.parametrize(
    "category", [None, {}, "text", [], {"title": None}, {"title": 3}, {"title": " <br> "}]
)
def test_a_question_needs_no_category(
    source: JService, server: jservice.JService, category: Any
) -> None:
    (candidate,) = fetch_items(source, server, make_clue(1, category=category))

    assert candidate.category is None


@pytest.mark.parametrize(
    ("sent", "understood"),
    [
        (None, None),
        (1672425916, None),
        ("yesterday", None),
        ("2022-13-30T18:45:16.026Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("2012-03-04T05:06:07", datetime(2012, 3, 4, 5, 6, 7, tzinfo=UTC)),
        ("2012-03-04T05:06:07+02:00", datetime(2012, 3, 4, 3, 6, 7, tzinfo=UTC)),
    ],
)
def test_a_date_is_understood_or_left_out(
    source: JService, server: jservice.JService, sent: Any, understood: datetime | None
) -> None:
    (candidate,) = fetch_items(source, server, make_clue(1, created_at=sent))

    assert candidate.created_at == understood


def test_a_compressed_answer_is_read(source: JService, server: jservice.JService) -> None:
    body = gzip.compress(json.dumps(make_clues(50)).encode())
    server.behave = jservice.serve_always(body, content_encoding="gzip")

    assert len(source.fetch(50, soon(), ANY)) == 50


def test_after_the_deadline_nobody_is_asked(source: JService, server: jservice.JService) -> None:
    with pytest.raises(SourceError, match="did not answer in time"):
        source.fetch(10, time.monotonic() - 1, ANY)

    assert server.counts == []


def test_a_resolver_that_is_away_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def look_up(*_: Any, **__: Any) -> Any:
        over.wait(20)
        raise socket.gaierror

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    started = time.monotonic()

    with closing(Upstream("http://somewhere.example/")) as upstream:
        with pytest.raises(SourceError, match="did not answer in time"):
            JService(upstream).fetch(10, started + 0.2, ANY)
        assert 0.2 <= time.monotonic() - started < 2
    over.set()


def test_a_name_that_is_unknown_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror

    monkeypatch.setattr("socket.getaddrinfo", look_up)

    with (
        closing(Upstream("http://somewhere.example/", backoff_seconds=0.01)) as upstream,
        pytest.raises(SourceError, match="could not be reached"),
    ):
        JService(upstream).fetch(10, soon(), ANY)


def test_a_server_that_is_not_there_is_an_error() -> None:
    with jservice.JService() as gone:
        url = gone.url

    with (
        closing(Upstream(url, backoff_seconds=0.01)) as upstream,
        pytest.raises(SourceError, match="could not be reached"),
    ):
        JService(upstream).fetch(10, soon(), ANY)


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/", "http://", "http://[::1/"])
def test_an_address_that_cannot_be_asked_is_an_error(url: str) -> None:
    with closing(Upstream(url)) as upstream, pytest.raises(SourceError):
        JService(upstream).fetch(10, soon(), ANY)


def test_a_short_retry_after_is_waited_for(
    source: JService, server: jservice.JService, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("worker.upstream.time.sleep", pauses.append)
    server.behave = jservice.in_turn(jservice.status(429, retry_after="3"), jservice.serve)

    assert len(source.fetch(10, soon(), ANY)) == 10
    assert pauses == [3]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("9" * 20, 86_400),
        ("9" * 5000, None),
        ("soon", None),
        ("-3", None),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0),
        ("Fri, 01 Jan 2999 00:00:00 GMT", 86_400),
    ],
)
def test_the_wish_of_a_refusing_server_is_passed_on(
    source: JService, server: jservice.JService, header: str, seconds: int | None
) -> None:
    server.behave = jservice.status(429, retry_after=header)

    with pytest.raises(SourceError) as caught:
        source.fetch(10, soon(), ANY)

    assert caught.value.retry_after_seconds == seconds


def test_a_redirect_within_the_server_is_followed(
    source: JService, server: jservice.JService
) -> None:
    server.behave = jservice.in_turn(jservice.redirect("/moved?count=10"), jservice.serve)

    assert len(source.fetch(10, soon(), ANY)) == 10


def test_the_body_of_a_redirect_is_not_read(source: JService, server: jservice.JService) -> None:
    endless = jservice.redirect("/api/random?count=10", pretend_bytes=10**12)
    server.behave = jservice.in_turn(endless, jservice.serve)

    assert len(source.fetch(10, soon(), ANY)) == 10


def test_answers_without_a_usable_item_are_a_failure(
    source: JService, server: jservice.JService
) -> None:
    server.behave = jservice.serve_always([None, {}, 3])

    with pytest.raises(SourceError, match="nothing usable"):
        source.fetch(10, soon(), ANY)

    assert len(server.counts) == 3


def test_an_unlucky_answer_is_no_failure(source: JService, server: jservice.JService) -> None:
    unlucky = jservice.serve_always([make_clue(1, question="The bird seen here")])
    server.behave = jservice.in_turn(unlucky, jservice.serve)

    assert len(source.fetch(1, soon(), ANY)) == 1


def test_a_server_without_questions_has_none(source: JService, server: jservice.JService) -> None:
    assert fetch_items(source, server) == []
    assert len(server.counts) == 1


def test_a_connection_is_used_again(source: JService, server: jservice.JService) -> None:
    for _ in range(3):
        source.fetch(10, soon(), ANY)

    assert len(server.connections) == 1


def test_the_environment_has_no_say(
    source: JService, server: jservice.JService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")

    assert len(source.fetch(10, soon(), ANY)) == 10


def test_the_bank_never_runs_dry_before_all_was_had() -> None:
    bank = Bank()

    everything = bank.fetch(BANK.most_per_request, soon(), ANY)
    some = bank.fetch(10, soon(), ANY)

    assert len(everything) >= 500
    assert len(set(everything)) == len(everything)
    assert len(set(some)) == 10
    assert set(some) < set(everything)
    assert bank.fetch(10, soon(), ANY) != some


def test_the_bank_holds_clean_and_different_questions() -> None:
    everything = Bank().fetch(BANK.most_per_request, soon(), ANY)

    for candidate in everything:
        texts = (candidate.question, candidate.answer, candidate.category or "")
        assert texts == tuple(map(questions.clean, texts))
        assert all(texts)
    assert len({candidate.text_key for candidate in everything}) == len(everything)
    assert len({candidate.source_id for candidate in everything}) == len(everything)
