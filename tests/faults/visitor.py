"""A user who asks for everything there is, and how each request must be answered."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httpx

from tests.audio import make_wav
from tests.faults.world import World

PATIENCE_SECONDS = 30.0
"""Nobody who must not wait for a conversion is left without an answer for longer."""

LIVE, READY, DOCS = "GET /health/live", "GET /health/ready", "GET /docs"
MP3, HEAD, PEAKS, JOB = "GET /record", "HEAD /record", "GET /record/peaks", "GET /jobs/{id}"
USERS, RECORD, QUESTIONS = "POST /users", "POST /record", "POST /questions"

TO_BE_RETRIED = {
    HTTPStatus.ACCEPTED,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.INSUFFICIENT_STORAGE,
}
"""These answers say when to come again."""


@dataclass(frozen=True)
class Seen:
    """A request, and what its user saw."""

    request: str
    seconds: float
    answer: httpx.Response | None
    """None if none came."""


class Visitor:
    """Somebody with a recording. Any number of threads may send requests for them."""

    def __init__(self, world: World) -> None:
        self._url = world.url
        self._user = world.product.new_user(f"Visitor {uuid4()}")
        self._wav = make_wav(1)
        with self._client() as client:
            stored = self._upload(client).raise_for_status().json()
        self._link, self._job = (stored[key].removeprefix(world.url) for key in ("url", "job"))
        self._sending: Mapping[str, Callable[[httpx.Client], httpx.Response]] = {
            LIVE: lambda client: client.get("/health/live"),
            DOCS: lambda client: client.get("/docs"),
            READY: lambda client: client.get("/health/ready"),
            MP3: lambda client: client.get(self._link),
            HEAD: lambda client: client.head(self._link),
            PEAKS: lambda client: client.get(self._link.replace("?", "/peaks?")),
            JOB: lambda client: client.get(self._job),
            USERS: lambda client: client.post("/users", json={"name": f"Guest {uuid4()}"}),
            RECORD: self._upload,
            QUESTIONS: lambda client: client.post("/questions", json={"questions_num": 1}),
        }

    @property
    def requests(self) -> list[str]:
        """The names of all that there are."""
        return [*self._sending]

    def ask_at_once(self, requests: Sequence[str]) -> list[Seen]:
        """Send all of these at the same time, each over a connection of its own."""

        def ask(request: str) -> Seen:
            with self._client() as client:
                return self._ask(client, request)

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(ask, requests))

    def ask_often(self, request: str, times: int, *, clients: int) -> list[Seen]:
        """Send a request again and again, by so many at a time, whose connections last."""

        def ask(count: int) -> list[Seen]:
            with self._client() as client:
                return [self._ask(client, request) for _ in range(count)]

        with ThreadPoolExecutor(clients) as pool:
            return [seen for some in pool.map(ask, [times // clients] * clients) for seen in some]

    def what_is_away(self) -> frozenset[str]:
        """What /health/ready names."""
        with self._client() as client:
            return _away(client.get("/health/ready").json())

    def _client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._url, timeout=PATIENCE_SECONDS, verify=False, trust_env=False
        )

    def _ask(self, client: httpx.Client, request: str) -> Seen:
        began = time.monotonic()
        answer = None
        with suppress(httpx.TransportError):
            answer = self._sending[request](client)
        return Seen(request, time.monotonic() - began, answer)

    def _upload(self, client: httpx.Client) -> httpx.Response:
        fields: dict[str, Any] = {"user": str(self._user["id"]), "token": self._user["token"]}
        return client.post("/record", data=fields, files={"file": ("visit.wav", self._wav)})


@dataclass(frozen=True)
class Due:
    """What a request must be answered with."""

    status: int
    slug: str = ""
    """Of the problem."""
    away: frozenset[str] = frozenset()
    """What the problem's checks have to name, and nothing else."""
    within_seconds: float = PATIENCE_SECONDS

    def some_time(self) -> "Due":
        """The same, whenever it comes."""
        return replace(self, within_seconds=math.inf)

    def check(self, seen: Seen) -> Iterator[str]:
        """What is wrong with an answer, as sentences."""
        if seen.answer is None:
            yield f"no answer within {seen.seconds:.1f} s"
            return
        if seen.seconds > self.within_seconds:
            yield f"took {seen.seconds:.1f} s, and may take {self.within_seconds:g}"
        if seen.answer.status_code != self.status:
            yield f"{seen.answer.status_code} where {self.status} is due: {seen.answer.text[:200]}"
            return
        retry_after = seen.answer.headers.get("Retry-After", "")
        if self.status in TO_BE_RETRIED and not retry_after.isdigit():
            yield "no Retry-After"
        if self.slug:
            yield from self._check_problem(seen.answer)

    def _check_problem(self, answer: httpx.Response) -> Iterator[str]:
        media_type = answer.headers["Content-Type"]
        if media_type != "application/problem+json":
            yield f"the error is {media_type}"
        elif answer.request.method != "HEAD":
            problem = answer.json()
            if problem["type"] != f"/problems/{self.slug}":
                yield f"{problem['type']} where {self.slug} is due"
            if not problem["detail"].endswith("."):
                yield f"the detail is no sentence: {problem['detail']!r}"
            if _away(problem) != self.away:
                yield f"{problem['checks']} where {self.away} is away"


def _away(answer: Mapping[str, Any]) -> frozenset[str]:
    """What the checks in it name."""
    checks: Mapping[str, str] = answer.get("checks", {})
    return frozenset(name for name, found in checks.items() if found not in {"ok", "unknown"})
