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


def test_long_addresses_and_headers_within_the_bounds_are_served(stack: Stack) -> None:
    headers = {"X-Long": "x" * 60_000}

    answer = stack.api.get(f"/health/live?{'x' * 16_000}", headers=headers)

    assert answer.status_code == 200
