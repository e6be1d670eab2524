"""What Prometheus is told, and whether the dashboard asks for what there is."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import Metrics
from launcher import ports
from shared import jobs, outages, signals
from shared.models import Job, State
from tests import audio, jservice
from tests.stack import Api, Stack, User, eventually

ROOT = Path(__file__).parent.parent.parent
DASHBOARD = ROOT / "grafana" / "quaver.json"
README = ROOT / "README.md"


def scrape(api: Api) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples by name and labels."""
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(api: Api, name: str, **labels: str) -> float | None:
    return scrape(api).get((name, frozenset(labels.items())))


def test_requests_are_counted_by_the_template_of_their_path(api: Api) -> None:
    labels = {"method": "GET", "route": "/jobs/{job_id}", "status": "404"}
    before = value(api, "quaver_http_request_seconds_count", **labels) or 0

    for name in ("a", "b"):
        api.get(f"/jobs/{name}?secret=1")

    assert value(api, "quaver_http_request_seconds_count", **labels) == before + 2


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/what-ever", {"method": "GET", "route": "unknown", "status": "404"}),
        ("PROPFIND", "/users", {"method": "other", "route": "/users", "status": "405"}),
    ],
)
def test_what_clients_make_up_makes_no_labels(
    api: Api, method: str, path: str, labels: dict[str, str]
) -> None:
    api.client.request(method, path)

    assert value(api, "quaver_http_request_seconds_count", **labels)
    assert "what-ever" not in api.get("/metrics").text
    assert "PROPFIND" not in api.get("/metrics").text


def test_an_upload_is_counted_while_it_comes(api: Api, alice: User) -> None:
    wav = audio.make_wav(0.1)
    before = value(api, "quaver_http_received_bytes_total", route="/record") or 0

    with api.connect() as wire:
        wire.post(alice, f"Content-Length: {len(wav)}")
        wire.send(wav[:1000])
        eventually(lambda: value(api, "quaver_uploads_under_way") == 1)
        came = value(api, "quaver_http_received_bytes_total", route="/record")
        wire.send(wav[1000:])
        assert wire.answer().status == 201

    assert came == before + 1000
    assert value(api, "quaver_uploads_under_way") == 0


@pytest.fixture
def job(stack: Stack) -> Iterator[Job]:
    """One that never ends, nor is ever begun."""
    job = Job(id=uuid4(), kind=jobs.COLLECT, state=State.WAITING, payload={})
    with stack.database.transaction() as session:
        session.add(job)
    yield job
    with stack.database.transaction() as session:
        session.delete(job)


def test_events_are_a_request_that_takes_until_they_begin(api: Api, job: Job) -> None:
    labels = {"method": "GET", "route": "/jobs/{job_id}/events", "status": "200"}
    before = value(api, "quaver_http_request_seconds_count", **labels) or 0

    with api.client.stream("GET", f"/jobs/{job.id}/events"):
        eventually(lambda: value(api, "quaver_clients_watching") == 1)
        counted = value(api, "quaver_http_request_seconds_count", **labels)
        in_flight = value(api, "quaver_http_requests_in_flight")

    assert counted == before + 1
    assert in_flight == 1  # The one that asks for it.
    eventually(lambda: value(api, "quaver_clients_watching") == 0)
    assert value(api, "quaver_http_request_seconds_count", **labels) == before + 1


def test_open_jobs_are_counted(api: Api, stack: Stack) -> None:
    job = Job(kind=jobs.COLLECT, state=State.WAITING, payload={})
    with stack.database.transaction() as session:
        session.add(job)

    found = value(api, "quaver_jobs", kind=jobs.COLLECT, state="waiting")
    with stack.database.transaction() as session:
        session.delete(job)

    assert found == 1
    assert value(api, "quaver_jobs", kind=jobs.COLLECT, state="waiting") == 0


def test_ended_attempts_are_counted_by_their_outcome(api: Api, alice: User) -> None:
    labels = {"kind": jobs.CONVERT, "outcome": "done"}
    before = value(api, "quaver_job_attempt_seconds_count", **labels) or 0

    assert alice.upload(audio.make_wav(0.1)).status_code == 201

    eventually(lambda: value(api, "quaver_job_attempt_seconds_count", **labels) == before + 1)
    assert value(api, "quaver_job_attempt_seconds_sum", **labels)


def test_a_source_that_is_passed_over_is_told(
    api: Api, stack: Stack, questions: jservice.JService
) -> None:
    assert value(api, "quaver_source_up", source="jservice") == 1
    redis = signals.connect(stack.redis_url)
    redis.set(outages.key("jservice"), "failed", ex=60)
    redis.close()

    assert value(api, "quaver_source_up", source="jservice") == 0


def test_what_is_away_is_left_out_and_the_rest_is_told(stack: Stack) -> None:
    nowhere = f"{ports.LOOPBACK}:{ports.free()}"
    api = stack.another_api(
        DATABASE_URL=f"postgresql://quaver@{nowhere}/quaver", REDIS_URL=f"redis://{nowhere}/0"
    )
    api.ready_path = "/health/live"

    with api:
        found = scrape(api)

    names = {name for name, _ in found}
    assert found["quaver_up", frozenset({("part", "database")})] == 0
    assert found["quaver_up", frozenset({("part", "broker")})] == 0
    assert "quaver_http_requests_in_flight" in names
    assert not names & {"quaver_jobs", "quaver_queue_length", "quaver_source_up"}


def queries(node: Any) -> list[str]:
    """Every `expr` of a dashboard, however deep."""
    if isinstance(node, list):
        return [query for each in node for query in queries(each)]
    if isinstance(node, dict):
        own = [node["expr"]] if "expr" in node else []
        return own + [query for each in node.values() for query in queries(each)]
    return []


def test_the_readme_names_what_is_of_one_process() -> None:
    (named,) = re.findall(r"(`quaver_http_.*) are of the process", README.read_text("utf-8"))
    beginnings = tuple(re.findall(r"`(\w+)", named))

    counted = re.findall(r'"(quaver_\w+)"', inspect.getsource(Metrics))

    assert counted
    assert [name for name in counted if not name.startswith(beginnings)] == []


def test_the_dashboard_shows_no_other_programs() -> None:
    """Prometheus watches more of them, and each tells of its process."""
    of_processes = [q for q in queries(json.loads(DASHBOARD.read_text())) if "process_" in q]

    assert of_processes
    assert all(query.endswith(" and on (job, instance) quaver_up") for query in of_processes)


def test_the_dashboard_counts_whatever_brings_recordings() -> None:
    (route,) = re.findall(
        r'received_bytes_total{route=~"(.*?)"}', str(queries(json.loads(DASHBOARD.read_text())))
    )

    for path in ("/record", "/uploads", "/uploads/{upload_id}"):
        assert re.fullmatch(route, path)
    assert not re.fullmatch(route, "/records")


def test_the_dashboard_asks_for_what_there_is(api: Api, alice: User) -> None:
    alice.upload(audio.make_wav(0.1))
    eventually(
        lambda: value(api, "quaver_job_attempt_seconds_sum", kind=jobs.CONVERT, outcome="done")
    )
    there = {name for name, _ in scrape(api)}

    asked = {
        name
        for query in queries(json.loads(DASHBOARD.read_text()))
        for name in re.findall(r"\b(?:quaver|process)_\w+", query)
    }

    assert asked
    assert asked <= there
