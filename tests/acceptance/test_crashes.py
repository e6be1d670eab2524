"""A process dies wherever that could lose or double something, and nothing is lost or doubled."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select, text

from launcher import valkey
from shared.crashpoints import NAMES, Point
from shared.errors import QuestionsExhausted
from shared.models import Job, Piece, Question, Record, State
from tests.acceptance import test_s3
from tests.audio import decoded, make_wav
from tests.conftest import TEMPLATE, _new_database
from tests.stack import Stack, User, eventually
from worker.sweep import STALE_SECONDS

LEASE_SECONDS = 3
RECOVERY_SECONDS = LEASE_SECONDS + 10

RATE_HZ = 8_000
SHORT_SECONDS = 2
LONG_SECONDS = 1_200
"""Two segments."""

COUNT = 5

Order = Callable[[User], httpx.Response]

log = logging.getLogger(__name__)


@cache
def wav(seconds: int) -> bytes:
    return make_wav(seconds, sample_rate_hz=RATE_HZ, channels=1)


def short_recording(user: User) -> httpx.Response:
    return user.upload(wav(SHORT_SECONDS))


def long_recording(user: User) -> httpx.Response:
    return user.upload(wav(LONG_SECONDS))


def questions(user: User) -> httpx.Response:
    return user.api.ask_questions(COUNT)


def too_many_questions(user: User) -> httpx.Response:
    return user.api.ask_questions(1_000)


# Where a process dies, and what was ordered.
UNACCEPTED: list[tuple[Point, Order]] = [
    ("upload-begun", long_recording),
    ("upload-written", short_recording),
    ("upload-synced", short_recording),
    ("upload-renamed", short_recording),
    ("job-created", short_recording),
    ("job-created", questions),
]
ACCEPTED: list[tuple[Point, Order]] = [
    ("job-accepted", short_recording),
    ("job-accepted", questions),
    ("hint-sent", long_recording),
    ("hint-sent", questions),
    ("outcome-read", short_recording),
    ("outcome-read", questions),
]
WAITED_FOR: list[tuple[Sequence[Point], Order, Sequence[int]]] = [
    # And how often each job is attempted, the recording's own first.
    (["hint-received"], short_recording, [1]),
    (["job-claimed"], short_recording, [2]),
    (["work-begun"], short_recording, [2]),
    (["work-done"], short_recording, [2]),
    (["end-written"], short_recording, [2]),
    (["job-ended"], short_recording, [1]),
    (["mp3-stored"], short_recording, [1]),
    # Once it is split, the attempts are counted anew.
    (["split-written"], long_recording, [1, 1, 1]),
    (["job-split"], long_recording, [1, 1, 1]),
    (["work-begun"], long_recording, [1, 1, 2]),
    (["end-written"], long_recording, [1, 1, 2]),
    (["parent-queued"], long_recording, [1, 1, 1]),
    (["join-written"], long_recording, [2, 1, 1]),
    (["hint-received"], questions, [1]),
    (["job-claimed"], questions, [2]),
    (["work-begun"], questions, [2]),
    (["end-written"], questions, [2]),
    (["job-ended"], questions, [1]),
    # What mends a crash crashes too.
    (["job-claimed", "job-rescued"], short_recording, [2]),
    (["hint-received", "hint-due"], questions, [1]),
]


@pytest.fixture(scope="module")
def service(admin: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service with its crash points armed; the tests start again what has died."""
    folder = tmp_path_factory.mktemp("crashes")
    (folder / "points").mkdir()
    settings = {
        "CRASH_POINTS": str(folder / "points"),
        "JOB_LEASE_SECONDS": str(LEASE_SECONDS),
        "SWEEP_SECONDS": "0.5",
        "QUESTION_SOURCES": "bank",
    }
    for database_url in _new_database(admin, TEMPLATE):
        with (
            valkey.Server(folder / "valkey") as broker,
            Stack(folder, database_url, broker.url, **settings) as stack,
        ):
            yield stack


@pytest.fixture
def stack(service: Stack) -> Stack:
    """All at work, and nothing stored."""
    service.revive()
    service.api.wait_until_ready()
    with service.database.transaction() as session:
        session.execute(text("TRUNCATE jobs, records, questions CASCADE"))
    return service


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def rows(stack: Stack, table: type[Any]) -> Sequence[Any]:
    with stack.database.transaction() as session:
        return session.scalars(select(table)).all()


def arm(stack: Stack, *points: Point) -> Callable[[int], bool]:
    """Have processes die at these points; the answer says whether so many have."""
    wishes = [stack.folder / "points" / point for point in points]
    for wish in wishes:
        wish.touch()
    return lambda deaths: sum(not wish.exists() for wish in wishes) >= deaths


