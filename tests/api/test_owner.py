"""GET /records, DELETE /record, POST /users/{id}/token, and the quota."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select

from shared.models import Chunk, Record
from tests.api.problems import problem
from tests.audio import make_wav
from tests.stack import Api, Stack, User, eventually

WAV = make_wav(0.1)


@pytest.fixture
def dora(api: Api) -> User:
    return api.new_user()


def listed(user: User, **parameters: Any) -> httpx.Response:
    return user.api.get("/records", params={"user": user.id} | parameters, headers=user.headers)


def delete(user: User, record_id: str) -> httpx.Response:
    parameters = {"id": record_id, "user": str(user.id)}
    return user.api.client.delete("/record", params=parameters, headers=user.headers)


def test_who_has_no_recordings_gets_an_empty_list(dora: User) -> None:
    answer = listed(dora)

    assert (answer.status_code, answer.json()) == (200, {"items": [], "next": None})
    assert "Link" not in answer.headers


def test_a_recording_is_listed_as_it_was_answered(dora: User) -> None:
    added = dora.upload(WAV).json()

    (item,) = listed(dora).json()["items"]

    assert item.pop("created_at").endswith("Z")
    assert (item.pop("state"), item.pop("error")) == ("done", None)
    assert item == added


def test_pages_follow_each_other(dora: User) -> None:
    ids = [dora.upload(WAV).json()["id"] for _ in range(5)]

    pages, answer = [], listed(dora, limit=2)
    while True:
        pages.append([item["id"] for item in answer.json()["items"]])
        if (url := answer.json()["next"]) is None:
            break
        assert answer.headers["Link"] == f'<{url}>; rel="next"'
        delete(dora, pages[-1][-1])
        answer = dora.api.get(url, headers=dora.headers)

    assert pages == [ids[:2:-1], ids[2:0:-1], ids[:1]]


def test_a_form_that_is_left_empty_lists_from_the_beginning(dora: User) -> None:
    added = dora.upload(WAV).json()["id"]

    assert [item["id"] for item in listed(dora, after="", at="").json()["items"]] == [added]


def test_a_page_begins_after_an_item(dora: User) -> None:
    ids = [dora.upload(WAV).json()["id"] for _ in range(3)]

    assert [item["id"] for item in listed(dora, after=ids[1]).json()["items"]] == ids[:1]


@pytest.mark.parametrize(
    ("parameters", "pointer"),
    [
        ({"limit": 0}, "#/query/limit"),
        ({"limit": 1001}, "#/query/limit"),
        ({"limit": "many"}, "#/query/limit"),
        ({"after": "last"}, "#/query/after"),
        ({"after": str(uuid4())}, "#/query/after"),
        ({"after": str(uuid4()), "at": "yesterday"}, "#/query/at"),
        ({"after": str(uuid4()), "at": "0.0"}, "#/query/at"),
        ({"after": str(uuid4()), "at": "2026-01-01T00:00:00"}, "#/query/at"),
        ({"after": str(uuid4()), "at": "9999-12-31T23:59:59-12:00"}, "#/query/at"),
    ],
)
def test_a_page_that_cannot_be_is_refused(
    dora: User, parameters: dict[str, Any], pointer: str
) -> None:
    answer = listed(dora, **parameters)

    assert problem(answer) == (422, "invalid-request")
    assert [item["pointer"] for item in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("zone", ["Z", "+00:00", "+23:59", "-22:54"])
def test_a_page_begins_at_a_moment_in_whatever_zone(dora: User, zone: str) -> None:
    dora.upload(WAV)

    page = listed(dora, after=str(uuid4()), at=f"2020-01-01T00:00:00{zone}")

    assert (page.status_code, page.json()["items"]) == (200, [])


def test_others_recordings_are_not_listed(dora: User, bob: User) -> None:
    dora.upload(WAV)
    parameters = {"user": dora.id}

    for headers in ({}, bob.headers, {"Authorization": "Bearer no-token"}):
        answer = dora.api.get("/records", params=parameters, headers=headers)
        assert problem(answer) == (401, "invalid-credentials")


def test_a_deleted_recording_is_gone(dora: User, stack: Stack) -> None:
    added = dora.upload(WAV).json()

    answer = delete(dora, added["id"])

    assert (answer.status_code, answer.content) == (204, b"")
    assert problem(dora.api.get(added["url"])) == (404, "record-not-found")
    assert problem(delete(dora, added["id"])) == (404, "record-not-found")
    assert problem(dora.api.get(urlsplit(added["job"]).path)) == (404, "job-not-found")
    assert listed(dora).json()["items"] == []
    with stack.database.transaction() as session:
        left = session.scalars(select(Chunk.record_id).where(Chunk.record_id == added["id"]))
        assert left.all() == []


def test_only_its_owner_deletes_a_recording(dora: User, bob: User) -> None:
    added = dora.upload(WAV).json()
    parameters = {"id": added["id"], "user": dora.id}

    for headers in ({}, bob.headers):
        answer = dora.api.client.delete("/record", params=parameters, headers=headers)
        assert problem(answer) == (401, "invalid-credentials")
    assert problem(delete(bob, added["id"])) == (404, "record-not-found")

    assert dora.api.get(added["url"]).status_code == 200


def test_a_conversion_under_way_is_given_up(dora: User, hasty: Api, stack: Stack) -> None:
    """Also one that is cut into segments; nothing of it comes back."""
    user = User(hasty, dora.name, dora.id, dora.token)
    accepted = user.upload(make_wav(1200, sample_rate_hz=8_000)).json()

    assert delete(dora, accepted["id"]).status_code == 204

    def parts_left() -> list[UUID]:
        with stack.database.transaction() as session:
            return list(session.scalars(select(Record.id).where(Record.id == accepted["id"])))

    job = dora.api.get(urlsplit(accepted["job"]).path.removeprefix("/quaver")).json()
    assert (job["state"], job["error"]["type"]) == ("failed", "/problems/record-not-found")
    assert parts_left() == []
    eventually(lambda: not (stack.uploads / accepted["id"]).exists())


def test_a_renewed_token_takes_the_old_ones_place(dora: User) -> None:
    renewed = dora.api.post(f"/users/{dora.id}/token", headers=dora.headers)

    assert renewed.status_code == 200
    assert list(renewed.json()) == ["token"]
    assert problem(dora.upload(WAV)) == (401, "invalid-credentials")
    again = User(dora.api, dora.name, dora.id, renewed.json()["token"])
    assert again.upload(WAV).status_code == 201


@pytest.mark.parametrize("user_id", ["0", "-1", "x", "9" * 30])
def test_nobodys_token_is_renewed(dora: User, user_id: str) -> None:
    answer = dora.api.post(f"/users/{user_id}/token", headers=dora.headers)

    assert problem(answer) == (401, "invalid-credentials")


def test_who_has_reached_their_quota_is_refused_until_something_is_deleted(stack: Stack) -> None:
    with stack.another_api(MAX_BYTES_PER_USER="2000") as api:
        user = api.new_user()
        added = user.upload(make_wav(1)).json()

        refused = user.upload(WAV)

        assert added["size"] > 2000
        assert problem(refused) == (429, "too-many-requests")
        assert "Delete some" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) > 0
        delete(user, added["id"])
        assert user.upload(WAV).status_code == 201


def test_a_quota_holds_for_uploads_at_once_too(stack: Stack) -> None:
    with stack.another_api(MAX_BYTES_PER_USER="50000") as api, ThreadPoolExecutor(8) as threads:
        user = api.new_user()
        answers = list(threads.map(lambda _: user.upload(make_wav(1)), range(8)))
        records = listed(user).json()["items"]

    assert {answer.status_code for answer in answers} == {201, 429}
    assert sum(record["size"] for record in records) < 100_000


def test_a_repeat_is_let_in_by_a_full_quota(stack: Stack) -> None:
    with stack.another_api(MAX_BYTES_PER_USER="2000") as api:
        user, key = api.new_user(), {"Idempotency-Key": "the last one that fits"}
        first, again = (user.upload(make_wav(1), headers=key) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
