"""POST /record, when all goes well."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
import requests
from sqlalchemy import select

from shared.models import Record
from tests import audio
from tests.stack import Api, Stack, User, curl, eventually

WAV = audio.make_wav(0.1)

NAMES = {
    "speech.wav": "speech.mp3",
    "Речь №5.wav": "Речь №5.mp3",
    'say "hi".wav': 'say "hi".mp3',
    "it's 100%; (really).WAV": "it's 100%; (really).mp3",
    "a+b&c=d #1?.wav": "a+b&c=d #1?.mp3",
    "../../etc/passwd": "passwd.mp3",
    "C:\\sounds\\speech.wav": "speech.mp3",
    "two.dots.wav": "two.dots.mp3",
    "line\r\nSet-Cookie: a=b.wav": "line  Set-Cookie: a=b.mp3",
    "x" * 300 + ".wav": "x" * 250 + ".mp3",
    "ё" * 300: "ё" * 125 + ".mp3",
    ".wav": "recording.mp3",
    "…": "….mp3",
    "": "recording.mp3",
}


def downloaded_name(answer: httpx.Response) -> str:
    """What a browser calls the file: the extended name if there is one (RFC 6266, 4.3)."""
    kind, _, names = answer.headers["content-disposition"].partition("; ")
    plain, _, extended = names.partition("; filename*=UTF-8''")
    assert kind == "attachment"
    assert re.fullmatch(r'filename="[ -~]*"', plain)
    return unquote(extended, errors="strict") if extended else plain[len('filename="') : -1]


def test_an_upload_answers_with_all_that_the_contract_names(alice: User, api: Api) -> None:
    answer = alice.upload(audio.make_wav(0.5))

    record = answer.json()
    assert answer.status_code == 201
    assert list(record) == ["url", "id", "user", "duration", "size", "filename", "job"]
    assert UUID(record["id"]).version == 4
    assert record["url"] == f"{api.url}/record?id={record['id']}&user={alice.id}"
    assert answer.headers["location"] == record["url"]
    assert (record["user"], record["duration"]) == (alice.id, 0.5)
    assert record["filename"] == "speech.mp3"
    assert record["job"].startswith(f"{api.url}/jobs/")


def test_the_link_downloads_the_sound_without_any_header(alice: User) -> None:
    samples = audio.music(1)
    record = alice.upload(audio.make_wav(samples=samples)).json()

    with httpx.Client(trust_env=False) as anybody:
        mp3 = anybody.get(record["url"]).content

    heard = audio.decoded(mp3, channels=2)
    assert len(mp3) == record["size"]
    assert heard.shape == samples.shape
    assert np.corrcoef(heard[:, 0], samples[:, 0])[0, 1] > 0.99


@pytest.mark.parametrize(
    ("name", "title"), [("Речь №5.wav", {"title": "Речь №5"}), ("", {}), (".wav", {})]
)
def test_an_untitled_recording_bears_the_uploads_name(
    alice: User, name: str, title: dict[str, str]
) -> None:
    record = alice.upload_plain(WAV, filename=name).json()

    assert audio.metadata(alice.api.get(record["url"]).content) == title


def test_a_recordings_own_title_goes_before_the_uploads_name(alice: User) -> None:
    tagged = WAV + audio.info(INAM=b"Lullaby", IART=b"Alice")

    record = alice.upload(tagged, "take 2.wav").json()

    heard = audio.metadata(alice.api.get(record["url"]).content)
    assert heard == {"title": "Lullaby", "artist": "Alice"}
    assert record["filename"] == "take 2.mp3"


def test_nothing_waits_in_the_store_once_a_recording_is_converted(
    alice: User, stack: Stack
) -> None:
    alice.upload(WAV)

    eventually(lambda: not stack.has_uploads())  # It goes right after the job has ended.


@pytest.mark.parametrize("name", NAMES)
def test_a_name_survives_in_a_form(alice: User, name: str) -> None:
    record = alice.upload(WAV, name).json()

    assert record["filename"] == NAMES[name].replace("lineSet", "line  Set")
    assert downloaded_name(alice.api.get(record["url"])) == record["filename"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_survives_in_the_query(alice: User, name: str) -> None:
    record = alice.upload_plain(WAV, filename=name).json()

    assert record["filename"] == NAMES[name]
    assert downloaded_name(alice.api.get(record["url"])) == record["filename"]


def test_a_name_survives_curl(alice: User, tmp_path: Path) -> None:
    file = tmp_path / 'Речь "1"; 2.wav'
    file.write_bytes(WAV)
    escaped = str(file).replace('"', '\\"')
    fields = (f"user={alice.id}", f"token={alice.token}", f'file=@"{escaped}"')

    done = curl(*(part for field in fields for part in ("-F", field)), f"{alice.api.url}/record")

    assert done.status == 201
    assert json.loads(done.body)["filename"] == 'Речь "1"; 2.mp3'


def test_a_name_may_come_in_the_extended_form(alice: User) -> None:
    body = _form(
        alice, "Content-Disposition: form-data; name=file; filename*=UTF-8'ru'%D1%91%22.wav"
    )

    record = alice.api.post("/record", **body).json()

    assert record["filename"] == 'ё".mp3'


def test_a_name_may_look_like_another_one(alice: User) -> None:
    name = "a; filename*=utf-8''evil.wav"
    body = _form(alice, f'Content-Disposition: form-data; name=file; filename="{name}"')

    record = alice.api.post("/record", **body).json()

    assert record["filename"] == f"{name.removesuffix('.wav')}.mp3"


@pytest.mark.parametrize("cut", [0, 1, 40, 100])
def test_the_header_counts_more_than_the_form_wherever_it_is_cut(alice: User, cut: int) -> None:
    fields = {"user": alice.fields["user"], "token": str(uuid4())}
    request = httpx.Request("POST", alice.api.url, data=fields, files={"file": ("a.wav", WAV)})
    body = request.read()

    answer = alice.api.post(
        "/record",
        headers=alice.headers | {"Content-Type": request.headers["content-type"]},
        content=iter([body[:cut], body[cut:]]),
    )

    assert answer.status_code == 201


def test_requests_can_upload(alice: User) -> None:
    answer = requests.post(
        f"{alice.api.url}/record", data=alice.fields, files={"file": ("Ё.wav", WAV)}, timeout=30
    )

    assert answer.status_code == 201
    assert answer.json()["filename"] == "Ё.mp3"


@pytest.mark.parametrize("order", ["user token file", "file user token", "user file token"])
def test_fields_come_in_any_order(alice: User, order: str) -> None:
    values = alice.fields
    parts: list[Any] = [
        ("file", ("a.wav", WAV)) if name == "file" else (name, (None, values[name]))
        for name in order.split()
    ]

    assert alice.api.post("/record", files=parts).status_code == 201


@pytest.mark.parametrize("fields", ["user", "token", ""])
def test_credentials_may_come_as_header_and_query_with_a_form(alice: User, fields: str) -> None:
    answer = alice.api.post(
        "/record",
        params={} if fields == "user" else {"user": alice.id},
        headers={} if fields == "token" else alice.headers,
        data={name: alice.fields[name] for name in fields.split()},
        files={"file": ("a.wav", WAV)},
    )

    assert answer.status_code == 201


def test_header_and_query_come_before_the_fields_of_a_form(alice: User, bob: User) -> None:
    answer = alice.api.post(
        "/record",
        params={"user": alice.id},
        headers=alice.headers,
        data=bob.fields,
        files={"file": ("a.wav", WAV)},
    )

    assert answer.json()["user"] == alice.id


@pytest.mark.parametrize(
    "media_type",
    ["audio/wav", "application/octet-stream", "application/x-www-form-urlencoded", "text/html", ""],
)
def test_a_plain_body_may_claim_any_type(alice: User, media_type: str) -> None:
    answer = alice.upload_plain(WAV, headers={"Content-Type": media_type})

    assert answer.status_code == 201


def test_neither_a_parts_type_nor_its_name_is_trusted(alice: User) -> None:
    answer = alice.api.post(
        "/record", data=alice.fields, files={"file": ("notes.pdf", WAV, "application/pdf")}
    )

    assert answer.status_code == 201
    assert answer.json()["filename"] == "notes.mp3"


def test_a_body_may_come_in_pieces_of_unknown_length(alice: User) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(WAV), 777):
            yield WAV[start : start + 777]

    answer = alice.upload_plain(pieces())

    assert "content-length" not in answer.request.headers
    assert answer.json()["duration"] == 0.1


def test_curl_sends_a_plain_body(alice: User, tmp_path: Path) -> None:
    file = tmp_path / "speech.wav"
    file.write_bytes(audio.make_wav(8))  # Above a megabyte curl waits for a 100 (Continue).
    token = f"Authorization: Bearer {alice.token}"

    done = curl("-H", token, "--data-binary", f"@{file}", f"{alice.api.url}/record?user={alice.id}")

    assert done.status == 201
    assert done.sent_bytes == file.stat().st_size


def test_links_begin_as_the_client_addressed_the_service(alice: User) -> None:
    record = alice.upload_plain(WAV, headers={"Host": "sound.example:8443"}).json()

    assert record["url"].startswith("http://sound.example:8443/record?id=")
    assert record["job"].startswith("http://sound.example:8443/jobs/")


@pytest.mark.parametrize("host", ["", "x:99999", ":"])
def test_an_absurd_host_never_gets_into_a_link(alice: User, host: str) -> None:
    with alice.api.connect() as wire:
        headers = f"Authorization: Bearer {alice.token}", f"Content-Length: {len(WAV)}"
        wire.send_head(f"POST /record?user={alice.id}", *headers, host=host)
        wire.send(WAV)
        answer = wire.answer()

    assert answer.status == 201
    assert answer.headers["location"].startswith(f"{alice.api.url}/record?id=")


def test_a_digest_says_what_is_stored(alice: User, stack: Stack) -> None:
    record = alice.upload(WAV).json()

    with stack.database.transaction() as session:
        row = session.scalars(select(Record).where(Record.id == UUID(record["id"]))).one()
    assert row.sha256 is not None
    assert alice.api.get(record["url"]).headers["etag"] == f'"{row.sha256.hex()[:32]}"'


def _form(user: User, disposition: str) -> dict[str, Any]:
    """A form whose file part has this header."""
    body = b"--b\r\n" + disposition.encode() + b"\r\n\r\n" + WAV + b"\r\n--b--\r\n"
    return {
        "params": {"user": user.id},
        "headers": user.headers | {"Content-Type": "multipart/form-data; boundary=b"},
        "content": body,
    }
