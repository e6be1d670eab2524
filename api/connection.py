"""How every exchange ends, whatever it is about: with nothing lost, or seen to be broken."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import errors

log = logging.getLogger(__name__)

LINGER_SECONDS = 30
LINGER_STALL_SECONDS = 5
"""As nginx's lingering_time and lingering_timeout."""


class BrokenOff(Exception):
    """An answer that has begun cannot be ended, for the reason that is given.

    The status line has gone out already, so a broken connection is all that is left to say.
    """


async def to_the_end(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """An answer's content, which is broken off at an error. Raises: BrokenOff."""
    try:
        async for block in content:
            yield block
    except errors.QuaverError as error:
        raise BrokenOff(error.slug) from error


class Linger:
    """Hears a client out that is answered before its body has come.

    A server that closes while bytes are unread makes the kernel send a reset, and the answer is
    lost for who is still sending (RFC 9112, 9.6): Python's urllib never hears it. A server that
    keeps the connection would read on for ever. So the answer goes out whole, then the rest of the
    body is thrown away for a while, as nginx does, then the connection ends.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and has_body(HTTPConnection(scope)):
            exchange = _Exchange(receive, send)
            receive, send = exchange.receive, exchange.send
        try:
            await self._app(scope, receive, send)
        except BrokenOff as reason:
            log.info("the answer was broken off: %s", reason)
            scope["extensions"]["quaver"]["hang_up"]()
            while (await receive())["type"] != "http.disconnect":
                pass


class _Exchange:
    """A request with a body, and its answer."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_unread = True
        self._is_early = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._is_unread = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._is_unread:
            self._is_early = True
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        is_last = message["type"] == "http.response.body" and not message.get("more_body")
        if self._is_early and is_last:
            await self._send({**message, "more_body": True})
            await self._throw_away_the_rest()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _throw_away_the_rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while self._is_unread:
                    async with asyncio.timeout(LINGER_STALL_SECONDS):
                        await self.receive()


def has_body(request: HTTPConnection) -> bool:
    """Whether a request announces one."""
    headers = request.headers
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
