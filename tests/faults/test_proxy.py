"""What a proxy does to those who talk through it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from launcher import ports
from tests.faults.proxy import Proxy

PATIENCE_SECONDS = 10
MOMENT_SECONDS = 0.2


class Parrot:
    """A server that says what it hears, and notes it."""

    def __init__(self) -> None:
        self._listener = socket.create_server((ports.LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard: list[bytes] = []
        self.ends: list[str] = []
        """How each of its connections ended."""
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._repeat, args=(connection,), daemon=True).start()

    def _repeat(self, connection: socket.socket) -> None:
        with connection:
            try:
                while words := connection.recv(1024):
                    self.heard.append(words)
                    connection.sendall(words)
                self.ends.append("closed")
            except ConnectionResetError:
                self.ends.append("reset")


@pytest.fixture
def parrot() -> Iterator[Parrot]:
    with closing(Parrot()) as parrot:
        yield parrot


@pytest.fixture
def proxy(parrot: Parrot) -> Iterator[Proxy]:
    with Proxy(parrot.port) as proxy:
        yield proxy


@pytest.fixture
def caller(proxy: Proxy) -> Iterator[socket.socket]:
    """Somebody who has been answered once."""
    with call(proxy) as caller:
        assert ask(caller, b"Hello") == b"Hello"
        yield caller


def call(proxy: Proxy) -> socket.socket:
    return socket.create_connection((ports.LOOPBACK, proxy.port), PATIENCE_SECONDS)


def ask(caller: socket.socket, words: bytes) -> bytes:
    caller.sendall(words)
    return caller.recv(1024)


def is_silent(caller: socket.socket) -> bool:
    """Whether nothing comes, not even an end."""
    caller.settimeout(MOMENT_SECONDS)
    try:
        caller.recv(1024)
    except TimeoutError:
        return True
    finally:
        caller.settimeout(PATIENCE_SECONDS)
    return False


def end_of(parrot: Parrot) -> str:
    """How its first connection ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not parrot.ends:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return parrot.ends[0]


def test_an_end_is_passed_on(proxy: Proxy, parrot: Parrot, caller: socket.socket) -> None:
    caller.shutdown(socket.SHUT_WR)

    assert caller.recv(1) == b""
    assert end_of(parrot) == "closed"


def test_a_cut_is_a_proper_end_on_both_sides(
    proxy: Proxy, parrot: Parrot, caller: socket.socket
) -> None:
    proxy.cut()

    assert caller.recv(1) == b""
    assert end_of(parrot) == "closed"


def test_a_reset_is_told_to_both_sides(proxy: Proxy, parrot: Parrot, caller: socket.socket) -> None:
    proxy.reset()

    with pytest.raises(ConnectionResetError):
        caller.recv(1)
    assert end_of(parrot) == "reset"


def test_connections_are_refused_and_then_taken_again(proxy: Proxy, caller: socket.socket) -> None:
    with proxy.refusing():
        with pytest.raises(ConnectionResetError):
            caller.recv(1)
        with pytest.raises(ConnectionRefusedError):
            call(proxy)

    with call(proxy) as another:
        assert ask(another, b"Again") == b"Again"


def test_who_calls_a_server_that_has_gone_is_reset() -> None:
    with (
        Proxy(ports.free()) as proxy,
        pytest.raises(ConnectionResetError),  # Perhaps before the call has gone through.
        call(proxy) as caller,
    ):
        caller.recv(1)


def test_a_black_hole_swallows_and_closes_nothing(
    proxy: Proxy, parrot: Parrot, caller: socket.socket
) -> None:
    with proxy.black_holed():
        caller.sendall(b"Lost")
        assert is_silent(caller)
        with call(proxy) as stranger:
            stranger.sendall(b"Lost as well")
            assert is_silent(stranger)
        assert parrot.ends == []

    with pytest.raises(ConnectionResetError):
        caller.recv(1)
    assert parrot.heard == [b"Hello"]
    assert end_of(parrot) == "reset"


def test_not_even_an_end_leaves_a_black_hole(
    proxy: Proxy, parrot: Parrot, caller: socket.socket
) -> None:
    with proxy.black_holed():
        caller.shutdown(socket.SHUT_WR)
        assert is_silent(caller)
        assert parrot.ends == []

    assert end_of(parrot) == "reset"


def test_what_was_frozen_is_delivered(proxy: Proxy, parrot: Parrot, caller: socket.socket) -> None:
    with proxy.frozen():
        caller.sendall(b"Later")
        assert is_silent(caller)
        assert parrot.heard == [b"Hello"]

    assert caller.recv(1024) == b"Later"


def test_a_delay_is_for_either_direction(proxy: Proxy, caller: socket.socket) -> None:
    began = time.monotonic()

    with proxy.delayed(MOMENT_SECONDS):
        assert ask(caller, b"Slowly") == b"Slowly"

    assert time.monotonic() - began >= 2 * MOMENT_SECONDS


def test_a_message_is_held_before_it_is_delivered(
    proxy: Proxy, parrot: Parrot, caller: socket.socket
) -> None:
    with proxy.catching(b"COM+IT") as catch:
        assert ask(caller, b"BEGIN") == b"BEGIN"
        caller.sendall(b"COMMIT")
        assert catch.wait(PATIENCE_SECONDS)
        assert is_silent(caller)
        assert b"COMMIT" not in parrot.heard

    assert caller.recv(1024) == b"COMMIT"


def test_an_answer_is_held_after_the_message_was_delivered(
    proxy: Proxy, parrot: Parrot, caller: socket.socket
) -> None:
    with proxy.catching(b"COMMIT", answer=True) as catch:
        caller.sendall(b"COMMIT")
        assert catch.wait(PATIENCE_SECONDS)
        assert is_silent(caller)
        assert b"COMMIT" in parrot.heard
        proxy.reset()

    with pytest.raises(ConnectionResetError):
        caller.recv(1)


def test_nothing_of_a_proxy_is_left(parrot: Parrot) -> None:
    threads = threading.active_count()

    with Proxy(parrot.port) as proxy, call(proxy) as caller:
        assert ask(caller, b"Hello") == b"Hello"
        assert proxy.connections == 1

    assert proxy.connections == 0
    assert threading.active_count() <= threads + 1  # The parrot's own.
