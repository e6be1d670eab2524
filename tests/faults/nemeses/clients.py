"""Clients that break off, dawdle, or have gone when their answer comes."""

import time
from contextlib import ExitStack, suppress
from random import Random
from urllib.parse import urlsplit
from uuid import uuid4

from sqlalchemy import select

from shared.models import Record
from tests.audio import make_wav
from tests.faults.nemeses.nemesis import Nemesis, endure
from tests.faults.world import Spared, World
from tests.stack import Wire

CLIENTS = 20
SLOW_CLIENTS = 5
DAWDLING_SECONDS = 5
BYTES_PER_SECOND = 1000


def cut_uploads(world: World, random: Random) -> None:
    """At any byte, those of the head included."""
    request = upload_request(world)
    for _ in range(CLIENTS):
        with Wire(_port(world)) as wire, suppress(OSError):
            wire.send(request[: random.randrange(len(request))])


def drip_uploads(world: World, _random: Random) -> None:
    """Begin to send, a byte now and then, and leave."""
    request = upload_request(world)
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(_port(world))) for _ in range(SLOW_CLIENTS)]
        for wire in wires:
            wire.send(request[:1000])
        until = time.monotonic() + DAWDLING_SECONDS
        place = 1000
        while time.monotonic() < until:
            for wire in wires:
                wire.send(request[place : place + 1])
            place += 1
            endure(0.1)


def vanish_while_waiting(world: World, _random: Random) -> None:
    """Send all, and leave before the answer: that was an upload, and is converted."""
    request = upload_request(world)
    for _ in range(SLOW_CLIENTS):
        with Wire(_port(world)) as wire:
            wire.send(request)
            endure(0.1)


def read_slowly(world: World, _random: Random) -> None:
    """Download 1 kB a second, and leave before the end.

    Raises:
        Spared: there is nothing to be downloaded yet.
    """
    path = _some_download(world)
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(_port(world))) for _ in range(SLOW_CLIENTS)]
        for wire in wires:
            wire.send_head(f"GET {path}")
        for _ in range(DAWDLING_SECONDS):
            for wire in wires:
                wire.receive(BYTES_PER_SECOND)
            endure(1)


def upload_request(world: World) -> bytes:
    """All bytes of an upload by somebody new."""
    user = world.product.new_user(f"Vanishing {uuid4()}")
    body = make_wav(2)
    head = [
        f"POST /record?user={user['id']} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {user['token']}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def _some_download(world: World) -> str:
    done = select(Record.id, Record.user_id).where(Record.stored_at.is_not(None)).limit(1)
    with world.database.transaction() as session:
        record = session.execute(done).one_or_none()
    if record is None:
        raise Spared("nothing is stored yet")
    return f"/record?id={record.id}&user={record.user_id}"


def _port(world: World) -> int:
    return urlsplit(world.url).port or 0


NEMESES = (
    Nemesis("uploads cut at any byte", cut_uploads),
    Nemesis("uploads that drip", drip_uploads),
    Nemesis("clients gone while waiting", vanish_while_waiting),
    Nemesis("downloads at 1 kB/s", read_slowly),
)
