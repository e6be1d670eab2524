"""A steady load: clients that note what they asked for and what they were told.

They go on through every outage: whoever gets no answer notes that, and asks for something else.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any
from uuid import uuid4

import httpx

from tests.audio import make_wav

PATIENCE_SECONDS = 40
"""Longer than the product lets anybody wait."""

MOST_QUESTIONS = 20
BREATH_SECONDS = 0.15
"""Between one client's requests: the load is steady, not the most there can be."""


@dataclass(frozen=True)
class Sound:
    """A WAV to upload."""

    seconds: float
    sample_rate_hz: int
    channels: int

    @property
    def sample_frames(self) -> int:
        return round(self.seconds * self.sample_rate_hz)

    def wav(self) -> bytes:
        return _wav(self)


@cache
def _wav(sound: Sound) -> bytes:
    return make_wav(sound.seconds, sample_rate_hz=sound.sample_rate_hz, channels=sound.channels)


NOTE = Sound(2, 44_100, 2)
SPEECH = Sound(20, 8_000, 1)
LECTURE = Sound(1_200, 8_000, 1)
"""Long enough to be cut into segments."""


@dataclass(frozen=True)
class Operation:
    """A request, and what came of it."""

    kind: str
    """`upload`, `refused` (an upload that must be), or `questions`."""
    name: str
    """The upload's, which no other has."""
    size: int
    """Sample frames uploaded, or questions asked for."""
    status: int | None
    """None where no whole answer came."""
    body: Mapping[str, Any]
    began: float
    ended: float


class Load:
    """Its clients work in threads from `start` to `stop`."""

    def __init__(self, url: str, user: Mapping[str, Any], random: Random) -> None:
        self._url = url
        self._user = user
        self._ended = threading.Event()
        self._operations: list[Operation] = []
        works = [self._upload_form, self._upload_plain, self._upload_odd, self._ask, self._ask]
        self._threads = [
            threading.Thread(target=self._work, args=(work, Random(random.random())), daemon=True)
            for work in works
        ]
        self.token = str(user["token"])

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[Operation]:
        """Begin nothing more, and return when all that was begun has ended."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return self._operations

    def _work(
        self, work: Callable[[httpx.Client, Random], Operation | None], random: Random
    ) -> None:
        with httpx.Client(timeout=PATIENCE_SECONDS, trust_env=False) as client:
            while not self._ended.wait(BREATH_SECONDS):
                if operation := work(client, random):
                    self._operations.append(operation)

    def _upload_form(self, client: httpx.Client, random: Random) -> Operation:
        sound = random.choice([NOTE, NOTE, SPEECH])
        name = f"{uuid4()}.wav"
        fields = {"user": str(self._user["id"]), "token": self.token}
        return _noted(
            "upload",
            name,
            sound.sample_frames,
            lambda: client.post(
                f"{self._url}/record", data=fields, files={"file": (name, sound.wav())}
            ),
        )

    def _upload_plain(self, client: httpx.Client, random: Random) -> Operation:
        sound = random.choice([NOTE, SPEECH, LECTURE])
        return self._post_plain(client, "upload", sound.sample_frames, sound.wav())

    def _upload_odd(self, client: httpx.Client, random: Random) -> Operation | None:
        """Something that must be refused, or whose client leaves before its end."""
        wav = NOTE.wav()
        if random.random() < 0.5:
            cut = wav[: random.randrange(1, len(wav))]
            return self._post_plain(client, "refused", 0, cut)
        place = random.randrange(len(wav))
        with _broken_off():
            client.post(
                f"{self._url}/record",
                params={"user": self._user["id"], "filename": f"left {uuid4()}.wav"},
                headers={"Authorization": f"Bearer {self.token}", "Content-Length": f"{len(wav)}"},
                content=_until(wav, place),
            )
        return None

    def _post_plain(
        self, client: httpx.Client, kind: str, sample_frames: int, body: bytes
    ) -> Operation:
        name = f"{uuid4()}.wav"
        return _noted(
            kind,
            name,
            sample_frames,
            lambda: client.post(
                f"{self._url}/record",
                params={"user": self._user["id"], "filename": name},
                headers={"Authorization": f"Bearer {self.token}"},
                content=body,
            ),
        )

    def _ask(self, client: httpx.Client, random: Random) -> Operation:
        count = random.randint(1, MOST_QUESTIONS)
        return _noted(
            "questions",
            "",
            count,
            lambda: client.post(f"{self._url}/questions", json={"questions_num": count}),
        )


def _noted(kind: str, name: str, size: int, send: Callable[[], httpx.Response]) -> Operation:
    began = time.monotonic()
    status, body = None, {}
    with _broken_off():
        answer = send()
        status, body = answer.status_code, answer.json()
    return Operation(kind, name, size, status, body, began, time.monotonic())


@contextmanager
def _broken_off() -> Iterator[None]:
    """No whole answer came."""
    try:
        yield
    except (httpx.HTTPError, _Left):
        return


class _Left(Exception):
    """A client leaves."""


def _until(wav: bytes, place: int) -> Iterator[bytes]:
    yield wav[:place]
    raise _Left
