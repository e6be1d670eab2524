"""Processes of the product that are killed, or that stand still for longer than their lease."""

import signal
from random import Random

from tests.faults.nemeses.nemesis import Nemesis, Strike, endure
from tests.faults.world import LEASE_SECONDS, World, family, signal_all

FREEZE_SECONDS = 2 * LEASE_SECONDS


def kill(process: str) -> Strike:
    return lambda world, _random: world.process(process).kill()


def kill_one_of_the_pool(world: World, random: Random) -> None:
    random.choice(world.pool()).kill()


def kill_run(world: World, _random: Random) -> None:
    """All that it started dies with it; so it has to be started by hand, as after a power cut."""
    world.product.process.kill()
    world.restart_run()


def freeze(process: str) -> Strike:
    """Let a process and its children stand still until others believe them dead, and go on."""

    def strike(world: World, _random: Random) -> None:
        frozen = family(world.process(process).pid)
        signal_all(frozen, signal.SIGSTOP)
        try:
            endure(FREEZE_SECONDS)
        finally:
            signal_all(frozen, signal.SIGCONT)

    return strike


NEMESES = (
    Nemesis("kill -9 of a pool child", kill_one_of_the_pool),
    Nemesis("kill -9 of the records worker", kill("worker-records")),
    Nemesis("kill -9 of the questions worker", kill("worker-questions")),
    Nemesis("kill -9 of the API", kill("api")),
    Nemesis("kill -9 of Flower", kill("flower")),
    Nemesis("kill -9 of run.py", kill_run),
    Nemesis("records worker frozen past its lease", freeze("worker-records")),
    Nemesis("questions worker frozen past its lease", freeze("worker-questions")),
    Nemesis("API frozen", freeze("api")),
)
