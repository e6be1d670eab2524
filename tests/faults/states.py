"""The states that the world may be in, and what users are to see in each."""

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from tests import jservice
from tests.faults.visitor import (
    DOCS,
    HEAD,
    JOB,
    LIVE,
    MP3,
    PEAKS,
    QUESTIONS,
    READY,
    RECORD,
    USERS,
    Due,
    Seen,
)
from tests.faults.world import Served, World, family, signal_all

PROMPT_SECONDS = 2.5
"""Less than the product's patience with either of its servers: who is answered within this time,
on a machine that has much to do, has waited for neither."""

CHECK_SECONDS = 6.0
"""Whoever asks a server that is away is told so within this time."""

WELL = {
    **dict.fromkeys(
        [LIVE, DOCS, READY, MP3, HEAD, PEAKS, JOB], Due(200, within_seconds=PROMPT_SECONDS)
    ),
    USERS: Due(201, within_seconds=PROMPT_SECONDS),
    RECORD: Due(201),
    QUESTIONS: Due(200),
}


def _without(name: str) -> dict[str, Due]:
    return WELL | {READY: Due(503, "not-ready", frozenset({name}), CHECK_SECONDS)}


_NO_BROKER = _without("broker") | dict.fromkeys([RECORD, QUESTIONS], Due(202))
_NO_DATABASE = _without("database") | dict.fromkeys(
    [MP3, HEAD, PEAKS, JOB, USERS, RECORD, QUESTIONS],
    Due(503, "database-unavailable", within_seconds=CHECK_SECONDS),
)


@dataclass(frozen=True)
class State:
    """A state of the world, and what users are to see in it."""

    name: str
    lasts: Callable[[World], AbstractContextManager[None]]
    """Raises: Spared."""
    due: Mapping[str, Due]

    @property
    def away(self) -> frozenset[str]:
        """What /health/ready has to name."""
        return self.due[READY].away

    def violations(self, seen: Iterable[Seen]) -> Iterator[str]:
        """What users were not to see."""
        for each in seen:
            for violation in self.due[each.request].check(each):
                yield f"{each.request}: {violation}"


@contextmanager
def _dead(server: Served) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def _frozen(server: Served) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextmanager
def _standing_still(world: World, worker: str) -> Iterator[None]:
    """It stands still, for one that is dead is started again at once."""
    frozen = family(world.process(worker).pid)
    signal_all(frozen, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all(frozen, signal.SIGCONT)


@contextmanager
def _failing_source(world: World) -> Iterator[None]:
    world.source.behave = jservice.status(500)
    try:
        yield
    finally:
        world.source.behave = jservice.serve


STATES = (
    State("all well", lambda _: nullcontext(), WELL),
    State("broker dead", lambda world: _dead(world.broker), _NO_BROKER),
    State("broker frozen", lambda world: _frozen(world.broker), _NO_BROKER),
    State("broker black-holed", lambda world: world.broker_proxy.black_holed(), _NO_BROKER),
    State("database dead", lambda world: _dead(world.postgres), _NO_DATABASE),
    State("database frozen", lambda world: _frozen(world.postgres), _NO_DATABASE),
    State("database black-holed", lambda world: world.database_proxy.black_holed(), _NO_DATABASE),
    State(
        "upload volume full",
        lambda world: world.uploads_volume.full(),
        _without("uploads") | {RECORD: Due(507, "storage-full")},
    ),
    State(
        "conversion workers dead",
        lambda world: _standing_still(world, "worker-records"),
        _without("workers") | {RECORD: Due(202)},
    ),
    State(
        "questions worker dead",
        lambda world: _standing_still(world, "worker-questions"),
        _without("workers") | {QUESTIONS: Due(202)},
    ),
    State(
        "question source dead",
        _failing_source,
        WELL | {QUESTIONS: Due(503, "question-source-unavailable")},
    ),
)
BY_NAME = {state.name: state for state in STATES}
