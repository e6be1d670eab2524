"""How quick clients fare beside hundreds that drip and dawdle, and thousands that wait.

`python -m bench.slow_clients` takes two minutes. The quick clients are served in turns alone and
beside the others, so that what slows the machine down for a while slows down both.
"""

import asyncio
import json
import multiprocessing
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.connection import Connection
from bench.figures import percentile
from bench.markdown import megabytes, milliseconds, table
from bench.services import AS_SHIPPED
from bench.sounds import Sound
from bench.watch import repeat
from tests import folders
from tests.acceptance.product import Product, eventually
from tests.jservice import Exchange, JService, make_clues, serve_in_order

EACH = 200
"""Slow uploads, and as many slow downloads."""

UPLOAD_BYTES_PER_SECOND = 9_000
"""A little more than `UPLOAD_MIN_BYTES_PER_SECOND`."""
DOWNLOAD_BYTES_PER_SECOND = 1_000

WAITING = 2_000
SOURCE_SECONDS = 8
"""How long they wait for each of the source's answers; two more, and it would count as away."""
ROUNDS = 3
ROUND_SECONDS = 12
PAUSE_SECONDS = 0.1
"""Of the quick clients: they are to notice who is slow, not to be a load themselves."""
SETTLE_SECONDS = 5
"""At first even the slowest client takes as much as its and the server's kernel hold, and all those
that wait arrive together."""

ACCEPTED = "SELECT count(*) FROM jobs WHERE kind = 'questions.collect'"

LONG, NOTE = Sound(600), Sound(3)

Waits = dict[str, list[float]]
"""Of the quick clients, in seconds, by what they do."""


class Quick:
    """Clients who send, fetch and ask without delay."""

    def __init__(self, product: Product, folder: Path) -> None:
        self.url = product.url
        user = product.new_user("Quick")
        self.user = {"user": str(user["id"]), "token": str(user["token"])}
        self._note = NOTE.write(folder)
        self.long = self._upload(LONG.write(folder))
        self._link = self._upload(self._note)

    def waits(self, seconds: float) -> Waits:
        end = time.monotonic() + seconds

        def goes_on() -> bool:
            return time.monotonic() < end

        with ExitStack() as stack, ThreadPoolExecutor() as pool:
            health, downloads = (
                stack.enter_context(closing(Connection(self.url))) for _ in range(2)
            )
            acts: dict[str, Callable[[], object]] = {
                "POST /record, 3 s": partial(self._upload, self._note),
                "GET /record, 3 s": partial(downloads.get, self._link),
                "GET /health/live": partial(health.get, "/health/live"),
            }
            asking = {
                name: pool.submit(repeat, act, goes_on=goes_on, pause_seconds=PAUSE_SECONDS)
                for name, act in acts.items()
            }
            return {name: found.result() for name, found in asking.items()}

    def _upload(self, wav: Path) -> str:
        """The link's path."""
        with closing(Connection(self.url)) as connection:
            record = connection.upload("/record", self.user, wav).json()
        return str(record["url"]).removeprefix(self.url)


class Crowd:
    """Clients in a process of their own, so that they slow down the server alone."""

    def __init__(self, url: str, *groups: tuple[Callable[..., Awaitable[str]], int]) -> None:
        self._inbox: multiprocessing.Queue[str] = multiprocessing.Queue()
        self._process = multiprocessing.Process(
            target=_gather, args=(urlsplit(url).port, groups, self._inbox), daemon=True
        )
        self._process.start()

    def words(self, count: int) -> Counter[str]:
        """What so many of them have to say."""
        return Counter(self._inbox.get(timeout=180) for _ in range(count))

    def end(self) -> None:
        self._process.terminate()
        self._process.join()


def _gather(
    port: int,
    groups: tuple[tuple[Callable[..., Awaitable[str]], int], ...],
    inbox: "multiprocessing.Queue[str]",
) -> None:
    async def one(act: Callable[..., Awaitable[str]]) -> None:
        inbox.put(await act(port, inbox.put))

    async def all_of_them() -> None:
        await asyncio.gather(*(one(act) for act, count in groups for _ in range(count)))

    asyncio.run(all_of_them())


