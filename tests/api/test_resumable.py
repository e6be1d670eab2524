"""/uploads: recordings that arrive over many requests, sent by hand and by a real tus client."""

import asyncio
import base64
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, select
from tusclient.client import TusClient

from api import tus, uploads
from api.tus import MEDIA_TYPE
from shared import resumable
from shared.models import Record, ResumableUpload
from shared.store import FolderStore
from tests import audio
from tests.api.problems import problem
from tests.stack import Api, Stack, User, Wire, eventually

WAV = audio.make_wav(1)
HALF = len(WAV) // 2
TUS = {"Tus-Resumable": "1.0.0"}
LIMITS = uploads.Limits(10**9, 10**9, 30, 0)
NO_WAV = b"ID3\x04" + bytes(1_000)


pytestmark = pytest.mark.usefixtures("nothing_left")


@dataclass(frozen=True)
class Sending:
    """A resumable upload as its user sees it."""

    user: User
    path: str

    def request(
        self, method: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        headers = TUS | self.user.headers | dict(headers or {})
        return self.user.api.client.request(method, self.path, headers=headers, **options)

    def patch(
        self, offset: int, content: Any, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        told = {"Upload-Offset": str(offset), "Content-Type": MEDIA_TYPE}
        told |= headers or {}
        return self.request("PATCH", told, content=content)

    def offset(self) -> int:
        answer = self.request("HEAD")
        assert answer.status_code == 200
        return int(answer.headers["upload-offset"])

    def elsewhere(self, api: Api) -> "Sending":
        return Sending(self.user.elsewhere(api), self.path)

    def begin_patch(self, wire: Wire, offset: int, size_bytes: int) -> None:
        """The head of a PATCH; its body is left to `wire.send`."""
        told = TUS | self.user.headers | {"Content-Type": MEDIA_TYPE}
        told |= {"Upload-Offset": str(offset), "Content-Length": str(size_bytes)}
        wire.send_head(f"PATCH {self.path}", *(f"{name}: {text}" for name, text in told.items()))

    @property
    def upload_id(self) -> str:
        return self.path.rpartition("/")[2]


def post(
    user: User, length: int, headers: Mapping[str, str] | None = None, content: bytes = b""
) -> httpx.Response:
    told = TUS | user.headers | {"Upload-Length": str(length)} | dict(headers or {})
    return user.api.post("/uploads", params={"user": user.id}, headers=told, content=content)


def begin(user: User, length: int = len(WAV), headers: Mapping[str, str] | None = None) -> Sending:
    answer = post(user, length, headers)
    assert answer.status_code == 201, answer.text
    return Sending(user, httpx.URL(answer.headers["location"]).path)


def metadata(**texts: str) -> dict[str, str]:
    pairs = (f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in texts.items())
    return {"Upload-Metadata": ",".join(pairs)}


def stored(stack: Stack, sending: Sending) -> int:
    """Records that this upload has become: one or none."""
    with stack.database.transaction() as session:
        count = select(func.count()).where(Record.id == UUID(sending.upload_id))
        return session.scalar(count) or 0


def has_begun(stack: Stack, length: int) -> bool:
    """Whether there is an upload of that length."""
    with stack.database.transaction() as session:
        found = select(ResumableUpload).where(ResumableUpload.length_bytes == length)
        return session.scalars(found).first() is not None


def part(stack: Stack, sending: Sending) -> Path:
    return stack.uploads / f"{sending.upload_id}.part"


def expire(stack: Stack, sending: Sending) -> None:
    then = time.time() - 100_000
    os.utime(part(stack, sending), (then, then))


def test_an_upload_in_two_parts_becomes_the_same_recording_as_a_plain_one(alice: User) -> None:
    plain = alice.upload(WAV, "Речь.wav").json()
    sending = begin(alice, headers=metadata(filename="Речь.wav"))

    first = sending.patch(0, WAV[:HALF])
    last = sending.patch(HALF, WAV[HALF:])
    record = sending.request("GET").json()

    assert (first.status_code, first.headers["upload-offset"]) == (204, str(HALF))
    assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(WAV)))
    assert record["id"] == sending.upload_id
    assert last.headers["link"] == f'<{record["url"]}>; rel="alternate"; type="audio/mpeg"'
    assert record["filename"] == "Речь.mp3"
    assert list(record) == list(plain)
    assert alice.api.get(record["url"]).content == alice.api.get(plain["url"]).content


