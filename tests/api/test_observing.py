"""What a request leaves behind for its operator."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from shared.models import Job
from tests import audio
from tests.stack import Api, Stack, User, eventually

REQUEST_ID = "a-request.1"
HEADERS = {"X-Request-ID": REQUEST_ID}


@pytest.fixture(scope="module")
def visitor(api: Api) -> User:
    """Somebody who has uploaded and downloaded a recording."""
    visitor = api.new_user("Zaphod")
    wav = audio.make_wav(0.1)
    keyed = HEADERS | {"Idempotency-Key": "once"}
    added = visitor.upload_plain(wav, headers=keyed, filename="heart-of-gold.wav")
    assert added.status_code == 201
    assert api.get(added.json()["url"], headers=HEADERS).status_code == 200
    return visitor


def lines(stack: Stack) -> list[dict[str, Any]]:
    """All that the processes wrote, but for the word or two that Celery prints by itself."""
    return [
        json.loads(line)
        for log in stack.folder.glob("*.log")
        for line in log.read_text().splitlines()
        if line.startswith("{")
    ]


def line_of(stack: Stack, logger: str, **members: Any) -> dict[str, Any]:
    """What somebody wrote about the visitor's request, once it is there."""
    wanted = {"request_id": REQUEST_ID, "logger": logger} | members
    (line,) = eventually(lambda: [line for line in lines(stack) if wanted.items() <= line.items()])
    return dict(line)


def test_a_request_has_a_line_with_figures(stack: Stack, visitor: User) -> None:
    line = line_of(stack, "api.observing", route="/record", method="POST")

    assert line["status"] == 201
    assert line["received_bytes"] == len(audio.make_wav(0.1))
    assert line["sent_bytes"] > 0
    assert line["milliseconds"] > 0


def test_its_job_has_a_line_with_the_same_id(stack: Stack, visitor: User) -> None:
    with stack.database.transaction() as session:
        job_id = session.scalars(select(Job.id).where(Job.request_id == REQUEST_ID)).one()

    line = line_of(stack, "worker.tasks", job=str(job_id))

    assert (line["kind"], line["attempt"], line["outcome"]) == ("records.convert", 1, "done")


def test_lines_tell_no_names_tokens_or_queries(stack: Stack, visitor: User) -> None:
    line_of(stack, "api.observing", route="/record", method="GET")
    told = [log.read_bytes() for log in stack.folder.glob("*.log")]

    for secret in (visitor.token, visitor.name, "heart-of-gold", "filename=", "user="):
        assert not any(secret.encode() in each for each in told), secret
