"""The quick part of what `python -m tests.faults.degradation` shows."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from api.app import DATABASE_CONNECTIONS
from tests import folders
from tests.faults.degradation import SETTINGS, is_well
from tests.faults.states import BY_NAME
from tests.faults.visitor import DOCS, JOB, LIVE, MP3, USERS, Seen, Visitor
from tests.faults.world import Spared, World, comes_true

WELL_SECONDS = 30


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with folders.temporary() as folder, World(folder, **SETTINGS) as world:
        yield world


@pytest.fixture(scope="module")
def visitor(world: World) -> Visitor:
    return Visitor(world)


@pytest.mark.parametrize(
    "name", ["broker frozen", "database dead", "upload volume full", "question source dead"]
)
def test_users_are_told_what_is_away_and_get_the_rest(
    world: World, visitor: Visitor, name: str
) -> None:
    state = BY_NAME[name]

    try:
        with state.lasts(world):
            seen = visitor.ask_at_once(visitor.requests)
    except Spared as spared:
        pytest.skip(str(spared))

    assert [*state.violations(seen)] == []
    assert comes_true(lambda: is_well(visitor), WELL_SECONDS)


def test_a_rush_on_a_frozen_database_is_in_nobodys_way(world: World, visitor: Visitor) -> None:
    frozen = BY_NAME["database frozen"]
    others: list[Seen] = []

    with frozen.lasts(world), ThreadPoolExecutor(1) as pool:
        rush = pool.submit(visitor.ask_at_once, [JOB, MP3, USERS] * 40)
        while not rush.done():
            others += visitor.ask_at_once([LIVE, DOCS])

    assert {seen.answer and seen.answer.status_code for seen in rush.result()} == {503}
    assert [*frozen.violations(others)] == []
    assert comes_true(lambda: is_well(visitor), WELL_SECONDS)
    assert comes_true(lambda: connections(world) == {"idle"}, WELL_SECONDS)


def connections(world: World) -> set[str]:
    """What those of the API do, of which there may be no more than it has places."""
    of_the_api = "SELECT state FROM pg_stat_activity WHERE application_name = 'quaver api'"
    with world.database.statements() as session:
        states = session.scalars(text(of_the_api)).all()
    assert len(states) <= DATABASE_CONNECTIONS
    return set(states)
