"""Requests with an Idempotency-Key."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.api.problems import problem
from tests.stack import Api

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


def test_a_key_lets_nobody_in(api: Api) -> None:
    user, headers = api.new_user(), key()
    api.post(f"/users/{user.id}/token", headers=user.headers | headers)

    answer = api.post(f"/users/{user.id}/token", headers=api.new_user().headers | headers)

    assert problem(answer) == (401, "invalid-credentials")
