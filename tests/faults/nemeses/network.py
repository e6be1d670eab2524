"""Connections to the servers that are closed, reset, refused, delayed, or lead nowhere."""

from collections.abc import Callable
from random import Random

from tests.faults.nemeses.nemesis import Nemesis, Strike, endure
from tests.faults.proxy import Proxy
from tests.faults.world import World

SILENCE_SECONDS = 20
"""Longer than the product's patience with either of its servers, and than a lease."""
REFUSAL_SECONDS = 6
SLOW_SECONDS = 6
DELAY_SECONDS = 0.25

Way = Callable[[World], Proxy]


def cut(way: Way) -> Strike:
    return lambda world, _random: way(world).cut()


def reset(way: Way) -> Strike:
    return lambda world, _random: way(world).reset()


def refuse(way: Way) -> Strike:
    def strike(world: World, _random: Random) -> None:
        with way(world).refusing():
            endure(REFUSAL_SECONDS)

    return strike


def swallow(way: Way) -> Strike:
    def strike(world: World, _random: Random) -> None:
        with way(world).black_holed():
            endure(SILENCE_SECONDS)

    return strike


def hold_back(way: Way) -> Strike:
    def strike(world: World, _random: Random) -> None:
        with way(world).frozen():
            endure(SILENCE_SECONDS)

    return strike


def slow_down(way: Way) -> Strike:
    def strike(world: World, _random: Random) -> None:
        with way(world).delayed(DELAY_SECONDS):
            endure(SLOW_SECONDS)

    return strike


WAYS: dict[str, Way] = {
    "broker": lambda world: world.broker_proxy,
    "database": lambda world: world.database_proxy,
    "question source": lambda world: world.source_proxy,
}
FAULTS = {
    "cut": cut,
    "reset": reset,
    "refused": refuse,
    "black-holed": swallow,
    "held back": hold_back,
    "slow": slow_down,
}
NEMESES = tuple(
    Nemesis(f"{server} connections {what}", fault(way))
    for server, way in WAYS.items()
    for what, fault in FAULTS.items()
)
