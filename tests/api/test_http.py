"""HTTP itself: methods, paths, and clients that break its rules."""

from typing import Any

import pytest

from tests import audio
from tests.api.problems import problem
from tests.stack import Api, User


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/users", "POST"),
        ("DELETE", "/users", "POST"),
        ("PUT", "/record?id=1", "DELETE, GET, HEAD, POST"),
        ("PATCH", "/questions", "GET, HEAD, POST"),
        ("POST", "/jobs/x", "GET, HEAD"),
        ("POST", "/health/live", "GET, HEAD"),
        ("TRACE", "/record", "DELETE, GET, HEAD, POST"),
        ("OPTIONS", "/users", "POST"),
        ("DELETE", "/openapi.json", "GET, HEAD"),
        ("POST", "/static-offline-docs/swagger-ui.css", "GET, HEAD"),
    ],
)
def test_another_method_is_told_which_ones_there_are(
    api: Api, method: str, path: str, allowed: str
) -> None:
    answer = api.client.request(method, path)

    assert problem(answer) == (405, "method-not-allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/nowhere", "/users/1", "/record/1", "/../etc/passwd", "/%00", "/%FF", "/x%3Fy"]
)
def test_an_address_that_does_not_exist_is_not_found(api: Api, path: str) -> None:
    answer = api.get(path)

    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/not-found"


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/metrics", "/records", "/jobs/{job}", "/questions"]
)
def test_what_can_be_had_can_be_looked_at(alice: User, path: str) -> None:
    job = alice.upload(audio.make_wav(0.1)).json()["job"].rpartition("/")[2]
    path = f"{path.format(job=job)}?user={alice.id}"

    head = alice.api.client.head(path, headers=alice.headers)

    assert head.status_code == 200
    assert head.content == b""
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("wish", [None, "", "with space", "a" * 129, "{}", "naïve", "a,b"])
def test_every_answer_has_an_id_of_its_own(api: Api, wish: str | None) -> None:
    headers = {} if wish is None else {b"X-Request-Id": wish.encode("latin-1")}

    ids = [
        api.get(path, headers=headers).headers["x-request-id"] for path in ("/health/live", "/x")
    ]

    assert len({*ids, wish}) == 3


@pytest.mark.parametrize("wish", ["a", "A-1_b.2", "a" * 128])
def test_an_id_that_the_client_gives_is_kept(api: Api, wish: str) -> None:
    answer = api.get("/nowhere", headers={"X-Request-Id": wish})

    assert answer.headers.get_list("x-request-id") == [wish]
    assert answer.json()["request_id"] == wish


def test_the_body_of_a_refused_request_is_not_taken_for_the_next_one(alice: User) -> None:
    smuggled = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    form = "Content-Type: multipart/form-data"

    with alice.api.connect() as wire:
        wire.post(alice, form, f"Content-Length: {len(smuggled)}")
        wire.send(smuggled)
        wire.send_head("GET /nowhere", "Connection: close")
        statuses = [answer.status for answer in wire.answers()]

    assert statuses in ([400, 404], [400])


def test_requests_may_follow_each_other_without_waiting(alice: User) -> None:
    wav = audio.make_wav(0.1)

    with alice.api.connect() as wire:
        wire.post(alice, f"Content-Length: {len(wav)}")
        wire.send(wav)
        wire.send_head("GET /health/live")
        statuses = [wire.answer().status, wire.answer().status]

    assert statuses == [201, 200]


@pytest.mark.parametrize("path", ["/users", "/questions"])
def test_a_client_that_breaks_off_its_json_is_no_mistake_of_ours(api: Api, path: str) -> None:
    with api.connect() as wire:
        wire.send_head(f"POST {path}", "Content-Type: application/json", "Content-Length: 100")
        wire.send(b"{")

    assert api.get("/health/live").status_code == 200


def test_odd_queries_are_no_mistake_of_ours(api: Api) -> None:
    odd: list[Any] = ["?", "?&&&=", "?id", "?user=1", "?" + "a=b&" * 4_000]

    answers = [api.get(f"/record{query}") for query in odd]

    assert {problem(answer) for answer in answers} == {(422, "invalid-request")}
    twice = api.get("/record?id=1&id=2&user=1&user=2")
    assert problem(twice) == (404, "record-not-found")
