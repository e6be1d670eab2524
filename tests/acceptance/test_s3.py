"""The service on a bucket: whatever happens to uploads on their way, nothing is lost or stays."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, func, update
from tusclient.client import TusClient

from launcher import valkey
from shared import jobs
from shared.crashpoints import Point
from shared.models import Job, State
from shared.s3 import S3Store
from shared.store import UploadStore
from tests import audio, seaweed
from tests.conftest import TEMPLATE, _new_database
from tests.faults.proxy import Proxy
from tests.stack import Api, Stack, User, eventually

RATE_HZ = 8_000
LONG_SECONDS = 1_200
"""Two segments."""
SHORT = audio.make_wav(1)
LONG = audio.make_wav(LONG_SECONDS, sample_rate_hz=RATE_HZ, channels=1)
POINTS: list[Point] = ["piece-stored", "upload-ended"]
"""Where a process dies while it puts an upload into a bucket."""
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module")
def proxy(seaweed_server: seaweed.Server) -> Iterator[Proxy]:
    """The network in front of the bucket."""
    port = urlsplit(seaweed_server.keys["AWS_ENDPOINT_URL_S3"]).port
    assert port is not None
    with Proxy(port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def stack(
    admin: Engine,
    seaweed_server: seaweed.Server,
    proxy: Proxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("s3")
    settings = seaweed_server.keys | {
        "UPLOADS_URL": seaweed_server.url("acceptance"),
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{proxy.port}",
        "CRASH_POINTS": str(folder),
        "JOB_LEASE_SECONDS": "3",
        "SWEEP_SECONDS": "0.5",
        "QUESTION_SOURCES": "bank",
        "LOG_LEVEL": "debug",
        "PATH": os.environ["PATH"],  # In which pydub looks for ffmpeg.
    }
    for database_url in _new_database(admin, TEMPLATE):
        with (
            valkey.Server(folder / "valkey") as broker,
            Stack(folder, database_url, broker.url, **settings) as stack,
        ):
            yield stack


@pytest.fixture
def uploads(s3_url: str, seaweed_server: seaweed.Server) -> UploadStore:
    """What the service has there."""
    return S3Store.of_url(seaweed_server.url("acceptance"))


@pytest.fixture
def alice(stack: Stack, uploads: UploadStore) -> Iterator[User]:
    """Somebody who leaves nothing."""
    stack.revive()
    stack.api.wait_until_ready()
    yield stack.api.new_user()
    eventually(lambda: not list(uploads.ages()))


def begin(user: User, wav: bytes) -> str:
    """The path of a resumable upload."""
    headers = TUS | user.headers | {"Upload-Length": str(len(wav))}
    answer = user.api.post("/uploads", params={"user": user.id}, headers=headers)
    assert answer.status_code == 201, answer.text
    return httpx.URL(answer.headers["location"]).path


def patch(user: User, path: str, offset: int, content: bytes) -> httpx.Response:
    headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    return user.api.client.patch(path, headers=TUS | user.headers | headers, content=content)


def offset(user: User, path: str) -> int:
    return int(user.api.client.head(path, headers=TUS | user.headers).headers["upload-offset"])


def sample_frames(user: User, record: httpx.Response, *, channels: int) -> int:
    assert record.status_code in {200, 201}, record.text
    mp3 = user.api.get(record.json()["url"]).content
    return len(audio.decoded(mp3, channels=channels))


def test_a_short_recording(alice: User) -> None:
    assert sample_frames(alice, alice.upload(SHORT), channels=2) == 44_100


def test_a_recording_in_segments(alice: User) -> None:
    assert sample_frames(alice, alice.upload(LONG), channels=1) == LONG_SECONDS * RATE_HZ


def test_a_recording_that_ffmpeg_decodes(alice: User) -> None:
    wav = audio.compressed("libmp3lame", audio.music(1))

    assert alice.upload(wav).status_code == 201


def test_what_is_refused_leaves_nothing(alice: User) -> None:
    assert alice.upload(LONG[:-4]).status_code == 422


def test_a_tus_client_goes_on_where_a_killed_api_stopped(alice: User, stack: Stack) -> None:
    client = TusClient(f"{stack.api.url}/uploads?user={alice.id}", headers=alice.headers)
    wav = audio.make_wav(20)
    sender = client.uploader(file_stream=BytesIO(wav), chunk_size=1_000_000)
    sender.upload(stop_at=2_000_000)
    stack.api.kill()
    eventually(lambda: not stack.api.is_running())
    stack.revive()
    stack.api.wait_until_ready()

    resumed = client.uploader(file_stream=BytesIO(wav), url=sender.url)
    assert resumed.offset == 2_000_000
    resumed.upload()

    record = alice.api.get(httpx.URL(str(sender.url)).path, headers=alice.headers)
    assert sample_frames(alice, record, channels=2) == 20 * 44_100


def test_of_two_at_once_one_goes_on(alice: User) -> None:
    path = begin(alice, SHORT)
    head = [f"{name}: {value}" for name, value in (TUS | alice.headers).items()]
    head += ["Content-Type: application/offset+octet-stream", "Upload-Offset: 0"]

    with ExitStack() as connections:
        wires = [connections.enter_context(alice.api.connect()) for _ in range(2)]
        for wire in wires:
            wire.send_head(f"PATCH {path}", *head, f"Content-Length: {len(SHORT)}")
            wire.send(SHORT[:-1])
        for wire in wires:
            wire.send(SHORT[-1:])
        answers = [wire.answer().status for wire in wires]

    assert sorted(answers) == [204, 409]
    assert offset(alice, path) == len(SHORT)


def test_a_terminated_upload_is_gone(alice: User, uploads: UploadStore) -> None:
    path = begin(alice, LONG)
    patch(alice, path, 0, LONG[:2_000_000])
    assert offset(alice, path) == 2_000_000

    assert alice.api.client.delete(path, headers=TUS | alice.headers).status_code == 204

    assert list(uploads.ages()) == []


@pytest.fixture
def mortal(stack: Stack) -> Iterator[Api]:
    """An API process which may be killed."""
    with stack.another_api() as api:
        yield api


@pytest.mark.parametrize("point", POINTS)
def test_a_whole_upload_becomes_a_recording_although_the_api_dies(
    alice: User, stack: Stack, mortal: Api, point: Point
) -> None:
    path = begin(alice, SHORT)
    (stack.folder / point).touch()

    with pytest.raises(httpx.TransportError):
        patch(alice.elsewhere(mortal), path, 0, SHORT)
    while (sent := offset(alice, path)) < len(SHORT):
        patch(alice, path, sent, SHORT[sent:])

    record = alice.api.get(path, headers=alice.headers)
    assert sample_frames(alice, record, channels=2) == 44_100


def test_the_sweep_sees_what_a_killed_api_left(
    alice: User, stack: Stack, mortal: Api, uploads: UploadStore
) -> None:
    (stack.folder / "piece-stored").touch()

    with pytest.raises(httpx.TransportError):
        alice.elsewhere(mortal).upload(LONG)

    # That it goes in time, `tests/worker/test_sweep.py` shows.
    [(left, _)] = uploads.ages()
    uploads.delete(left)


def test_while_the_bucket_is_away_uploads_are_refused(
    alice: User, proxy: Proxy, stack: Stack
) -> None:
    path = begin(alice, SHORT)

    with proxy.refusing():
        refused = [alice.upload(SHORT), patch(alice, path, 0, SHORT)]
        health = alice.api.get("/health/ready")

    for answer in refused:
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert health.json()["checks"]["uploads"] == "unavailable"
    eventually(stack.api.is_ready)
    assert patch(alice, path, offset(alice, path), SHORT).status_code == 204


def job_of(stack: Stack, answer: httpx.Response) -> Job:
    with stack.database.transaction() as session:
        return jobs.get(session, UUID(answer.json()["job"].rpartition("/")[2]))


def test_an_accepted_recording_waits_for_the_bucket_however_long_that_takes(
    alice: User, proxy: Proxy, stack: Stack
) -> None:
    stack.workers[0].kill()
    eventually(lambda: not stack.workers[0].is_running())
    accepted = alice.upload_plain(SHORT, headers={"Prefer": "respond-async"})

    with proxy.refusing():
        stack.revive()
        eventually(lambda: job_of(stack, accepted).error)
    with stack.database.transaction() as session:
        session.execute(update(Job).values(not_before=func.now()))
    eventually(lambda: job_of(stack, accepted).finished_at)

    job = job_of(stack, accepted)
    assert (job.state, job.attempt) == (State.DONE, 1)


def test_no_log_holds_a_key(stack: Stack, seaweed_server: seaweed.Server) -> None:
    logs = "".join(log.read_text() for log in stack.folder.glob("*.log"))

    assert "the bucket cannot be reached" in logs
    assert seaweed_server.keys["AWS_SECRET_ACCESS_KEY"] not in logs
    assert not re.search("Signature|AWS4-HMAC", logs)
    assert stack.tracebacks() == []
