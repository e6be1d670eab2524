"""A question source that does anything but answer."""

from random import Random

from tests import jservice
from tests.faults.nemeses.nemesis import Nemesis, Strike, endure
from tests.faults.world import World
from tests.jservice import Behaviour

MISBEHAVIOUR_SECONDS = 4

BEHAVIOURS: dict[str, Behaviour] = {
    "fails": jservice.status(500),
    "asks for patience": jservice.status(429, retry_after="2"),
    "asks for a day's patience": jservice.status(503, retry_after="86400"),
    "has moved": jservice.status(404),
    "hangs": jservice.hang,
    "hangs up": jservice.hang_up,
    "sends half an answer": jservice.break_off,
    "drips its header": jservice.drip_head,
    "drips its body": jservice.drip_body,
    "drips a chunk's size": jservice.drip_chunk_size,
    "redirects in a circle": jservice.redirect("/api/random"),
    "redirects elsewhere": jservice.redirect("http://127.0.0.2/"),
    "is a parked domain": jservice.serve_always(jservice.PARKED),
    "sends another type": jservice.serve_always({"questions": "none"}),
    "sends wrong items": jservice.serve_always([None, 7, {"id": []}, {"id": 1, "question": 2}]),
    "sends nothing": jservice.serve_always([]),
    "sends the same again": jservice.serve_always([jservice.make_clue(1)]),
    "sends without end": jservice.serve_always(b" " * (4 << 20)),
    "is slow": jservice.serve_after(3),
}


def misbehave(behaviour: Behaviour) -> Strike:
    def strike(world: World, _random: Random) -> None:
        world.source.behave = behaviour
        try:
            endure(MISBEHAVIOUR_SECONDS)
        finally:
            world.source.behave = jservice.serve

    return strike


NEMESES = tuple(
    Nemesis(f"question source {what}", misbehave(behaviour))
    for what, behaviour in BEHAVIOURS.items()
)
