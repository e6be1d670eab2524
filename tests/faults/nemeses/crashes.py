"""Processes that die at the points that the product itself has named."""

from collections.abc import Mapping
from contextlib import suppress
from random import Random

from shared import crashpoints
from tests.faults.nemeses import broker, source
from tests.faults.nemeses.nemesis import MOMENT_SECONDS, Nemesis, Strike
from tests.faults.world import Spared, World, comes_true
from tests.jservice import serve_always


def crash_with_a_job(world: World, _random: Random) -> None:
    (world.crash_points / "job-claimed").touch()


OCCASIONS: Mapping[str, Strike] = {
    "job-rescued": crash_with_a_job,
    "hint-due": broker.flush,
    "job-failed": source.misbehave(serve_always([])),
}
"""What brings about points that a steady load alone does not come by."""


def crash_at(point: str) -> Strike:
    """Let the next process that comes by this point die there.

    Raises:
        Spared: none came by.
    """

    def strike(world: World, random: Random) -> None:
        wish = world.crash_points / point
        wish.touch()
        try:
            if occasion := OCCASIONS.get(point):
                with suppress(Spared):
                    occasion(world, random)
            if not comes_true(lambda: not wish.exists(), MOMENT_SECONDS):
                raise Spared("no process came by that point")
        finally:
            wish.unlink(missing_ok=True)

    return strike


NEMESES = tuple(Nemesis(f"crash at {name}", crash_at(name)) for name in crashpoints.NAMES)
