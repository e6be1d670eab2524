"""GET /jobs/{id}/events."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from unittest.mock import AsyncMock, Mock
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from api import events as streams
from api.schemas import JobStatus
from api.waiting import Waiter
from shared import errors
from shared.models import State
from tests.api.problems import problem
from tests.audio import make_wav
from tests.stack import Api, User

LONG = make_wav(900, sample_rate_hz=8_000)


class Event(NamedTuple):
    id: str
    data: Any


def follow(api: Api, job: str, last_seen: str = "") -> Iterator[Event]:
    """What an EventSource would dispatch."""
    headers = {"Last-Event-ID": last_seen} if last_seen else {}
    with api.client.stream("GET", f"{urlsplit(job).path}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for event in "\n".join([*answer.iter_lines(), ""]).split("\n\n"):
            fields = dict(line.partition(": ")[::2] for line in event.splitlines())
            if "data" in fields:
                yield Event(fields["id"], json.loads(fields["data"]))


def events(api: Api, job: str, last_seen: str = "") -> list[Event]:
    return list(follow(api, job, last_seen))


def accepted(user: User, wav: bytes) -> str:
    answer = user.upload_plain(wav, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    return str(answer.json()["job"])


def test_events_can_be_looked_at_without_being_followed(alice: User) -> None:
    job = accepted(alice, LONG)

    head = alice.api.client.head(f"{urlsplit(job).path}/events")

    assert head.status_code == 200
    assert head.headers["content-type"].startswith("text/event-stream")


def test_a_jobs_changes_are_told_until_its_end(alice: User) -> None:
    job = accepted(alice, LONG)

    seen = events(alice.api, job)

    states = [event.data["state"] for event in seen]
    progress = [event.data["progress"] for event in seen]
    assert states[-1] == "done"
    assert "done" not in states[:-1]
    assert progress == sorted(progress)
    assert len({event.id for event in seen}) == len(seen) > 2
    assert seen[-1].data == alice.api.get(urlsplit(job).path).json()


def test_who_comes_back_hears_what_is_new(alice: User) -> None:
    job = accepted(alice, LONG)
    first = next(follow(alice.api, job))

    rest = events(alice.api, job, first.id)

    assert first.id not in {event.id for event in rest}
    assert rest[-1].data["state"] == "done"


def test_who_has_heard_all_is_told_not_to_come_back(alice: User) -> None:
    job = accepted(alice, make_wav(0.1))
    *_, last = events(alice.api, job)

    headers = {"Last-Event-ID": last.id}
    answer = alice.api.get(f"{urlsplit(job).path}/events", headers=headers)

    assert (answer.status_code, answer.content) == (204, b"")


def test_there_are_no_events_of_nothing(api: Api) -> None:
    for job_id in (str(uuid4()), "x"):
        answer: httpx.Response = api.get(f"/jobs/{job_id}/events")
        assert problem(answer) == (404, "job-not-found")


def test_an_outage_of_the_database_breaks_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RETRY_SECONDS", 0)
    moment = datetime.now(UTC)
    done = JobStatus(
        id=uuid4(),
        kind="questions.collect",
        state=State.DONE,
        progress=1,
        attempt=1,
        created_at=moment,
        finished_at=moment,
    )
    read = AsyncMock(side_effect=[*[errors.DatabaseUnavailable()] * 2, done])

    async def stream() -> list[bytes]:
        waiter = Waiter(Mock(), Mock(), Mock())
        return [event async for event in streams.follow(done.id, read, waiter, None)]

    _, *comments, event = asyncio.run(stream())

    assert [comment[:1] for comment in comments] == [b":", b":"]
    assert b'"state":"done"' in event


def test_the_stream_says_when_to_come_back(alice: User) -> None:
    job = accepted(alice, make_wav(0.1))

    text = alice.api.get(f"{urlsplit(job).path}/events").text

    assert text.startswith("retry: 2000\n\n")
    assert json.loads(text.partition("data: ")[2].partition("\n")[0])["kind"] == "records.convert"