def test_creation_says_where_and_until_when(alice: User, api: Api) -> None:
    answer = post(alice, len(WAV))

    left = parsedate_to_datetime(answer.headers["upload-expires"]).timestamp() - time.time()
    assert answer.headers["location"].startswith(f"{api.url}/uploads/")
    assert UUID(answer.headers["location"][-36:]).version == 4
    assert 86_300 < left <= 86_400
    assert (answer.headers["upload-offset"], answer.headers["tus-resumable"]) == ("0", "1.0.0")


def test_the_creation_may_bring_the_beginning(alice: User) -> None:
    answer = post(alice, len(WAV), {"Content-Type": MEDIA_TYPE}, WAV[:HALF])
    sending = Sending(alice, httpx.URL(answer.headers["location"]).path)

    assert answer.headers["upload-offset"] == str(HALF)
    assert sending.patch(HALF, WAV[HALF:]).status_code == 204


def test_the_creation_may_bring_all(alice: User) -> None:
    answer = post(alice, len(WAV), {"Content-Type": MEDIA_TYPE}, WAV)

    assert answer.status_code == 201
    assert answer.headers["upload-offset"] == str(len(WAV))
    assert alice.api.get(answer.headers["location"], headers=alice.headers).json()["duration"] == 1


@pytest.mark.parametrize("kind", [MEDIA_TYPE.title(), f"{MEDIA_TYPE}; a=b"])
def test_a_media_type_is_what_it_is_however_it_is_written(alice: User, kind: str) -> None:
    answer = post(alice, len(WAV), {"Content-Type": kind}, WAV)

    assert answer.headers["upload-offset"] == str(len(WAV))


def test_a_creation_with_another_body_is_refused(alice: User, stack: Stack) -> None:
    before = {*stack.uploads.iterdir()}

    answer = post(alice, len(WAV), {"Content-Type": "audio/wav"}, WAV)

    assert problem(answer) == (415, "unsupported-media-type")
    assert {*stack.uploads.iterdir()} <= before


def test_a_creation_with_a_key_begins_one_upload(alice: User) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    sending = begin(alice, headers=key)
    sending.patch(0, WAV[:HALF])

    again = post(alice, len(WAV), key)
    other = post(alice, len(WAV) + 1, key)

    assert again.headers["location"].endswith(sending.path)
    assert again.headers["upload-offset"] == str(HALF)
    assert again.headers["idempotency-replayed"] == "true"
    assert problem(other) == (409, "idempotency-conflict")


def test_a_repeated_creation_leaves_no_second_file(alice: User, stack: Stack) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    begin(alice, headers=key)
    before = {*stack.uploads.iterdir()}

    answers = [post(alice, len(WAV), key), post(alice, len(WAV) + 1, key)]

    assert [answer.status_code for answer in answers] == [201, 409]
    assert {*stack.uploads.iterdir()} == before


@pytest.mark.parametrize("content", [NO_WAV, WAV[:-100]])
def test_a_repeat_of_a_refused_creation_is_refused_alike(alice: User, content: bytes) -> None:
    key = {"Idempotency-Key": str(uuid4()), "Content-Type": MEDIA_TYPE}

    first, again = (post(alice, len(content), key, content) for _ in range(2))

    assert problem(first) == problem(again)
    assert first.status_code in {415, 422}


