"""A network in miniature: a TCP proxy in front of one server, whose faults are switched on.

::

    with Proxy(server_port) as proxy:
        ...  # Clients connect to `proxy.port`.
        with proxy.black_holed():
            ...
"""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Self, TypeVar

from launcher import ports

BLOCK_BYTES = 64 * 1024
PATIENCE_SECONDS = 10

T = TypeVar("T")


class Catch:
    """A message to the server that is waited for, and held when it comes."""

    def __init__(self, pattern: bytes, *, is_delivered: bool) -> None:
        self.is_delivered = is_delivered
        """Whether the server gets it, and only its answer is held."""
        self.released = asyncio.Event()
        self._pattern = re.compile(pattern, re.DOTALL)
        self._came = threading.Event()

    def wait(self, seconds: float) -> bool:
        """Whether it comes within this time."""
        return self._came.wait(seconds)

    def takes(self, block: bytes) -> bool:
        """Whether this is it: the first one that matches, and no other."""
        if self._came.is_set() or not self._pattern.search(block):
            return False
        self._came.set()
        return True


class _End(NamedTuple):
    """The proxy's socket towards one of the two that talk to each other."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self, *, reset: bool) -> None:
        if not reset:
            self.writer.close()
            return
        with suppress(OSError):
            # A socket that has nothing to linger for says RST instead of FIN when it is closed.
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class _Connection:
    """A client, and the server it talks to; none if it called into a black hole."""

    def __init__(self, client: _End, server: _End | None, *, is_lost: bool) -> None:
        self.client = client
        self.server = server
        self.is_lost = is_lost
        self.closed = asyncio.Event()
        self.answers_from: asyncio.Event | None = None
        """What the server's answers wait for, if they are held."""

    def close(self, *, reset: bool) -> None:
        for end in filter(None, (self.client, self.server)):
            end.close(reset=reset)
        self.closed.set()


Hold = Callable[[_Connection, bytes], Awaitable[None]]
"""Waits before a block is passed on."""


class Proxy:
    """Listens on `port` and passes all on to a server on 127.0.0.1. Any thread may call it."""

    def __init__(self, server_port: int) -> None:
        self.port = ports.free()
        self._server_port = server_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._listener: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_black_hole = False
        self._delay_seconds = 0.0
        self._catch: Catch | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many there are at the moment."""
        return len(self._connections)

    def cut(self) -> None:
        """Close all connections properly."""
        self._tell(self._close_all, False)  # noqa: FBT003

    def reset(self) -> None:
        """Tell both sides of all connections that the other knows nothing of them."""
        self._tell(self._close_all, True)  # noqa: FBT003

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens here any more, as if the server had ended."""
        self._tell(self._stop_listening)
        try:
            self.reset()
            yield
        finally:
            self._do(self._listen())

    @contextmanager
    def black_holed(self) -> Iterator[None]:
        """Whatever is sent vanishes, and nothing is closed.

        Afterwards all connections that were there are reset, as a kernel ends those whose data
        nobody acknowledges.
        """
        self._tell(self._open_black_hole)
        try:
            yield
        finally:
            self._tell(self._close_black_hole)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Whatever is sent is kept, and delivered afterwards."""
        self._tell(self._flows.clear)
        try:
            yield
        finally:
            self._tell(self._flows.set)

    @contextmanager
    def delayed(self, seconds: float) -> Iterator[None]:
        """Whatever is sent takes that much longer."""
        self._delay_seconds = seconds
        try:
            yield
        finally:
            self._delay_seconds = 0.0

    @contextmanager
    def catching(self, pattern: bytes, *, answer: bool = False) -> Iterator[Catch]:
        """Hold the first message to the server that matches, to strike at that very moment.

        With `answer` the server gets it, and what it says to that is held: then it has done what
        its client does not know of. Whatever is held is let go at the end of the block.
        """
        self._catch = catch = Catch(pattern, is_delivered=answer)
        try:
            yield catch
        finally:
            self._catch = None
            self._tell(catch.released.set)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the loop's thread, and return when that is done."""

        async def call() -> None:
            function(*arguments)

        self._do(call())

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, ports.LOOPBACK, self.port)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()

    async def _end(self) -> None:
        self._stop_listening()
        self._close_all(reset=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _close_all(self, reset: bool) -> None:  # noqa: FBT001
        for connection in list(self._connections):
            connection.close(reset=reset)

    def _open_black_hole(self) -> None:
        self._is_black_hole = True
        for connection in self._connections:
            connection.is_lost = True

    def _close_black_hole(self) -> None:
        self._is_black_hole = False
        for connection in list(self._connections):
            if connection.is_lost:
                connection.close(reset=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _End(reader, writer)
        try:
            server = None if self._is_black_hole else await self._connect()
        except OSError:  # The server has ended: the client learns of it as if it had asked there.
            client.close(reset=True)
            return
        connection = _Connection(client, server, is_lost=self._is_black_hole)
        self._connections.add(connection)
        try:
            # Python 3.11 complains of a callback of its own if this ends as cancelled.
            with suppress(asyncio.CancelledError):
                await self._carry(connection)
        finally:
            self._connections.discard(connection)
            connection.close(reset=connection.is_lost)

    async def _connect(self) -> _End:
        return _End(*await asyncio.open_connection(ports.LOOPBACK, self._server_port))

    async def _carry(self, connection: _Connection) -> None:
        """Carry bytes in both directions until both have ended.

        A connection that lost some stays until it is closed: its ends do not hear of each other.
        """
        client, server = connection.client, connection.server
        if server is None:
            await _swallow(client)
        else:
            await asyncio.gather(
                self._flow(connection, client, server, self._hold_request),
                self._flow(connection, server, client, self._hold_answer),
            )
        if connection.is_lost:
            await connection.closed.wait()

    async def _flow(self, connection: _Connection, source: _End, sink: _End, hold: Hold) -> None:
        broke_off = False
        try:
            while block := await source.reader.read(BLOCK_BYTES):
                await asyncio.sleep(self._delay_seconds)
                await self._flows.wait()
                await hold(connection, block)
                if not connection.is_lost:
                    sink.writer.write(block)
                    await sink.writer.drain()
        except OSError:
            broke_off = True
        await self._flows.wait()
        if broke_off and not connection.is_lost:
            connection.close(reset=True)
        elif not connection.is_lost:
            with suppress(OSError):  # The other side may have left meanwhile.
                sink.writer.write_eof()

    async def _hold_request(self, connection: _Connection, block: bytes) -> None:
        if (catch := self._catch) is None or not catch.takes(block):
            return
        if catch.is_delivered:
            connection.answers_from = catch.released
        else:
            await catch.released.wait()

    async def _hold_answer(self, connection: _Connection, _block: bytes) -> None:
        if connection.answers_from is not None:
            await connection.answers_from.wait()


async def _swallow(end: _End) -> None:
    with suppress(OSError):
        while await end.reader.read(BLOCK_BYTES):
            pass