def recover(stack: Stack, is_over: Callable[[], bool]) -> None:
    """Start again what has died, until it is over and nothing is left of the work."""
    began = time.monotonic()

    def is_recovered() -> bool:
        stack.revive()
        is_settled = all(job.finished_at for job in rows(stack, Job))
        return is_settled and not stack.has_uploads() and is_over()

    eventually(is_recovered)
    took = time.monotonic() - began
    log.info("recovered in %.1f s", took)
    assert took < RECOVERY_SECONDS


def joined(values: Any) -> str | None:
    """A case's points or numbers as a part of its name."""
    return None if callable(values) else "+".join(map(str, values))


def seconds(order: Order) -> int:
    """Of sound."""
    return LONG_SECONDS if order is long_recording else SHORT_SECONDS


def attempts(stack: Stack) -> list[int]:
    """Of each job, the recording's own first."""
    jobs = sorted(rows(stack, Job), key=lambda job: (job.parent_id is not None, job.attempt))
    return [job.attempt for job in jobs]


def check_effects(stack: Stack, order: Order) -> None:
    """There is exactly what was ordered."""
    assert {job.state for job in rows(stack, Job)} == {State.DONE}
    if order is questions:
        assert (len(rows(stack, Question)), rows(stack, Record)) == (COUNT, [])
        return
    [record] = rows(stack, Record)
    mp3 = stack.api.get(f"/record?id={record.id}&user={record.user_id}").content
    assert len(mp3) == record.size_bytes
    assert len(decoded(mp3, channels=1)) == RATE_HZ * seconds(order)
    assert rows(stack, Piece) == []


@pytest.mark.parametrize(("point", "order"), UNACCEPTED)
def test_what_was_not_accepted_leaves_nothing(
    stack: Stack, threads: ThreadPoolExecutor, point: Point, order: Order
) -> None:
    struck = arm(stack, point)

    client = threads.submit(order, stack.api.new_user())

    with pytest.raises(httpx.TransportError):
        client.result()
    eventually(lambda: not stack.api.is_running())
    assert struck(1)
    assert rows(stack, Job) == rows(stack, Record) == []
    uploads = list(stack.uploads.iterdir())
    assert len(uploads) == (order is not questions)
    for upload in uploads:
        then = time.time() - STALE_SECONDS - 1
        os.utime(upload, (then, then))
    eventually(lambda: not stack.has_uploads())


@pytest.mark.parametrize(("point", "order"), ACCEPTED)
def test_what_was_accepted_is_done_without_its_client(
    stack: Stack, threads: ThreadPoolExecutor, point: Point, order: Order
) -> None:
    struck = arm(stack, point)

    client = threads.submit(order, stack.api.new_user())

    with pytest.raises(httpx.TransportError):
        client.result()
    eventually(lambda: not stack.api.is_running())
    assert struck(1)
    recover(stack, stack.api.is_ready)
    check_effects(stack, order)
    assert set(attempts(stack)) == {1}


@pytest.mark.parametrize(("points", "order", "expected"), WAITED_FOR, ids=joined)
def test_who_waits_gets_what_was_ordered(
    stack: Stack,
    threads: ThreadPoolExecutor,
    points: Sequence[Point],
    order: Order,
    expected: Sequence[int],
) -> None:
    struck = arm(stack, *points)

    client = threads.submit(order, stack.api.new_user())

    eventually(lambda: struck(1))
    recover(stack, lambda: struck(len(points)) and client.done())
    answer = client.result()
    if order is questions:
        assert (answer.status_code, answer.json()) == (200, {})
    else:
        assert (answer.status_code, answer.json()["duration"]) == (201, seconds(order))
    check_effects(stack, order)
    assert attempts(stack) == expected


def test_a_failure_is_told_though_its_worker_could_not_tell(
    stack: Stack, threads: ThreadPoolExecutor
) -> None:
    struck = arm(stack, "job-failed")

    client = threads.submit(too_many_questions, stack.api.new_user())

    eventually(lambda: struck(1))
    recover(stack, client.done)
    answer = client.result()
    assert (answer.status_code, answer.json()["title"]) == (503, QuestionsExhausted.title)
    assert (attempts(stack), rows(stack, Question)) == ([1], [])


def test_every_point_is_tried() -> None:
    tried = {point for point, _ in UNACCEPTED + ACCEPTED}
    tried |= {point for points, *_ in WAITED_FOR for point in points} | {"job-failed"}
    tried |= {*test_s3.POINTS}

    assert tried == set(NAMES)