def test_what_a_broken_connection_brought_is_found_again_by_its_key(
    alice: User, stack: Stack
) -> None:
    """The first one is still open when the second is told, and takes nothing along in the end."""
    wav, sent_bytes = audio.make_wav(3), 400_000
    key = {"Idempotency-Key": str(uuid4())}
    head = TUS | alice.headers | key | {"Upload-Length": str(len(wav)), "Content-Type": MEDIA_TYPE}
    with alice.api.connect() as wire:
        lines = [f"{name}: {value}" for name, value in head.items()]
        wire.send_head(f"POST /uploads?user={alice.id}", *lines, f"Content-Length: {len(wav)}")
        wire.send(wav[:sent_bytes])
        eventually(lambda: has_begun(stack, len(wav)))
        sending = begin(alice, len(wav), key)
    eventually(lambda: sending.offset() == sent_bytes)
    assert sending.patch(sent_bytes, wav[sent_bytes:]).status_code == 204

    again = post(alice, len(wav), key)

    assert again.headers["upload-offset"] == str(len(wav))
    assert alice.api.get(sending.path, headers=alice.headers).json()["duration"] == 3


def test_the_user_may_be_in_the_metadata(alice: User) -> None:
    told = TUS | alice.headers | {"Upload-Length": "100"} | metadata(user=str(alice.id))

    assert alice.api.post("/uploads", headers=told).status_code == 201


def test_head_says_all_that_is_known(alice: User) -> None:
    told = metadata(mood="", filename="a.wav")
    sending = begin(alice, headers=told)
    sending.patch(0, WAV[:HALF])

    headers = sending.request("HEAD").headers

    assert headers["upload-offset"] == str(HALF)
    assert headers["upload-length"] == str(len(WAV))
    assert headers["upload-metadata"] == told["Upload-Metadata"]
    assert headers["cache-control"] == "no-store"
    assert "upload-expires" in headers


def test_an_unfinished_upload_is_shown(alice: User) -> None:
    sending = begin(alice)
    sending.patch(0, WAV[:HALF])

    shown = sending.request("GET").json()

    assert (shown["id"], shown["offset"], shown["length"]) == (sending.upload_id, HALF, len(WAV))


def test_options_say_what_is_spoken(api: Api) -> None:
    answer = api.client.options("/uploads")

    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-extension"].split(",") == [
        "creation",
        "creation-with-upload",
        "expiration",
        "termination",
    ]
    assert answer.headers["tus-max-size"] == str(2 << 30)


def test_another_offset_is_a_conflict_and_changes_nothing(alice: User) -> None:
    sending = begin(alice)
    sending.patch(0, WAV[:HALF])

    refused = [sending.patch(offset, b"junk") for offset in (0, HALF - 1, HALF + 1, 10**12)]

    assert {problem(answer) for answer in refused} == {(409, "offset-conflict")}
    assert refused[0].headers["tus-resumable"] == "1.0.0"
    assert sending.patch(HALF, WAV[HALF:]).status_code == 204


def test_a_whole_upload_takes_no_more(alice: User, stack: Stack) -> None:
    sending = begin(alice)
    sending.patch(0, WAV)

    assert problem(sending.patch(0, WAV)) == (409, "offset-conflict")
    assert problem(sending.patch(len(WAV), b"more")) == (413, "upload-too-large")
    assert sending.patch(len(WAV), b"").headers["upload-offset"] == str(len(WAV))
    assert stored(stack, sending) == 1


@pytest.mark.parametrize("is_chunked", [False, True])
def test_more_than_was_announced_is_refused_and_the_rest_kept(
    alice: User, *, is_chunked: bool
) -> None:
    sending = begin(alice)
    sending.patch(0, WAV[:HALF])

    body = WAV[HALF:] + b"more"
    answer = sending.patch(HALF, iter([body]) if is_chunked else body)

    assert answer.status_code == (400 if is_chunked else 413)
    assert sending.offset() == HALF


def test_what_came_before_the_line_broke_is_kept(alice: User) -> None:
    sending = begin(alice)

    with alice.api.connect() as wire:
        sending.begin_patch(wire, 0, len(WAV))
        wire.send(WAV[:HALF])

    assert eventually(lambda: sending.offset() or None) == HALF
    assert sending.patch(HALF, WAV[HALF:]).status_code == 204


