"""Names and tokens."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from shared import errors, users
from shared.database import Database
from shared.models import User


def create(database: Database, name: str) -> tuple[int, UUID]:
    with database.transaction() as session:
        return users.create(session, name)


def test_users_have_ids_and_tokens_of_their_own(database: Database) -> None:
    ann, bob = create(database, "Ann"), create(database, "Bob")

    assert ann[0] != bob[0]
    assert ann[1] != bob[1]
    assert ann[1].version == 4


@pytest.mark.parametrize("other", ["Ann", "ANN", "ann"])
def test_a_name_is_taken_in_whatever_case(database: Database, other: str) -> None:
    create(database, "Ann")

    with pytest.raises(errors.NameTaken, match="choose another"):
        create(database, other)


def test_names_are_compared_as_people_read_them(database: Database) -> None:
    create(database, "Straße")

    with pytest.raises(errors.NameTaken):
        create(database, "STRASSE")


def test_the_right_token_is_accepted(database: Database) -> None:
    user_id, token = create(database, "Ann")

    with database.transaction() as session:
        users.authenticate(session, user_id, token)


def test_no_other_users_token_is_accepted(database: Database) -> None:
    user_id, _ = create(database, "Ann")
    _, bobs_token = create(database, "Bob")

    for wrong in (bobs_token, uuid4(), UUID(int=0)):
        with pytest.raises(errors.InvalidCredentials), database.transaction() as session:
            users.authenticate(session, user_id, wrong)


def test_an_unknown_user_is_refused_like_a_wrong_token(database: Database) -> None:
    with pytest.raises(errors.InvalidCredentials), database.transaction() as session:
        users.authenticate(session, 404, uuid4())


def test_a_new_token_takes_the_old_ones_place(database: Database) -> None:
    user_id, old = create(database, "Ann")

    with database.transaction() as session:
        new = users.renew_token(session, user_id, old)

    with database.transaction() as session:
        users.authenticate(session, user_id, new)
    with pytest.raises(errors.InvalidCredentials), database.transaction() as session:
        users.authenticate(session, user_id, old)


def test_a_token_is_renewed_with_the_old_one_only(database: Database) -> None:
    user_id, token = create(database, "Ann")

    with pytest.raises(errors.InvalidCredentials), database.transaction() as session:
        users.renew_token(session, user_id, uuid4())

    with database.transaction() as session:
        users.authenticate(session, user_id, token)


def test_of_two_renewals_at_once_one_succeeds(database: Database) -> None:
    user_id, old = create(database, "Ann")

    def renew() -> UUID | None:
        with suppress(errors.InvalidCredentials), database.transaction() as session:
            return users.renew_token(session, user_id, old)
        return None

    with ThreadPoolExecutor(8) as threads:
        renewed = [token for token in threads.map(lambda _: renew(), range(8)) if token]

    assert len(renewed) == 1
    with database.transaction() as session:
        users.authenticate(session, user_id, renewed[0])


def test_the_database_holds_no_token(database: Database) -> None:
    _, token = create(database, "Ann")

    with database.transaction() as session:
        user = session.scalars(select(User)).one()

    assert str(token) not in str(vars(user))
    assert token.bytes not in user.token_sha256
