"""PostgreSQL that dies at the worst moments, or that is away or stands still for long."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from random import Random

from tests.faults.nemeses.nemesis import MOMENT_SECONDS, Nemesis, Strike, endure
from tests.faults.world import Spared, World

MOMENTS = {
    "an upload's acceptance": rb"INSERT INTO records ",
    "a claim": rb"UPDATE jobs SET state='running'",
    "chunk writing": rb"PGCOPY\n",
    "storing questions": rb"INSERT INTO questions ",
    "a settlement": rb"UPDATE jobs SET state='done'",
    "a COMMIT": rb"Q\0\0\0\x0bCOMMIT\0",
}
"""Of each, what the product sends to the database."""


def restart(world: World) -> None:
    world.postgres.restart_immediately()


def reset(world: World) -> None:
    world.database_proxy.reset()


def at(moment: str, harm: Callable[[World], None], *, done: bool) -> Strike:
    """Do harm when a message is on its way; or when it is `done`, and its sender unaware of that.

    Raises:
        Spared: no such message was sent.
    """

    def strike(world: World, _random: Random) -> None:
        with world.database_proxy.catching(MOMENTS[moment], answer=done) as catch:
            if not catch.wait(MOMENT_SECONDS):
                raise Spared(f"{moment} did not come about")
            harm(world)

    return strike


def kill_backend(world: World, random: Random) -> None:
    """One that is at work; all others are then ended by PostgreSQL itself."""
    moment = random.choice(list(MOMENTS.values()))
    with world.database_proxy.catching(moment, answer=True) as catch:
        catch.wait(MOMENT_SECONDS)
        _kill(random.choice(world.backends()))
    world.postgres.recover()


def terminate_backends(world: World, _random: Random) -> None:
    """Each by itself, as an administrator does."""
    for pid in world.backends():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def stay_down(seconds: float) -> Strike:
    def strike(world: World, _random: Random) -> None:
        world.postgres.stop_immediately()
        endure(seconds)
        world.postgres.start()

    return strike


def kill(world: World, _random: Random) -> None:
    world.postgres.kill()
    world.postgres.start()


def freeze(seconds: float) -> Strike:
    def strike(world: World, _random: Random) -> None:
        world.postgres.freeze()
        try:
            endure(seconds)
        finally:
            world.postgres.thaw()

    return strike


NEMESES = (
    *(
        Nemesis(f"PostgreSQL restarted before {moment}", at(moment, restart, done=False))
        for moment in MOMENTS
    ),
    *(
        Nemesis(f"PostgreSQL restarted after {moment}", at(moment, restart, done=True))
        for moment in MOMENTS
    ),
    *(
        Nemesis(f"connections reset after {moment}", at(moment, reset, done=True))
        for moment in MOMENTS
    ),
    Nemesis("kill -9 of PostgreSQL", kill),
    Nemesis("kill -9 of a backend at work", kill_backend),
    Nemesis("all backends terminated", terminate_backends),
    Nemesis("PostgreSQL down for 10 s", stay_down(10)),
    Nemesis("PostgreSQL down for 60 s", stay_down(60)),
    Nemesis("PostgreSQL frozen for 8 s", freeze(8)),
    Nemesis("PostgreSQL frozen for 30 s", freeze(30)),
)