def test_an_offset_is_on_disk_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, upload_id = FolderStore(tmp_path), uuid4()
    store.begin(upload_id, expected_bytes=0)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))

    async def blocks() -> AsyncIterator[bytes]:
        yield WAV[:HALF]

    with closing(store.resume(upload_id)) as upload:
        asyncio.run(tus.receive(upload, len(WAV), tus.Addition(0, 0, blocks()), LIMITS))

    assert synced == [HALF]


def test_over_a_slow_line_all_is_written_that_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, upload_id = FolderStore(tmp_path), uuid4()
    store.begin(upload_id, expected_bytes=0)
    monkeypatch.setattr(tus, "WRITE_SECONDS", 0)
    sizes: list[int] = []

    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, 300, 100):
            yield WAV[start : start + 100]
            sizes.append(upload.size_bytes)

    with closing(store.resume(upload_id)) as upload:
        asyncio.run(tus.receive(upload, len(WAV), tus.Addition(0, 0, blocks()), LIMITS))

    assert sizes == [100, 200, 300]


def test_a_stalled_line_is_told_how_far_it_came(stack: Stack, alice: User, strict: Api) -> None:
    sending = begin(alice).elsewhere(strict)

    with strict.connect() as wire:
        sending.begin_patch(wire, 0, len(WAV))
        wire.send(WAV[:HALF])
        answer = wire.answer()

    assert (answer.status, answer.headers["upload-offset"]) == (204, str(HALF))


def test_a_dead_connection_holds_up_nobody(alice: User, stack: Stack) -> None:
    sending = begin(alice)

    with alice.api.connect() as dead:
        sending.begin_patch(dead, 0, len(WAV))
        dead.send(WAV[:100])
        assert sending.patch(0, WAV).status_code == 204
        assert sending.request("GET").json()["duration"] == 1
        eventually(lambda: not stack.has_uploads())
        dead.send(WAV[100:])
        answer = dead.answer()

    assert (answer.status, answer.slug) == (409, "offset-conflict")
    assert sending.offset() == len(WAV)


def test_of_two_at_once_on_two_processes_one_goes_on(alice: User, stack: Stack, hasty: Api) -> None:
    sending = begin(alice)

    with ExitStack() as connections:
        wires = [connections.enter_context(api.connect()) for api in (alice.api, hasty)]
        for wire in wires:
            sending.begin_patch(wire, 0, len(WAV))
            wire.send(WAV[:-1])
        for wire in wires:
            wire.send(WAV[-1:])
        answers = [wire.answer() for wire in wires]

    assert sorted(answer.status for answer in answers) == [204, 409]
    assert sending.offset() == len(WAV)
    assert stored(stack, sending) == 1


def test_an_upload_that_is_no_wav_is_refused_at_its_beginning_and_gone(
    alice: User, stack: Stack
) -> None:
    sending = begin(alice, 10**9)

    assert problem(sending.patch(0, NO_WAV)) == (415, "not-a-wav")
    assert problem(sending.patch(0, WAV)) == (404, "upload-not-found")
    assert not part(stack, sending).exists()


def test_a_header_in_two_halves_is_checked_too(alice: User) -> None:
    stereo = audio.riff(
        audio.chunk(b"fmt ", audio.fmt(sample_rate_hz=1)), audio.chunk(b"data", b"")
    )
    sending = begin(alice, 10**6)

    assert sending.patch(0, stereo[:25]).status_code == 204
    assert problem(sending.patch(25, stereo[25:])) == (422, "invalid-wav")


def test_a_wav_that_ends_too_soon_is_refused_with_its_last_byte(alice: User) -> None:
    sending = begin(alice, len(WAV) - 4)
    sending.patch(0, WAV[:HALF])

    assert problem(sending.patch(HALF, WAV[HALF:-4])) == (422, "invalid-wav")
    assert sending.request("HEAD").status_code == 404


