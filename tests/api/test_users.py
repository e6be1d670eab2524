"""POST /users."""

import hashlib
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from shared.models import User
from tests.api.problems import problem
from tests.stack import Api, Stack


def test_a_user_gets_an_id_and_a_token(api: Api) -> None:
    answer = api.post("/users", json={"name": "Annette"})

    assert answer.status_code == 201
    assert list(answer.json()) == ["id", "token"]
    assert answer.json()["id"] > 0
    assert UUID(answer.json()["token"]).version == 4


def test_only_the_digest_of_a_token_is_stored(api: Api, stack: Stack) -> None:
    user = api.new_user()

    with stack.database.transaction() as session:
        row = session.scalars(select(User).where(User.id == user.id)).one()
        everything = session.scalar(text("SELECT string_agg(users::text, ' ') FROM users"))
    assert row.token_sha256 == hashlib.sha256(user.token.encode()).digest()
    assert user.token not in str(everything)


def test_a_name_is_trimmed_and_composed(api: Api, stack: Stack) -> None:
    answer = api.post("/users", json={"name": "  Zoe\u0308 \n"})

    with stack.database.transaction() as session:
        name = session.scalar(select(User.name).where(User.id == answer.json()["id"]))
    assert name == "Zo\u00eb"


@pytest.mark.parametrize("again", ["Straße", " STRASSE ", "strasse", "Strasse\u0020"])
def test_a_name_is_taken_in_whatever_case(api: Api, again: str) -> None:
    api.post("/users", json={"name": "Straße"})

    answer = api.post("/users", json={"name": again})

    assert problem(answer) == (409, "name-taken")


@pytest.mark.parametrize("name", ["x" * 100, " " + "𝄞" * 100, "O'Brien; DROP TABLE", "Ёж 🦔"])
def test_a_name_of_up_to_100_characters_is_taken_in(api: Api, name: str) -> None:
    assert api.post("/users", json={"name": name}).status_code == 201


@pytest.mark.parametrize(
    "name",
    ["", "  ", "x" * 101, "a\0b", "a\x1bb", "a\x7fb", "a\u0085b", None, 1, True, ["Ann"], {}],
)
def test_a_bad_name_is_refused_and_named(api: Api, name: Any) -> None:
    answer = api.post("/users", json={"name": name})

    assert problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] == "#/name"
    assert answer.json()["detail"].startswith("name: ")


@pytest.mark.parametrize("body", ["{}", "[]", "null", '"Ann"', '{"nome": "Ann"}'])
def test_a_body_without_a_name_is_refused(api: Api, body: str) -> None:
    answer = api.post("/users", content=body, headers={"Content-Type": "application/json"})

    assert problem(answer) == (422, "invalid-request")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"name=Ann", b'{"name": "\xff"}', b'{"name": "\\ud800"}', b"[" * 30_000],
)
def test_a_body_that_is_no_json_is_refused(api: Api, body: bytes) -> None:
    answer = api.post("/users", content=body, headers={"Content-Type": "application/json"})

    assert problem(answer) == (400, "malformed-request")


@pytest.mark.parametrize("media_type", [None, "", "text/plain", "application/xml", ";"])
def test_a_body_of_another_type_is_refused(api: Api, media_type: str | None) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}

    answer = api.post("/users", content=b'{"name": "Ann"}', headers=headers)

    assert problem(answer) == (415, "unsupported-media-type")


def test_a_charset_does_no_harm(api: Api) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}

    answer = api.post("/users", content='{"name": "Zażółć"}'.encode(), headers=headers)

    assert answer.status_code == 201


def test_a_huge_body_is_refused(api: Api) -> None:
    answer = api.post("/users", json={"name": "x" * 100_000})

    assert problem(answer) == (413, "upload-too-large")
