"""GET /jobs/{id}."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from shared import errors, jobs
from shared.models import Job, State
from tests import audio, jservice
from tests.api.problems import problem
from tests.jservice import JService, make_clues
from tests.stack import Api, Stack, User

LEASE = timedelta(hours=1)
UNSEEN = {"instance", "request_id"}


def newest_job(stack: Stack) -> UUID:
    with stack.database.transaction() as session:
        return session.scalars(select(Job.id).order_by(Job.created_at.desc())).first() or UUID(
            int=0
        )


def seen(problem_object: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem_object.items() if name not in UNSEEN}


def test_a_done_conversion_shows_the_body_of_the_201(alice: User) -> None:
    record = alice.upload(audio.make_wav(0.1)).json()

    job = alice.api.get(urlsplit(record["job"]).path).json()

    assert (job["kind"], job["state"], job["progress"]) == ("records.convert", "done", 1)
    assert job["attempt"] == 1
    assert job["finished_at"] > job["created_at"]
    assert job["created_at"].endswith("Z")
    assert job["result"] == record
    assert "error" not in job


def test_a_done_collection_shows_the_body_of_the_200(
    api: Api, stack: Stack, questions: JService
) -> None:
    questions.clues = make_clues(3)
    first = api.ask_questions(1)
    first_job = newest_job(stack)
    second = api.ask_questions(2)

    shown = [api.get(f"/jobs/{job}").json() for job in (first_job, newest_job(stack))]

    assert [job["result"] for job in shown] == [first.json(), second.json()]
    assert list(shown[1]["result"]) == list(second.json())


def test_a_failed_job_shows_the_problem_that_the_client_got(
    api: Api, stack: Stack, questions: JService
) -> None:
    questions.clues, questions.behave = make_clues(2), jservice.serve
    answer = api.ask_questions(3).json()

    job = api.get(f"/jobs/{newest_job(stack)}").json()

    assert job["state"] == "failed"
    assert seen(job["error"]) == seen(answer)
    assert "result" not in job


def test_a_job_that_nobody_has_begun_is_queued(api: Api, stack: Stack) -> None:
    with stack.database.transaction() as session:
        job = jobs.create(session, jobs.COLLECT, {"count": 1})
        claim = jobs.claim(session, job.id, lease=LEASE)
        assert claim is not None
        jobs.put_back(session, claim, errors.StorageFull(), delay=LEASE)

    shown = api.get(f"/jobs/{job.id}").json()

    assert (shown["state"], shown["attempt"], shown["finished_at"]) == ("queued", 1, None)
    assert not {"result", "error"} & shown.keys()


def test_a_running_job_shows_how_far_it_is(api: Api, stack: Stack) -> None:
    with stack.database.transaction() as session:
        job = jobs.create(session, jobs.COLLECT, {"count": 1})
        claim = jobs.claim(session, job.id, lease=LEASE)
        assert claim is not None
        jobs.extend(session, claim, lease=LEASE, progress=0.25)

    shown = api.get(f"/jobs/{job.id}").json()

    assert (shown["state"], shown["progress"]) == ("running", 0.25)
    assert UUID(shown["id"]) == job.id


def test_a_part_of_a_job_is_nobodys_business(api: Api, stack: Stack) -> None:
    with stack.database.transaction() as session:
        whole = Job(id=uuid4(), kind=jobs.CONVERT, state=State.WAITING, payload={})
        session.add(whole)
        session.flush()
        part = jobs.create(session, jobs.ENCODE_SEGMENT, {}, parent_id=whole.id)
        jobs.cancel(session, whole.id, errors.RecordNotFound())

    assert api.get(f"/jobs/{whole.id}").status_code == 200
    for path in (f"/jobs/{part.id}", f"/jobs/{part.id}/events"):
        assert problem(api.get(path)) == (404, "job-not-found")


@pytest.mark.parametrize(
    "job_id", ["{}", "x", "1", "%00", "%FF", "{}x", "-", "9" * 5_000, "%2E%2E"]
)
def test_a_job_that_is_not_there_is_not_found(api: Api, job_id: str) -> None:
    answer = api.get(f"/jobs/{job_id.format(uuid4())}")

    assert problem(answer) == (404, "job-not-found")
    assert answer.json()["detail"] == errors.JobNotFound().detail
