"""Uploads as the programs that people use send them."""

import asyncio
import json
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, BinaryIO
from urllib.request import Request, urlopen

import httpx
import pytest
import requests

from tests import audio
from tests.stack import User, curl

WAV = audio.make_wav(0.1)
NAME = "Речь 🎤.wav"
NODE = shutil.which("node")

FIELDS = "-F user={user} -F token={token}"
BEARER = "-H 'Authorization: Bearer {token}'"
IN_CHUNKS = "-H 'Transfer-Encoding: chunked'"

FORMS = {
    "a form": f"{FIELDS} -F 'file=@{{file}}'",
    "the file first": f"-F 'file=@{{file}}' {FIELDS}",
    "the file amid the fields": "-F user={user} -F 'file=@{file}' -F token={token}",
    "texts that are no files": "--form-string user={user} -F token={token} -F 'file=@{file}'",
    "a type and a name": f"{FIELDS} -F 'file=@{{file}};type=audio/wav;filename=\"{NAME}\"'",
    "percent signs for quotes": f"--form-escape {FIELDS} -F 'file=@{{file}}'",
    "standard input": f"{FIELDS} -F 'file=@-;filename=\"{NAME}\"'",
    "in chunks": f"{IN_CHUNKS} {FIELDS} -F 'file=@{{file}}'",
    "HTTP/1.0": f"--http1.0 {FIELDS} -F 'file=@{{file}}'",
    "HTTP/2 if possible": f"--http2 {FIELDS} -F 'file=@{{file}}'",
    "HTTP/2 in chunks": f"--http2 {IN_CHUNKS} {FIELDS} -F 'file=@{{file}}'",
    "not asking": f"-H Expect: {FIELDS} -F 'file=@{{file}}'",
    "asking": f"-H 'Expect: 100-continue' {FIELDS} -F 'file=@{{file}}'",
    "answer compressed if possible": f"--compressed {FIELDS} -F 'file=@{{file}}'",
    "token in the head": f"{BEARER} -F user={{user}} -F 'file=@{{file}}'",
}

BODIES = {
    "a file": f"{BEARER} --data-binary '@{{file}}'",
    "standard input": f"{BEARER} --data-binary @-",
    "a stream": f"{BEARER} -X POST -T -",
    "a file to POST": f"{BEARER} -X POST -T '{{file}}'",
    "in chunks": f"{BEARER} {IN_CHUNKS} --data-binary '@{{file}}'",
    "HTTP/1.0": f"--http1.0 {BEARER} --data-binary '@{{file}}'",
    "HTTP/2 if possible": f"--http2 {BEARER} --data-binary '@{{file}}'",
    "HTTP/2 and a stream": f"--http2 {BEARER} -X POST -T -",
    "not asking": f"{BEARER} -H Expect: --data-binary '@{{file}}'",
    "asking": f"{BEARER} -H 'Expect: 100-continue' --data-binary '@{{file}}'",
    "token as curl's own": "--oauth2-bearer {token} --data-binary '@{file}'",
    "a type": f"{BEARER} -H 'Content-Type: audio/x-wav' --data-binary '@{{file}}'",
}