def test_nothing_stays_of_a_refused_creation(alice: User, stack: Stack) -> None:
    answer = post(alice, len(NO_WAV), {"Content-Type": MEDIA_TYPE}, NO_WAV)

    assert problem(answer) == (415, "not-a-wav")
    eventually(lambda: not stack.has_uploads())


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"Upload-Length": ""}, (422, "invalid-request")),
        ({"Upload-Length": "-1"}, (422, "invalid-request")),
        ({"Upload-Length": "1e3"}, (422, "invalid-request")),
        ({"Upload-Length": "9" * 5_000}, (422, "invalid-request")),
        ({"Upload-Length": str(1 << 62)}, (413, "upload-too-large")),
        ({"Upload-Length": "0"}, (415, "not-a-wav")),
        ({"Upload-Defer-Length": "1"}, (422, "invalid-request")),
        ({"Upload-Metadata": "filename ???"}, (400, "malformed-request")),
        ({"Upload-Metadata": "filename /w=="}, (400, "malformed-request")),
        ({"Upload-Metadata": "a" * 9_000}, (400, "malformed-request")),
        ({"Tus-Resumable": "0.2.2"}, (412, "unsupported-tus-version")),
        ({"Authorization": "Bearer 1"}, (401, "invalid-credentials")),
    ],
)
def test_an_absurd_creation_is_refused(
    alice: User, headers: dict[str, str], refusal: tuple[int, str]
) -> None:
    answer = post(alice, len(WAV), headers)

    assert problem(answer) == refusal
    assert answer.headers["tus-version"] == "1.0.0"


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"Upload-Offset": "zero"}, (422, "invalid-request")),
        ({"Content-Type": "audio/wav"}, (415, "unsupported-media-type")),
        ({"Tus-Resumable": "2.0.0"}, (412, "unsupported-tus-version")),
    ],
)
def test_an_absurd_addition_is_refused(
    alice: User, headers: dict[str, str], refusal: tuple[int, str]
) -> None:
    sending = begin(alice)

    assert problem(sending.patch(0, WAV, headers)) == refusal
    assert sending.offset() == 0


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_nobody_else_reaches_an_upload(alice: User, bob: User, method: str) -> None:
    sending = begin(alice)
    theirs = Sending(bob, sending.path)
    headers = {"Upload-Offset": "0", "Content-Type": MEDIA_TYPE}

    assert problem(theirs.request(method, headers)) == (404, "upload-not-found")
    assert theirs.request("HEAD").status_code == 404
    assert sending.offset() == 0


@pytest.mark.parametrize("upload_id", ["5e0c7b1e-0000-4000-8000-000000000000", "1", "%00"])
def test_what_never_was_is_not_found(alice: User, upload_id: str) -> None:
    sending = Sending(alice, f"/uploads/{upload_id}")

    assert problem(sending.request("GET")) == (404, "upload-not-found")
    assert "upload-offset" not in sending.request("HEAD").headers


@pytest.mark.parametrize(
    "credentials",
    ["Bearer 5e0c7b1e-0000-4000-8000-000000000000", "Bearer 1", "Basic QW5uOg=="],
)
def test_nobody_learns_what_never_was(alice: User, credentials: str) -> None:
    sending = Sending(alice, f"/uploads/{uuid4()}")

    answer = sending.request("GET", {"Authorization": credentials})

    assert problem(answer) == (401, "invalid-credentials")


def test_a_terminated_upload_is_gone(alice: User, stack: Stack) -> None:
    sending = begin(alice)
    sending.patch(0, WAV[:HALF])

    assert sending.request("DELETE").status_code == 204
    assert problem(sending.patch(HALF, WAV[HALF:])) == (404, "upload-not-found")
    assert not part(stack, sending).exists()


def test_terminating_stops_an_addition(alice: User, stack: Stack) -> None:
    sending = begin(alice)

    with alice.api.connect() as wire:
        sending.begin_patch(wire, 0, len(WAV))
        wire.send(WAV[:HALF])
        sending.request("DELETE")
        wire.send(WAV[HALF:])
        answer = wire.answer()

    assert (answer.status, answer.slug) == (404, "upload-not-found")
    assert not stored(stack, sending)


