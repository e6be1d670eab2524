"""What every source bears from its server, whatever protocol that should speak."""

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest
from redis import Redis

from shared import signals
from shared.sources import Filters
from tests import jservice
from tests.upstreams import opentdb, server, trivia_api
from tests.upstreams.server import Behaviour
from worker.board import Board
from worker.sources import JService, OpenTDB, QuestionSource, SourceError, TriviaAPI
from worker.upstream import MOST_ATTEMPTS, Upstream

PATIENCE_SECONDS = 0.2


class Kind(NamedTuple):
    """A source, and a server of its protocol."""

    new_server: Callable[[], server.Upstream]
    new_source: Callable[[Upstream, Board], QuestionSource]
    path: str
    serve: Behaviour


KINDS = {
    "jservice": Kind(
        lambda: jservice.JService(jservice.make_clues(100)),
        lambda upstream, _board: JService(upstream),
        "/api/random",
        jservice.serve,
    ),
    "opentdb": Kind(
        lambda: opentdb.OpenTDB(opentdb.make_questions(100)), OpenTDB, "", opentdb.serve
    ),
    "trivia-api": Kind(
        lambda: trivia_api.TriviaAPI(trivia_api.make_questions(100)),
        lambda upstream, _board: TriviaAPI(upstream),
        "",
        trivia_api.serve,
    ),
}


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    client = signals.connect(redis_url)
    client.set("quaver:source:opentdb:token", "f00d")  # Or it would not come to questions.
    yield client
    client.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def upstream(kind: Kind) -> Iterator[server.Upstream]:
    with kind.new_server() as upstream:
        yield upstream


@pytest.fixture
def source(kind: Kind, upstream: server.Upstream, redis: Redis) -> Iterator[QuestionSource]:
    """One that is impatient."""
    door = Upstream(
        upstream.base + kind.path,
        response_seconds=PATIENCE_SECONDS,
        backoff_seconds=0.01,
    )
    with closing(door):
        yield kind.new_source(door, Board(redis))


def fetch(source: QuestionSource, *, seconds: float = 5) -> list[Any]:
    return list(source.fetch(10, time.monotonic() + seconds, Filters()))


MISBEHAVIOURS = {
    "500": (server.status(500), "answered with status 500", MOST_ATTEMPTS),
    "429": (server.status(429), "answered with status 429", MOST_ATTEMPTS),
    "429 for a day": (server.status(429, retry_after="86400"), "answered with status 429", 1),
    "404": (server.status(404), "answered with status 404", 1),
    "204": (server.status(204), "answered with status 204", 1),
    "hang": (server.hang, "did not answer in time", 1),
    "hang up": (server.hang_up, "could not be reached, or broke off", MOST_ATTEMPTS),
    "half a body": (server.break_off, "could not be reached, or broke off", MOST_ATTEMPTS),
    "drip in the head": (server.drip_head, "did not answer in time", 1),
    "drip in the body": (server.drip_body, "did not answer in time", 1),
    "drip in a chunk": (server.drip_chunk_size, "did not answer in time", 1),
    "garbage": (server.serve_always(b"\xff\x00garbage"), "not JSON", 1),
    "deep garbage": (server.serve_always(b"[" * 500_000), "not JSON", 1),
    "not gzip": (
        server.serve_always(b"garbage", content_encoding="gzip"),
        "could not be understood",
        1,
    ),
    "parked": (server.serve_always(server.PARKED, content_type="text/html"), "not JSON", 1),
    "an object": (server.serve_always({"error": "none"}), "something other than", 1),
    "a string": (server.serve_always("none"), "something other than", 1),
    "10 MB": (server.serve_always([" " * 10_000_000]), "sent more than", 1),
    "10 MB compressed": (
        server.serve_always(gzip.compress(b" " * 10_000_000), content_encoding="gzip"),
        "sent more than",
        1,
    ),
    "redirect loop": (server.redirect("/api/random"), "redirects without end", 4),
    "redirect elsewhere": (server.redirect("http://localhost:1/"), "to another host", 1),
    "redirect to a port": (server.redirect("http://127.0.0.1:1/"), "to another host", 1),
    "redirect to a file": (server.redirect("file:///etc/passwd"), "to another host", 1),
    "redirect to nowhere": (server.redirect("http://[::1"), "to nowhere", 1),
}


@pytest.mark.parametrize(
    ("behave", "reason", "requests"), MISBEHAVIOURS.values(), ids=MISBEHAVIOURS.keys()
)
def test_a_misbehaving_server_is_an_error_within_bounds(
    source: QuestionSource,
    upstream: server.Upstream,
    behave: Behaviour,
    reason: str,
    requests: int,
) -> None:
    upstream.behave = behave
    started = time.monotonic()

    with pytest.raises(SourceError, match=reason):
        fetch(source)

    assert time.monotonic() - started < 10 * PATIENCE_SECONDS
    assert len(upstream.counts) == requests


@pytest.mark.parametrize("behave", [server.hang, server.drip_head, server.drip_body])
def test_nothing_lasts_beyond_the_deadline(
    source: QuestionSource, upstream: server.Upstream, behave: Behaviour
) -> None:
    upstream.behave = behave
    started = time.monotonic()

    with pytest.raises(SourceError, match="in time"):
        fetch(source, seconds=0.1)

    assert 0.1 <= time.monotonic() - started < 2


@pytest.mark.parametrize(
    "failure", [server.status(503), server.break_off, server.hang_up, server.status(429)]
)
def test_a_passing_failure_is_tried_again(
    source: QuestionSource, upstream: server.Upstream, kind: Kind, failure: Behaviour
) -> None:
    upstream.behave = server.in_turn(failure, kind.serve)

    assert len(fetch(source)) == 10


def test_the_wish_for_a_day_of_patience_is_passed_on(
    source: QuestionSource, upstream: server.Upstream
) -> None:
    upstream.behave = server.status(429, retry_after="86400")

    with pytest.raises(SourceError) as caught:
        fetch(source)

    assert caught.value.retry_after_seconds == 86_400
