"""A broker that dies, forgets, stands still, or loses, doubles and shuffles its messages."""

import time
from random import Random
from typing import Any

from sqlalchemy import select

from shared import jobs, signals
from shared.models import Job, State
from tests.faults.nemeses.nemesis import MOMENT_SECONDS, Nemesis, Strike, endure, lasting
from tests.faults.world import Spared, World

FLUSHES = 8
LOST_HINTS = 5
DUPLICATES = 20
JOBS_HINTED_AGAIN = 10
QUEUES = ["records", "segments", "questions"]


def restart(world: World, _random: Random) -> None:
    world.broker.kill()
    world.broker.start()


def restart_empty(world: World, _random: Random) -> None:
    world.broker.kill()
    world.broker.forget()
    world.broker.start()


def flush(world: World, _random: Random) -> None:
    for _ in range(FLUSHES):
        with lasting(1):
            world.broker.client.flushall()


def freeze(seconds: float) -> Strike:
    def strike(world: World, _random: Random) -> None:
        world.broker.freeze()
        try:
            endure(seconds)
        finally:
            world.broker.thaw()

    return strike


def lose_hints(world: World, _random: Random) -> None:
    """Take hints as a worker does, and die with them."""
    deadline = time.monotonic() + MOMENT_SECONDS
    lost = 0
    while lost < LOST_HINTS and time.monotonic() < deadline:
        lost += world.broker.client.blpop(QUEUES, timeout=1) is not None
    if not lost:
        raise Spared("the workers were always faster")


def double_hints(world: World, random: Random) -> None:
    """Hint many times at each of the last jobs, ended ones and those under way, in any order."""
    latest = select(Job.id, Job.kind).order_by(Job.created_at.desc()).limit(JOBS_HINTED_AGAIN)
    with world.database.transaction() as session:
        known: list[Any] = list(session.execute(latest)) * DUPLICATES
    random.shuffle(known)
    app = jobs.celery_app(world.broker.url)
    hints = jobs.Hints(app)
    for job_id, kind in known:
        hints.send(job_id, kind)
    app.close()


def shuffle_hints(world: World, random: Random) -> None:
    """Put those that wait into another order, the oldest perhaps last."""
    client = world.broker.client
    for queue in QUEUES:
        with client.pipeline() as pipeline:
            pipeline.lrange(queue, 0, -1)
            pipeline.delete(queue)
            waiting, _ = pipeline.execute()
        random.shuffle(waiting)
        if waiting:
            client.rpush(queue, *waiting)


def forge_signals(world: World, random: Random) -> None:
    """Say of the last jobs that they have ended, and other nonsense."""
    latest = select(Job.id).order_by(Job.created_at.desc()).limit(JOBS_HINTED_AGAIN)
    with world.database.transaction() as session:
        known = list(session.scalars(latest))
    for job_id in random.sample(known, len(known)):
        signals.publish(world.broker.client, job_id, random.choice(list(State)), random.random())
    world.broker.client.publish(signals.CHANNEL, random.randbytes(100))


NEMESES = (
    Nemesis("broker killed and restarted", restart),
    Nemesis("broker killed and restarted empty", restart_empty),
    Nemesis("FLUSHALL every second", flush),
    Nemesis("broker frozen for 8 s", freeze(8)),
    Nemesis("broker frozen for 30 s", freeze(30)),
    Nemesis("hints lost after they were popped", lose_hints),
    Nemesis("every hint 20 times and shuffled", double_hints),
    Nemesis("waiting hints reordered", shuffle_hints),
    Nemesis("forged signals", forge_signals),
)
