"""Questions from sources that misbehave, that repeat themselves, and that are fast.

`python -m bench.sources` starts the product for each protocol, with a server of it on this machine,
and prints what came of each request as Markdown.
"""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus

import httpx

from bench.connection import WrongAnswer
from bench.figures import percentile
from bench.markdown import milliseconds, seconds, table
from shared import signals
from tests import folders, jservice
from tests.acceptance.product import Product
from tests.jservice import JService
from tests.upstreams import opentdb, server, trivia_api
from tests.upstreams.opentdb import OpenTDB
from tests.upstreams.server import Behaviour, Upstream
from tests.upstreams.trivia_api import TriviaAPI

PATIENCE_SECONDS = 60
WANTED = 10
PLENTY = 5_000

POOL, CLIENTS, EACH = 600, 50, 10
"""So many clients take questions at once out of so small a pool."""

REQUESTS = 500
"""For one question each, by one client and by `CLIENTS` at once."""

MISBEHAVIOURS: Mapping[str, Behaviour] = {
    "500": server.status(500),
    "429, Retry-After of a day": server.status(429, retry_after="86400"),
    "hangs": server.hang,
    "garbage": server.serve_always(b"\x89PNG\r\n\x1a\n"),
    "half a body": server.break_off,
    "wrong types": server.serve_always({"results": 7}),
    "a parked domain's page": server.serve_always(server.PARKED),
    "10 MB": server.serve_always(b" " * 10_000_000),
    "redirects in a circle": server.redirect("/"),
}
FOR_EVER = "the same question for ever"


class Asker:
    """Asks the product for questions."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._client = httpx.Client(base_url=product.url, timeout=PATIENCE_SECONDS, trust_env=False)

    def ask(self, count: int) -> httpx.Response:
        return self._client.post("/questions", json={"questions_num": count})

    def ask_at_once(self, requests: int, count: int, *, clients: int) -> list[httpx.Response]:
        with ThreadPoolExecutor(clients) as threads:
            return list(threads.map(lambda _: self.ask(count), range(requests)))

    def stored(self) -> int:
        ((count,),) = self._product.query("SELECT count(*) FROM questions")
        return int(count)

    def forget_the_past(self) -> None:
        """What the workers have noted of the source: that it failed, and when it was asked."""
        file = self._product.data / "redis" / "server.json"
        client = signals.connect(json.loads(file.read_text())["url"])
        for key in client.scan_iter("quaver:source:*"):
            client.delete(key)
        client.close()


@contextmanager
def asker(source: Upstream, name: str) -> Iterator[Asker]:
    """Of a product that has this source alone."""
    address = f"{name}={source.url}"
    with folders.temporary() as folder, Product(folder, QUESTION_SOURCES=address) as product:
        yield Asker(product)


def failures(source: Upstream, name: str) -> Iterator[list[str]]:
    """A row for each misbehaviour: what came of a request, and of the next one."""
    well, items = source.behave, source.items
    with source, asker(source, name) as quaver:
        for what in [*MISBEHAVIOURS, FOR_EVER]:
            source.behave = MISBEHAVIOURS.get(what, well)
            source.items = items[:1] if what == FOR_EVER else items
            quaver.forget_the_past()
            before, asked = quaver.stored(), len(source.counts)
            answer = quaver.ask(WANTED)
            asked, stored = len(source.counts) - asked, quaver.stored() - before
            source.behave, source.items = well, items
            quaver.forget_the_past()
            yield [
                f"{name}: {what}",
                _told(answer),
                seconds(answer.elapsed.total_seconds()),
                f"{asked}",
                f"{stored}",
                _told(quaver.ask(1)),
            ]


def _told(answer: httpx.Response) -> str:
    slug = answer.json().get("type", "").removeprefix("/problems/")
    return f"{answer.status_code} {slug}".strip()


def overlapping() -> str:
    """Many at once out of a pool that is hardly larger than what they want together."""
    with JService(jservice.make_clues(POOL)) as source, asker(source, "jservice") as quaver:
        began = time.monotonic()
        answers = quaver.ask_at_once(CLIENTS, EACH, clients=CLIENTS)
        took = time.monotonic() - began
        done = sum(answer.status_code == HTTPStatus.OK for answer in answers)
        return (
            f"{CLIENTS} requests for {EACH} at once, out of a pool of {POOL}: {done} succeeded and "
            f"{quaver.stored()} questions are stored, after {len(source.counts)} requests to the "
            f"source and {seconds(took)}."
        )


def rates() -> Iterator[list[str]]:
    """A row for each number of clients that ask for one question at a time."""
    with JService(jservice.make_clues(100 * PLENTY)) as source, asker(source, "jservice") as quaver:
        quaver.ask(1)
        for clients in (1, CLIENTS):
            began = time.monotonic()
            answers = quaver.ask_at_once(REQUESTS, 1, clients=clients)
            took = time.monotonic() - began
            times = [answer.elapsed.total_seconds() for answer in answers]
            if any(answer.status_code != HTTPStatus.OK for answer in answers):
                raise WrongAnswer("a request failed")
            percentiles = (milliseconds(percentile(times, each)) for each in (50, 95))
            yield [f"{clients} at a time", f"{REQUESTS / took:.0f}", *percentiles]


def main() -> None:
    sources = (
        (JService(jservice.make_clues(PLENTY)), "jservice"),
        (OpenTDB(opentdb.make_questions(PLENTY)), "opentdb"),
        (TriviaAPI(trivia_api.make_questions(PLENTY)), "trivia-api"),
    )
    rows = [row for source, name in sources for row in failures(source, name)]
    head = ["source", f"{WANTED} questions", "after", "asked", "stored", "the next request"]
    print(table(head, rows), overlapping(), sep="\n\n", end="\n\n")
    print(table(["one question each", "a second", "p50", "p95"], list(rates())))


if __name__ == "__main__":
    main()
