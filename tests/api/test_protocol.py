"""What is no proper HTTP is refused in the shape of every other error."""

import json
from contextlib import suppress

import pytest

from tests.stack import Stack


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_request_is_told_so(stack: Stack, data: bytes) -> None:
    with stack.api.connect() as wire:
        wire.send(data)

        answer = wire.answer()

    assert (answer.status, answer.slug) == (400, "malformed-request")
    assert json.loads(answer.body)["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("head", "status", "slug"),
    [
        (f"GET /{'x' * 17_000} HTTP/1.1\r\nHost: x\r\n", 414, "uri-too-long"),
        (
            f"GET / HTTP/1.1\r\nHost: x\r\nX-Long: {'x' * 66_000}\r\n",
            431,
            "request-header-fields-too-large",
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\n" + "X: \r\n" * 3_000,
            431,
            "request-header-fields-too-large",
        ),
    ],
)
def test_addresses_and_headers_have_bounds(stack: Stack, head: str, status: int, slug: str) -> None:
    with stack.api.connect() as wire:
        wire.send(f"{head}\r\n".encode())

        answer = wire.answer()

    assert (answer.status, answer.slug) == (status, slug)


def test_one_endless_header_is_refused_while_it_comes(stack: Stack) -> None:
    with stack.api.connect() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")

        # Who goes on sending may hear the hanging up before the answer.
        with suppress(ConnectionError):
            wire.send(b"x" * 5_000_000)
            assert wire.answer().status == 431

    assert stack.api.get("/health/live").status_code == 200


def test_one_endless_trailer_is_refused_while_it_comes(stack: Stack) -> None:
    with stack.api.connect() as wire:
        wire.send_head(
            "POST /users", "Content-Type: application/json", "Transfer-Encoding: chunked"
        )
        wire.send(b"0\r\nX-Long: ")

        with suppress(ConnectionError):
            wire.send(b"x" * 5_000_000)
            assert wire.answer().status == 431

    assert stack.api.get("/health/live").status_code == 200


def test_the_answer_is_not_lost_on_who_sends_no_more(stack: Stack) -> None:
    body = json.dumps({"name": "Half"}).encode()

    with stack.api.connect() as wire:
        wire.send_head(
            "POST /users", "Content-Type: application/json", f"Content-Length: {len(body)}"
        )
        wire.send(body)
        wire.end_sending()

        assert [answer.status for answer in wire.answers()] == [201]


def test_a_body_cut_short_is_told_to_who_listens_still(stack: Stack) -> None:
    with stack.api.connect() as wire:
        kind = "Content-Type: application/json"
        wire.send_head("POST /users", kind, "X-Request-ID: mine", "Content-Length: 10")
        wire.send(b"{")
        wire.end_sending()

        answer = wire.answer()

    assert (answer.status, answer.slug) == (400, "malformed-request")
    told = json.loads(answer.body)
    assert (told["instance"], told["request_id"]) == ("/users", "mine")


@pytest.mark.parametrize(
    "host", ["a b", "a/b", "user@a", "[", "[x]", "http://a", "<script>", "a:b", "%", "\xff"]
)
def test_a_host_that_is_none_is_refused(stack: Stack, host: str) -> None:
    with stack.api.connect() as wire:
        wire.send_head("GET /health/live", host=host)

        answer = wire.answer()

    assert (answer.status, answer.slug) == (400, "malformed-request")


@pytest.mark.parametrize("host", ["", "a", "a_b.example:1", "127.0.0.1:", "[::1]:8000"])
def test_a_host_may_be_a_name_an_address_or_nothing(stack: Stack, host: str) -> None:
    with stack.api.connect() as wire:
        wire.send_head("GET /health/live", host=host)

        assert wire.answer().status == 200


def test_long_addresses_and_headers_within_the_bounds_are_served(stack: Stack) -> None:
    headers = {"X-Long": "x" * 60_000}

    answer = stack.api.get(f"/health/live?{'x' * 16_000}", headers=headers)

    assert answer.status_code == 200
