"""Tokens and passwords are nowhere to be found, wherever their owners have put them.

Each search is shown to work by something that it does find.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest
import redis

from tests.acceptance.product import PROCESSES, Answer, Product, eventually
from tests.audio import make_wav

MALFORMED = "not-a-uuid-but-meant-as-one"
END = "that was all"


@dataclass(frozen=True)
class Traffic:
    """What clients sent, and what came of it."""

    tokens: list[str]
    """A right one, a wrong one and a malformed one; sent as tokens."""
    mislaid: str
    """A right one, given as a name: it is kept as such, and shown to who asks for that name."""
    answers: list[Answer]
    commands: bytes
    """All that the broker was told meanwhile: hints, signals, and what Flower gets to hear."""
    job: bytes
    """Id of a job that came of it."""


@pytest.fixture(scope="module")
def traffic(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Traffic:
    folder = tmp_path_factory.mktemp("secrets")
    wav, text = folder / "speech.wav", folder / "text.wav"
    wav.write_bytes(make_wav(0.2))
    text.write_text("no WAV")
    owner, other = product.new_user("Owner"), product.new_user("Other")
    tokens = [owner["token"], str(uuid4()), MALFORMED]

    with _broker(product) as broker, broker.monitor() as monitor:
        requests = [r for token in tokens for r in _requests(owner["id"], token, wav, text)]
        answers = [product.curl(*options, f"{product.url}{path}") for *options, path in requests]
        _mislay(product, owner, other["token"], wav)
        broker.echo(END)
        commands = "\n".join(_until_end(monitor)).encode()

    job = next(answer.json()["job"] for answer in answers if answer.status == HTTPStatus.CREATED)
    return Traffic(
        tokens, other["token"], answers, _unwrapped(commands), job.rpartition("/")[2].encode()
    )


def _requests(user: int, token: str, wav: Path, text: Path) -> Iterator[list[str]]:
    """A token in all the places where one belongs, or may be thought to; curl's options, path."""
    bearer = ["-H", f"Authorization: Bearer {token}"]
    form = ["-F", f"user={user}", "-F", f"token={token}"]
    body = ["--data-binary", f"@{wav}"]
    json_type = ["-H", "Content-Type: application/json"]
    query = f"user={user}&token={token}"
    yield [*form, "-F", f"file=@{wav}", "/record"]
    yield [*bearer, *body, f"/record?user={user}"]
    yield [*bearer, *body, f"/record?{query}"]
    yield [*body, f"/record?{query}"]
    yield [*form, "-F", f"file=@{text}", "/record"]
    yield [*form, "/record"]
    yield [*bearer, *body, "-H", "Content-Length: 99999999999", f"/record?{query}"]
    yield [*bearer, f"/record?id={uuid4()}&{query}"]
    yield [*bearer, "-X", "PATCH", f"/record?{query}"]
    yield [*bearer, *json_type, "-d", '{"name": "Owner"}', f"/users?{query}"]
    yield [*bearer, *json_type, "-d", json.dumps({"name": "", "token": token}), "/users"]
    yield [*bearer, *json_type, "-d", json.dumps({"name": {"token": token}}), "/users"]
    yield [*bearer, *json_type, "-d", f'{{"name": "{token}', "/users"]
    yield [*bearer, *json_type, "-d", json.dumps({"questions_num": token}), "/questions"]
    yield [*bearer, "-d", f"token={token}", "/users"]


def _mislay(product: Product, user: dict[str, Any], token: str, wav: Path) -> None:
    """As a user's name, twice, and as a file's."""
    named = ["-H", "Content-Type: application/json", "-d", json.dumps({"name": token})]
    form = ["-F", f"user={user['id']}", "-F", f"token={user['token']}"]
    file = ["-F", f"file=@{wav};filename={token}.wav"]

    statuses = [
        product.curl(*options, f"{product.url}{path}").status
        for *options, path in ([*named, "/users"], [*named, "/users"], [*form, *file, "/record"])
    ]

    assert statuses == [HTTPStatus.CREATED, HTTPStatus.CONFLICT, HTTPStatus.CREATED]


