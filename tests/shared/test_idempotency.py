"""A request's effect is there once, or not at all."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared import errors, idempotency, jobs
from shared.database import Database
from shared.idempotency import KeyedRequest, Outcome
from shared.models import IdempotencyKey, Job

REQUEST = KeyedRequest("a key", "/questions", b"three questions")


def ask(database: Database, request: KeyedRequest | None = REQUEST) -> tuple[str, bool]:
    """The job that a request leads to, and whether it did so earlier."""
    with database.transaction() as session:

        def create() -> Outcome:
            return {"job": str(jobs.create(session, jobs.COLLECT, {"count": 3}).id)}

        outcome, was_earlier = idempotency.once(session, request, create)
        return outcome["job"], was_earlier


def count_jobs(database: Database) -> int:
    with database.transaction() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


def test_a_repeat_has_the_first_ones_job(database: Database) -> None:
    job_id, _ = ask(database)

    assert ask(database) == (job_id, True)
    assert count_jobs(database) == 1


@pytest.mark.parametrize("other", [{"key": "another"}, {"scope": "/users"}])
def test_another_key_and_another_route_are_another_request(
    database: Database, other: dict[str, Any]
) -> None:
    ask(database)

    _, was_earlier = ask(database, replace(REQUEST, **other))

    assert not was_earlier
    assert count_jobs(database) == 2


def test_the_same_key_for_something_else_is_refused(database: Database) -> None:
    ask(database)

    with pytest.raises(errors.IdempotencyConflict):
        ask(database, replace(REQUEST, digest=b"four questions"))


def test_of_many_at_once_one_takes_effect(database: Database) -> None:
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: ask(database), range(16)))

    assert len({job_id for job_id, _ in answers}) == 1
    assert sum(not was_earlier for _, was_earlier in answers) == 1
    assert count_jobs(database) == 1


def test_what_was_rolled_back_did_not_happen(database: Database) -> None:
    with suppress(ZeroDivisionError), database.transaction() as session:
        idempotency.once(session, REQUEST, dict)
        _ = 1 / 0

    assert ask(database)[1] is False


def test_without_a_key_each_request_is_another(database: Database) -> None:
    first, second = ask(database, None), ask(database, None)

    assert first != second


def answer(session: Session, text: str) -> Any:
    outcome, _ = idempotency.once(session, REQUEST, lambda: {"token": text})
    return outcome


def test_an_answer_is_given_again(database: Database) -> None:
    with database.transaction() as session:
        answer(session, "7f0c")

    with database.transaction() as session:
        assert answer(session, "another") == {"token": "7f0c"}


def test_the_database_holds_neither_key_nor_answer(database: Database) -> None:
    with database.transaction() as session:
        answer(session, "7f0c")
        row = session.scalars(select(IdempotencyKey)).one()

    assert row.sealed is not None
    assert b"7f0c" not in row.sealed
    assert b"a key" not in row.key_sha256


def test_after_a_day_it_is_another_request(database: Database) -> None:
    first, _ = ask(database)
    with database.transaction() as session:
        session.execute(update(IdempotencyKey).values(created_at=func.now() - idempotency.KEPT))

    second, was_earlier = ask(database)

    assert (second != first, was_earlier) == (True, False)
    assert ask(database) == (second, True)


def test_old_keys_are_forgotten(database: Database) -> None:
    ask(database)
    ask(database, replace(REQUEST, key="old"))
    with database.transaction() as session:
        session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.key_sha256 == replace(REQUEST, key="old").key_sha256)
            .values(created_at=func.now() - idempotency.KEPT)
        )
        idempotency.forget_old(session)

        assert session.scalars(select(IdempotencyKey.key_sha256)).all() == [REQUEST.key_sha256]