async def drip(user: Mapping[str, str], port: int, say: Callable[[str], None]) -> str:
    """Send a recording of an hour as slowly as is allowed."""
    wav_head = (
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x44\xac\0\0\x88\x58\1\0\2\0\x10\0data"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /record?user={user['user']} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Authorization: Bearer {user['token']}\r\nContent-Length: 300000000\r\n\r\n"
    writer.write(head.encode() + wav_head + b"\xff\xff\xff\xff")
    say("sending")
    while not reader.at_eof():
        writer.write(bytes(UPLOAD_BYTES_PER_SECOND))
        await asyncio.sleep(1)
    return "upload ended"


async def dawdle(link: str, port: int, say: Callable[[str], None]) -> str:
    """Take an MP3 a kilobyte a second."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(0)
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, f"GET {link} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    say("fetching")
    while await loop.sock_recv(client, DOWNLOAD_BYTES_PER_SECOND):  # noqa: ASYNC110 - Its pace.
        await asyncio.sleep(1)
    return "download ended"


async def wait(port: int, say: Callable[[str], None]) -> str:
    """Ask for a question, and wait for the answer."""
    body = json.dumps({"questions_num": 1}).encode()
    head = "POST /questions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    say("waiting")
    return (await reader.readline()).decode().strip()


class Look:
    """At the API while others are served; the most of each."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._api = psutil.Process(product.pid_of("api"))
        self.most: dict[str, int] = defaultdict(int)

    def look(self) -> None:
        idle = (
            "application_name = 'quaver api' AND state LIKE 'idle in transaction%'"
            " AND state_change < now() - interval '1 second'"
        )
        found = {
            "resident memory": self._api.memory_info().rss,
            "threads": self._api.num_threads(),
            "connections": len(self._api.net_connections()),
            "transactions left open": self._product.query(
                f"SELECT count(*) FROM pg_stat_activity WHERE {idle}"  # noqa: S608 - A constant.
            )[0][0],
        }
        for name, value in found.items():
            self.most[name] = max(self.most[name], value)

    @contextmanager
    def all_the_while(self) -> Iterator[None]:
        ended = False
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(repeat, self.look, goes_on=lambda: not ended)
            try:
                yield
            finally:
                ended = True
        looking.result()


def main() -> int:
    settings = {"QUESTIONS_WAIT_SECONDS": "90"}
    with (
        JService(make_clues(WAITING * 2), serve_in_order) as jservice,
        folders.temporary() as folder,
        Product(
            folder, **AS_SHIPPED, **settings, QUESTION_SOURCES=f"jservice={jservice.url}"
        ) as product,
    ):
        eventually(product.is_ready)
        quick = Quick(product, folder)
        print(beside_slow_ones(product, quick), flush=True)
        print(beside_waiting_ones(product, quick, jservice), flush=True)
    return 0


def beside_slow_ones(product: Product, quick: Quick) -> str:
    counts = {"alone": 0, "beside slow ones": EACH}
    waits: dict[str, Waits] = {name: defaultdict(list) for name in counts}
    looks = {name: Look(product) for name in counts}
    words: Counter[str] = Counter()
    for _ in range(ROUNDS):
        for name, count in counts.items():
            sending, fetching = partial(drip, quick.user), partial(dawdle, quick.long)
            crowd = Crowd(quick.url, (sending, count), (fetching, count))
            words += crowd.words(2 * count)
            time.sleep(SETTLE_SECONDS if count else 0)
            with looks[name].all_the_while():
                for what, seconds in quick.waits(ROUND_SECONDS).items():
                    waits[name][what] += seconds
            crowd.end()
    return _report(f"{EACH} slow uploads, {EACH} slow downloads: {dict(words)}", waits, looks)


def beside_waiting_ones(product: Product, quick: Quick, source: JService) -> str:
    waits, looks = {"alone": quick.waits(ROUND_SECONDS)}, {"alone": Look(product)}
    looks["alone"].look()
    source.behave = serve_slowly
    crowd = Crowd(quick.url, (wait, WAITING))
    words = crowd.words(WAITING)
    eventually(lambda: product.query(ACCEPTED)[0][0] == WAITING)
    time.sleep(SETTLE_SECONDS)
    name = f"beside {WAITING} that wait"
    looks[name] = Look(product)
    with looks[name].all_the_while():
        waits[name] = quick.waits(ROUND_SECONDS)
    source.behave = serve_in_order
    words += crowd.words(WAITING)
    crowd.end()
    return _report(f"{WAITING} wait for their jobs: {dict(words)}", waits, looks)


def serve_slowly(exchange: Exchange, count: int) -> None:
    """So that hardly any job ends."""
    exchange.pause(SOURCE_SECONDS)
    serve_in_order(exchange, count)


def _report(title: str, waits: Mapping[str, Waits], looks: Mapping[str, Look]) -> str:
    percents = 50, 95, 99
    rows = [
        [what, name, *(milliseconds(percentile(found[what], percent)) for percent in percents)]
        for what in next(iter(waits.values()))
        for name, found in waits.items()
    ]
    figures = [
        f"API {name}: {megabytes(look.most['resident memory'])}, {look.most['threads']} threads, "
        f"{look.most['connections']} connections, "
        f"{look.most['transactions left open']} transactions left open."
        for name, look in looks.items()
    ]
    head = ["", "", *(f"p{percent}" for percent in percents)]
    return "\n\n".join([f"# {title}", table(head, rows), *figures])


if __name__ == "__main__":
    sys.exit(main())
