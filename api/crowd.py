"""How many may be connected at once, and for how long without asking or listening."""

import asyncio
import socket
from dataclasses import dataclass, field
from typing import Protocol

YOUNG_SECONDS = 1
"""In which time a new connection brings its request, if it has any."""

UNSENT_BYTES = 128 * 1024
"""Of an answer, that wait in the kernel for the network."""


class Connection(Protocol):
    def hang_up(self) -> None: ...

    def give_up(self) -> None:
        """The deadline for a request's head has passed."""


@dataclass
class Crowd:
    """The connections of one server, as far as their number and their leisure matter."""

    most: int
    head_seconds: float
    """From the connection, or the answer before, to the end of a request's headers."""
    stall_seconds: float
    """How long a client may take nothing of its answer."""
    _idle: dict[Connection, asyncio.TimerHandle] = field(default_factory=dict)
    """Those without a whole head, and their deadlines; the one that is idle for longest first."""

    def has_room(self, connections: int) -> bool:
        """Whether there is a place for the last of so many connections.

        One that has been idle for a while makes place: that is no loss to its client, and so a
        flood of silent clients is none to the others.
        """
        if connections <= self.most:
            return True
        longest = next(iter(self._idle), None)
        if longest is None or self._is_young(longest):
            return False
        longest.hang_up()
        return True

    def await_head(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        self._idle[connection] = loop.call_later(self.head_seconds, connection.give_up)

    def end_wait(self, connection: Connection) -> None:
        """It has sent a head, or is gone."""
        if deadline := self._idle.pop(connection, None):
            deadline.cancel()

    def limit(self, transport: asyncio.Transport) -> None:
        """Have the kernel mind a client that is slow to take its answer.

        It ends the connection once nothing is taken for too long, or the client is gone. Nobody
        else can: between this process and the client lie megabytes of buffers, and one who reads a
        little now and then is not noticed here for minutes. And of those megabytes it takes no
        more than the network has room for, so that what nobody reads is not read from the database.
        (tcp(7); macOS knows the second option only.)
        """
        connection = transport.get_extra_info("socket")
        for name, value in {
            "TCP_USER_TIMEOUT": max(1, round(self.stall_seconds * 1000)),
            "TCP_NOTSENT_LOWAT": UNSENT_BYTES,
        }.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def _is_young(self, connection: Connection) -> bool:
        left_seconds = self._idle[connection].when() - asyncio.get_running_loop().time()
        return self.head_seconds - left_seconds < YOUNG_SECONDS