def _broker(product: Product) -> redis.Redis:
    return redis.Redis.from_url(_server(product, "redis")["url"])


def _server(product: Product, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((product.data / name / "server.json").read_text())
    return found


def _until_end(monitor: Any) -> Iterator[str]:
    for message in monitor.listen():
        yield message["command"]
        if END in message["command"]:
            return


def _unwrapped(commands: bytes) -> bytes:
    """Commands, and what is in them: Celery's messages are in base64."""
    wrapped = re.findall(rb"[A-Za-z0-9+/]{40,}={0,2}", commands)
    return b"\n".join([commands, *(base64.b64decode(text + b"==") for text in wrapped)])


def holds(haystack: bytes, secrets: Iterable[str]) -> bool:
    """Whether it has one of them: as it is written, in hexadecimal, or as a UUID's 16 bytes."""
    return any(needle in haystack for secret in secrets for needle in _spellings(secret))


def _spellings(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    yield secret.encode().hex().encode()
    with suppress(ValueError):
        yield UUID(secret).bytes
        yield UUID(secret).hex.encode()


def passwords(product: Product) -> list[str]:
    return [_server(product, name)["password"] for name in ("postgres", "redis")]


def contents(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # Databases tidy up.
            if path.is_file():
                yield path.read_bytes()


def test_no_answer_repeats_a_token(traffic: Traffic) -> None:
    statuses = {answer.status for answer in traffic.answers}

    assert statuses == {201, 400, 401, 404, 405, 409, 413, 415, 422}
    for answer in traffic.answers:
        assert not holds(str(answer.headers).encode() + answer.body, traffic.tokens)


def test_the_database_holds_no_token(product: Product, traffic: Traffic) -> None:
    tables = product.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")

    dump = str([product.query(f'SELECT t::text FROM "{table}" t') for (table,) in tables]).encode()

    assert traffic.job in dump
    assert traffic.mislaid.encode() in dump
    assert not holds(dump, traffic.tokens)


def test_the_broker_is_told_no_token(product: Product, traffic: Traffic) -> None:
    assert b'[["' + traffic.job in traffic.commands  # A hint, out of its base64.
    assert b'"progress"' in traffic.commands
    assert not holds(traffic.commands, [*traffic.tokens, traffic.mislaid, *passwords(product)])


def test_no_log_holds_a_token_or_a_password(product: Product, traffic: Traffic) -> None:
    logs = b"".join([*contents(product.data / "logs"), product.output().encode()])

    assert traffic.job in logs
    assert not holds(logs, [*traffic.tokens, traffic.mislaid, *passwords(product)])


def test_flower_shows_no_token_and_no_password(product: Product, traffic: Traffic) -> None:
    def shown() -> bytes:
        pages = ("/api/tasks", "/api/workers?refresh=1", "/tasks", "/workers", "/broker")
        return b"".join(product.get(f"{product.flower_url}{page}").body for page in pages)

    seen = eventually(lambda: (found := shown()) and traffic.job in found and found)

    assert not holds(seen, [*traffic.tokens, traffic.mislaid, *passwords(product)])


def test_no_list_of_processes_shows_a_password(product: Product) -> None:
    words = [word for name in PROCESSES for word in psutil.Process(product.pid_of(name)).cmdline()]

    assert "api" in words
    assert not holds("\n".join(words).encode(), passwords(product))


def test_no_file_holds_a_token(product: Product, traffic: Traffic) -> None:
    """Write-ahead logs and Flower's history included, which is written every five seconds."""

    def history() -> bytes:
        return b"".join(contents(product.data / "flower"))

    eventually(lambda: traffic.job in history())

    assert not holds(history(), [traffic.mislaid, *passwords(product)])
    assert not any(holds(content, traffic.tokens) for content in contents(product.folder))