def as_typed(command: str, user: User, file: Path) -> list[str]:
    """A command's words, as a shell hands them on."""
    return [word.format(user=user.id, token=user.token, file=file) for word in shlex.split(command)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(WAV)
    return path


@pytest.mark.parametrize("case", FORMS)
def test_curl_sends_a_form(alice: User, file: Path, case: str) -> None:
    done = curl(*as_typed(FORMS[case], alice, file), f"{alice.api.url}/record", stdin=WAV)

    assert done.status == 201
    assert json.loads(done.body)["filename"] == "Речь 🎤.mp3"


@pytest.mark.parametrize("case", BODIES)
def test_curl_sends_the_bytes(alice: User, file: Path, case: str) -> None:
    url = f"{alice.api.url}/record?user={alice.id}&filename=a.wav"

    done = curl(*as_typed(BODIES[case], alice, file), url, stdin=WAV)

    assert done.status == 201
    assert json.loads(done.body)["duration"] == 0.1


def test_curl_hears_that_nothing_is_put(alice: User, file: Path) -> None:
    done = curl("-T", str(file), f"{alice.api.url}/record?user={alice.id}")

    assert done.status == 405


def pieces() -> Iterator[bytes]:
    """Of unknown length in all."""
    for start in range(0, len(WAV), 4_000):
        yield WAV[start : start + 4_000]


async def pieces_in_time() -> AsyncIterator[bytes]:
    for piece in pieces():
        await asyncio.sleep(0)
        yield piece


def by_requests(url: str, user: User, **content: Any) -> dict[str, Any]:
    answer = requests.post(url, headers=user.headers, timeout=30, **content)
    return dict(answer.json(), status=answer.status_code)


def by_httpx(url: str, user: User, **content: Any) -> dict[str, Any]:
    answer = httpx.post(url, headers=user.headers, trust_env=False, timeout=30, **content)
    return dict(answer.json(), status=answer.status_code)


def by_httpx_in_time(url: str, user: User, **content: Any) -> dict[str, Any]:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            return await client.post(url, headers=user.headers, **content)

    answer = asyncio.run(send())
    return dict(answer.json(), status=answer.status_code)


def by_urllib(url: str, user: User, *, data: Any, **headers: str) -> dict[str, Any]:
    request = Request(url, data, user.headers | headers, method="POST")
    with urlopen(request, timeout=30) as answer:
        return dict(json.load(answer), status=answer.status)


def by_http_client(url: str, user: User, *, body: Any) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", user.api.port, timeout=30)
    connection.request("POST", url.removeprefix(user.api.url), body, user.headers)
    answer = connection.getresponse()
    found = dict(json.load(answer), status=answer.status)
    connection.close()
    return found


Send = Callable[[str, User, BinaryIO], dict[str, Any]]

PROGRAMS: dict[str, Send] = {
    "requests, a form": lambda url, user, file: by_requests(url, user, files={"file": file}),
    "requests, a file": lambda url, user, file: by_requests(url, user, data=file),
    "requests, pieces": lambda url, user, _: by_requests(url, user, data=pieces()),
    "httpx, a form": lambda url, user, file: by_httpx(url, user, files={"file": file}),
    "httpx, pieces": lambda url, user, _: by_httpx(url, user, content=pieces()),
    "httpx, a form in time": lambda url, user, _: by_httpx_in_time(
        url, user, files={"file": ("a.wav", WAV)}
    ),
    "httpx, pieces in time": lambda url, user, _: by_httpx_in_time(
        url, user, content=pieces_in_time()
    ),
    "urllib, bytes": lambda url, user, _: by_urllib(url, user, data=WAV),
    "urllib, a file": lambda url, user, file: by_urllib(url, user, data=file),
    "urllib, pieces": lambda url, user, _: by_urllib(url, user, data=pieces()),
    "http.client, a file": lambda url, user, file: by_http_client(url, user, body=file),
    "http.client, pieces": lambda url, user, _: by_http_client(url, user, body=pieces()),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_send_forms_and_bytes(alice: User, file: Path, program: str) -> None:
    url = f"{alice.api.url}/record?user={alice.id}"

    with file.open("rb") as stream:
        found = PROGRAMS[program](url, alice, stream)

    assert (found["status"], found["duration"]) == (201, 0.1)


FETCH_A_STREAM = """
    const [file, url, token] = process.argv.slice(1);
    const body = require("stream").Readable.toWeb(require("fs").createReadStream(file));
    const headers = { Authorization: `Bearer ${token}` };
    fetch(url, { method: "POST", headers, body, duplex: "half" })
        .then((answer) => answer.json())
        .then((record) => console.log(JSON.stringify(record)));
"""


@pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")
def test_fetch_sends_a_stream(alice: User, file: Path) -> None:
    """Node's: browsers send streams over HTTP/2 alone."""
    url = f"{alice.api.url}/record?user={alice.id}"

    done = subprocess.run(
        [str(NODE), "-e", FETCH_A_STREAM, str(file), url, alice.token],
        capture_output=True,
        check=True,
    )

    assert json.loads(done.stdout)["duration"] == 0.1
