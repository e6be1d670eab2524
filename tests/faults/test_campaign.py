"""The quick part of the campaign; `make faults` is the whole of it."""

from collections.abc import Iterator

import pytest

from tests import folders
from tests.faults.campaign import Campaign
from tests.faults.nemeses import NEMESES, QUICK
from tests.faults.world import World

SEED = 1


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    with folders.temporary() as folder, World(folder) as world:
        yield Campaign(world, SEED)


@pytest.mark.parametrize("name", QUICK)
def test_what_was_accepted_is_done_and_nothing_twice(campaign: Campaign, name: str) -> None:
    found = campaign.play(name, [NEMESES[name]])

    assert found.violations == []
    assert found.accepted == found.settled > 0
