"""A nemesis: a fault with a name, and the time that it lasts."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from tests.faults.world import World

MOMENT_SECONDS = 15
"""How long the right moment is waited for; a steady load brings about most of them sooner."""

Strike = Callable[[World, Random], None]


@dataclass(frozen=True)
class Nemesis:
    """A way to harm the product.

    `strike` returns when the harm is healed as far as it is not for the product to do that. It
    raises `Spared` where the fault cannot be brought about.
    """

    name: str
    strike: Strike


def endure(seconds: float) -> None:
    """Let a fault last."""
    time.sleep(seconds)


@contextmanager
def lasting(seconds: float) -> Iterator[None]:
    """Have the block last that long, whatever is done in it."""
    until = time.monotonic() + seconds
    yield
    endure(max(0.0, until - time.monotonic()))
