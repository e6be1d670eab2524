"""Disks without room for another byte."""

from random import Random

from tests.faults.nemeses.nemesis import Nemesis, endure
from tests.faults.world import World

FULL_SECONDS = 10


def fill_uploads(world: World, _random: Random) -> None:
    with world.uploads_volume.full():
        endure(FULL_SECONDS)


def fill_database(world: World, _random: Random) -> None:
    """PostgreSQL refuses what needs room; once its log does, it ends and cannot come back."""
    with world.database_volume.full():
        endure(FULL_SECONDS)
    world.postgres.recover()


NEMESES = (
    Nemesis("upload volume full", fill_uploads),
    Nemesis("PostgreSQL's disk full", fill_database),
)
