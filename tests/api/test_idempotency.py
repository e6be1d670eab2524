"""Requests with an Idempotency-Key."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select

from shared.models import Question
from tests.api.problems import problem
from tests.audio import make_wav
from tests.jservice import JService, make_clues
from tests.stack import Api, Stack, eventually

REPLAYED = "Idempotency-Replayed"


def key(text: str = "") -> dict[str, str]:
    return {"Idempotency-Key": text or str(uuid4())}


def create_user(api: Api, name: str, headers: dict[str, str]) -> httpx.Response:
    return api.post("/users", json={"name": name}, headers=headers)


def test_a_user_is_created_once(api: Api) -> None:
    headers, name = key(), str(uuid4())

    first, second = (create_user(api, name, headers) for _ in range(2))

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert REPLAYED not in first.headers
    assert second.headers[REPLAYED] == "true"


def test_a_user_is_created_once_by_many_at_once(api: Api) -> None:
    headers, name = key(), str(uuid4())

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: create_user(api, name, headers), range(10)))

    assert len({answer.text for answer in answers}) == 1
    assert sum(REPLAYED not in answer.headers for answer in answers) == 1


def test_a_request_that_failed_may_be_sent_again(api: Api) -> None:
    taken, headers = str(uuid4()), key()
    create_user(api, taken, {})

    assert problem(create_user(api, taken, headers)) == (409, "name-taken")
    assert create_user(api, str(uuid4()), headers).status_code == 201


def test_the_same_key_for_another_request_is_a_conflict(api: Api) -> None:
    headers = key()
    create_user(api, str(uuid4()), headers)

    answer = create_user(api, str(uuid4()), headers)

    assert problem(answer) == (409, "idempotency-conflict")


@pytest.mark.parametrize("text", ["", "x" * 256])
def test_a_key_of_another_length_is_refused(api: Api, text: str) -> None:
    answer = create_user(api, str(uuid4()), {"Idempotency-Key": text})

    assert problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] == "#/header/Idempotency-Key"


def test_a_token_is_renewed_once(api: Api) -> None:
    """Though the token that the repeat shows is not good any more."""
    user, headers = api.new_user(), key()

    first, second = (
        api.post(f"/users/{user.id}/token", headers=user.headers | headers) for _ in range(2)
    )

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json() == first.json()
    assert second.headers[REPLAYED] == "true"


def test_an_upload_is_converted_once(api: Api, stack: Stack) -> None:
    user, headers, wav = api.new_user(), key(), make_wav(0.2)

    first = user.upload_plain(wav, headers=headers)
    second = user.upload_plain(wav, headers=headers)
    third = user.upload_plain(make_wav(0.3), headers=headers)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert second.headers[REPLAYED] == "true"
    assert problem(third) == (409, "idempotency-conflict")
    assert (
        len(api.get("/records", params={"user": user.id}, headers=user.headers).json()["items"])
        == 1
    )
    eventually(lambda: not stack.has_uploads())


def test_an_upload_is_converted_once_by_many_at_once(api: Api) -> None:
    user, headers, wav = api.new_user(), key(), make_wav(0.2)

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: user.upload_plain(wav, headers=headers), range(6)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1


def test_a_form_is_the_same_request_whatever_its_boundary(api: Api) -> None:
    user, headers, wav = api.new_user(), key(), make_wav(0.2)

    first, second = (user.upload(wav, headers=headers) for _ in range(2))

    assert second.json() == first.json()


def test_another_users_key_is_another(api: Api) -> None:
    headers, wav = key(), make_wav(0.2)

    first, second = (api.new_user().upload_plain(wav, headers=headers) for _ in range(2))

    assert second.json()["id"] != first.json()["id"]


def test_questions_are_stored_once(api: Api, stack: Stack, questions: JService) -> None:
    questions.clues = make_clues(20)
    headers, body = key(), {"questions_num": 3}

    with ThreadPoolExecutor(6) as threads:
        answers = list(
            threads.map(lambda _: api.post("/questions", json=body, headers=headers), range(6))
        )
    other = api.post("/questions", json={"questions_num": 4}, headers=headers)

    assert [answer.json() for answer in answers] == [{}] * 6
    assert sum(REPLAYED not in answer.headers for answer in answers) == 1
    assert problem(other) == (409, "idempotency-conflict")
    with stack.database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Question)) == 3


def test_a_failure_is_given_again(api: Api, questions: JService) -> None:
    headers, body = key(), {"questions_num": 3}
    questions.clues = make_clues(2)

    first = api.post("/questions", json=body, headers=headers)
    questions.clues = make_clues(20)
    second = api.post("/questions", json=body, headers=headers)

    assert problem(first) == (503, "questions-exhausted")
    assert second.json()["found"] == first.json()["found"] == 2


def test_who_does_not_want_to_wait_is_told_the_job(api: Api, questions: JService) -> None:
    questions.clues = make_clues(2)
    headers = {"Prefer": "respond-async"}

    answer = api.post("/questions", json={"questions_num": 1}, headers=headers)

    assert (answer.status_code, list(answer.json())) == (202, ["job"])
    assert answer.headers["Location"] == answer.json()["job"]
    assert answer.headers["Preference-Applied"] == "respond-async"
    path = urlsplit(answer.json()["job"]).path
    eventually(lambda: api.get(path).json()["state"] == "done")


def test_a_repeat_of_what_was_accepted_gives_its_outcome(api: Api) -> None:
    user, headers, wav = api.new_user(), key(), make_wav(1)

    first = user.upload_plain(wav, headers=headers | {"Prefer": "respond-async"})
    second = user.upload_plain(wav, headers=headers)

    assert (first.status_code, second.status_code) == (202, 201)
    assert first.headers["Preference-Applied"] == "respond-async"
    assert second.json()["url"] == first.json()["url"]


def test_a_repeat_of_what_was_deleted_finds_nothing(api: Api) -> None:
    user, headers, wav = api.new_user(), key(), make_wav(0.2)
    added = user.upload_plain(wav, headers=headers).json()
    parameters = {"id": added["id"], "user": str(user.id)}
    api.client.delete("/record", params=parameters, headers=user.headers)

    assert problem(user.upload_plain(wav, headers=headers)) == (404, "record-not-found")


def test_a_key_lets_nobody_in(api: Api) -> None:
    user, headers = api.new_user(), key()
    api.post(f"/users/{user.id}/token", headers=user.headers | headers)

    answer = api.post(f"/users/{user.id}/token", headers=api.new_user().headers | headers)

    assert problem(answer) == (401, "invalid-credentials")


@pytest.mark.parametrize("wish", ["respond-async", "wait=0"])
def test_a_repeat_has_the_outcome_however_little_it_waits(
    api: Api, questions: JService, wish: str
) -> None:
    questions.clues = make_clues(1)
    headers = key() | {"Prefer": wish}
    first = api.post("/questions", json={"questions_num": 1}, headers=headers)
    assert first.status_code == 202
    job = urlsplit(first.json()["job"]).path
    eventually(lambda: api.get(job).json()["state"] == "done")

    again = api.post("/questions", json={"questions_num": 1}, headers=headers)

    assert again.status_code == 200
    assert again.headers[REPLAYED] == "true"


def test_a_repeat_of_a_failure_is_marked_as_one(api: Api, questions: JService) -> None:
    questions.clues = make_clues(1)
    headers = key() | {"Prefer": "wait=20"}

    answers = [api.post("/questions", json={"questions_num": 2}, headers=headers) for _ in range(2)]

    assert [problem(answer) for answer in answers] == [(503, "questions-exhausted")] * 2
    assert [answer.headers.get(REPLAYED) for answer in answers] == [None, "true"]
    assert [answer.headers["Preference-Applied"] for answer in answers] == ["wait=20"] * 2


def test_a_repeat_after_the_recording_was_deleted_is_marked_as_one(api: Api) -> None:
    user, headers, wav = api.new_user(), key(), make_wav(0.1)
    stored = user.upload_plain(wav, headers=headers).json()
    link = {"id": stored["id"], "user": user.id}
    assert api.client.delete("/record", params=link, headers=user.headers).status_code == 204

    again = user.upload_plain(wav, headers=headers)

    assert problem(again) == (404, "record-not-found")
    assert again.headers[REPLAYED] == "true"
