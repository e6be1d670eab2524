"""What a request leaves behind for its operator: lines, and a trace that goes on in its job."""

import json
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from shared.models import Job
from tests import audio, jservice
from tests.otlp import Collector
from tests.stack import Api, Stack, User, eventually

REQUEST_ID = "a-request.1"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
HEADERS = {"X-Request-ID": REQUEST_ID, "traceparent": f"00-{TRACE_ID}-{CALLER}-01"}


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


def test_a_recordings_trace_goes_through_its_job(collector: Collector, visitor: User) -> None:
    eventually(lambda: {"POST /record", "records.convert"} <= collector.spans(TRACE_ID).keys())

    spans = collector.spans(TRACE_ID)
    job = spans["records.convert"]
    assert spans["POST /record"].parent_id == CALLER
    assert job.parent_id == spans["POST /record"].span_id
    assert {spans[step].parent_id for step in ("claim", "encode", "settle")} == {job.span_id}
    assert {span.service for span in spans.values()} == {"quaver-api", "quaver-worker"}
    assert spans["POST /record"].attributes["http.response.status_code"] == "201"
    assert job.attributes["request_id"] == REQUEST_ID


def test_questions_trace_goes_to_their_source(
    api: Api, collector: Collector, questions: jservice.JService
) -> None:
    questions.clues = jservice.make_clues(1)
    trace_id = uuid4().hex

    answer = api.post(
        "/questions",
        json={"questions_num": 1},
        headers={"traceparent": f"00-{trace_id}-{CALLER}-01"},
    )

    assert answer.status_code == 200
    eventually(lambda: {"POST /questions", "questions.collect"} <= collector.spans(trace_id).keys())
    spans = collector.spans(trace_id)
    assert spans["questions.collect"].parent_id == spans["POST /questions"].span_id
    assert spans["ask jservice"].parent_id == spans["questions.collect"].span_id


def test_neither_lines_nor_spans_tell_names_tokens_or_queries(
    stack: Stack, collector: Collector, visitor: User
) -> None:
    eventually(lambda: {"GET /record", "records.convert"} <= collector.spans(TRACE_ID).keys())
    told = [log.read_bytes() for log in stack.folder.glob("*.log")] + collector.bodies

    for secret in (visitor.token, visitor.name, "heart-of-gold", "filename=", "user="):
        assert not any(secret.encode() in each for each in told), secret