def test_a_recording_outlives_the_upload_that_it_was(alice: User) -> None:
    sending = begin(alice)
    sending.patch(0, WAV)
    record = sending.request("GET").json()

    assert sending.request("DELETE").status_code == 204
    assert sending.request("GET").status_code == 404
    assert alice.api.get(record["url"]).status_code == 200


def test_a_deleted_recording_does_not_come_back(alice: User, stack: Stack) -> None:
    sending = begin(alice)
    sending.patch(0, WAV)
    url = sending.request("GET").json()["url"]

    alice.api.client.delete(url, headers=alice.headers)

    with stack.database.transaction() as session:
        assert not resumable.begun(session, [UUID(sending.upload_id)])


def test_an_expired_upload_is_gone(alice: User, stack: Stack) -> None:
    sending = begin(alice)
    expire(stack, sending)

    assert problem(sending.patch(0, WAV)) == (404, "upload-not-found")
    eventually(lambda: not part(stack, sending).exists())


def test_additions_have_the_bound_of_all_uploads(stack: Stack, alice: User, strict: Api) -> None:
    sending = begin(alice).elsewhere(strict)
    with ExitStack() as connections:
        wires = [connections.enter_context(strict.connect()) for _ in range(2)]
        for wire in wires:
            wire.post(alice, "Content-Length: 1000", "Expect: 100-continue")
            assert wire.answer().status == 100
        refused = sending.patch(0, WAV)
        for wire in wires:
            wire.answer()

    assert problem(refused) == (429, "too-many-requests")


def test_who_cannot_patch_may_post(alice: User) -> None:
    sending = begin(alice)
    told = {"Upload-Offset": "0", "Content-Type": MEDIA_TYPE, "X-HTTP-Method-Override": "PATCH"}

    assert sending.request("POST", told, content=WAV).status_code == 204
    assert sending.request("POST", {"X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert sending.request("POST").status_code == 405


def test_who_does_not_wait_is_told_the_job(alice: User, hasty: Api) -> None:
    sending = begin(alice).elsewhere(hasty)
    sending.patch(0, WAV)

    answer = sending.request("GET")

    assert answer.status_code in {200, 202}
    assert answer.json()["url"].startswith("https://sound.example/quaver/record?id=")


@pytest.fixture
def mortal(stack: Stack, tmp_path: Path) -> Iterator[Api]:
    """An API process of this test, which may be killed."""
    with stack.another_api(CRASH_POINTS=str(tmp_path)) as api:
        yield api


@pytest.mark.parametrize("point", ["upload-written", "upload-renamed", "job-created"])
def test_a_whole_upload_becomes_a_recording_although_the_api_dies(
    alice: User, stack: Stack, mortal: Api, tmp_path: Path, point: str
) -> None:
    sending = begin(alice)
    sending.patch(0, WAV[:HALF])
    (tmp_path / point).touch()

    with pytest.raises(httpx.TransportError):
        sending.elsewhere(mortal).patch(HALF, WAV[HALF:])

    with ThreadPoolExecutor(4) as askers:
        offsets = list(askers.map(lambda _: sending.offset(), range(4)))
    assert offsets == [len(WAV)] * 4
    assert sending.request("GET").json()["duration"] == 1
    assert stored(stack, sending) == 1


def test_a_tus_client_goes_on_where_a_killed_api_stopped(
    alice: User, mortal: Api, tmp_path: Path
) -> None:
    client = TusClient(f"{mortal.url}/uploads?user={alice.id}", headers=alice.headers)
    sender = client.uploader(
        file_stream=BytesIO(WAV), chunk_size=20_000, metadata={"filename": "speech.wav"}
    )
    sender.upload(stop_at=100_000)
    mortal.kill()
    eventually(lambda: not mortal.is_running())
    mortal.start()
    mortal.wait_until_ready()

    resumed = client.uploader(file_stream=BytesIO(WAV), url=sender.url)
    assert resumed.offset == 100_000
    resumed.upload()

    assert sender.url is not None
    record = alice.api.get(httpx.URL(sender.url).path, headers=alice.headers).json()
    assert (record["duration"], record["filename"]) == (1, "speech.mp3")
