"""Clients that connect and do not ask, and how many there may be."""

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.stack import Api, Stack, User, Wire, eventually

PLACES = 5


@pytest.fixture(scope="module")
def small(stack: Stack) -> Iterator[Api]:
    """An API that takes few connections."""
    with stack.another_api(MAX_CONNECTIONS=str(PLACES)) as api:
        yield api


def is_live(api: Api) -> bool:
    """Whether somebody new is served; else it is said in the right way that there is no room."""
    answer = httpx.get(f"{api.url}/health/live", trust_env=False)
    if answer.is_success:
        return True
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/service-unavailable"
    assert int(answer.headers["retry-after"]) > 0
    return False


def connect(api: Api, stack: ExitStack) -> list[Wire]:
    return [stack.enter_context(Wire(api.port)) for _ in range(PLACES)]


def test_a_head_that_never_ends_is_given_up(strict: Api) -> None:
    with strict.connect() as wire:
        wire.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        answer = wire.answer()

        assert (answer.status, answer.slug) == (408, "request-timeout")
        assert wire.is_closed()


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_connection_without_a_request_ends_without_a_word(strict: Api, sent: bytes) -> None:
    with strict.connect() as wire:
        wire.send(sent)

        assert wire.is_closed()


def test_after_an_answer_the_next_head_has_its_deadline_too(strict: Api) -> None:
    with strict.connect() as wire:
        wire.send_head("GET /health/live")
        assert wire.answer().status == 200
        wire.send(b"GET")

        assert wire.answer().status == 408


def test_a_flood_of_silent_clients_keeps_nobody_out(small: Api) -> None:
    with ExitStack() as stack:
        connect(small, stack)

        assert eventually(lambda: is_live(small))


def test_who_is_served_is_not_sent_away_for_another(small: Api, alice: User) -> None:
    with ExitStack() as stack:
        wires = connect(small, stack)
        for wire in wires:
            wire.post(alice, "Content-Length: 44", "Expect: 100-continue")
            assert wire.answer().status == 100

        assert not is_live(small)

        wires[0].hang_up()
        assert eventually(lambda: is_live(small))
