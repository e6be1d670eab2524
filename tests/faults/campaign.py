"""The campaign: under a steady load one fault after another, and after each all that must hold."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from uuid import UUID, uuid4

from sqlalchemy import func, select, text

from shared.models import Job, State
from tests.faults import invariants, leftovers
from tests.faults.invariants import Seen
from tests.faults.load import Load, Operation
from tests.faults.nemeses import Nemesis
from tests.faults.violations import Kind, Violation, lost
from tests.faults.world import Spared, World, comes_true

BEFORE_SECONDS, AFTER_SECONDS = 1.0, 0.5
"""Of load around a strike."""

REST_SECONDS = 90
MOST_ATTEMPTS = 3
API_PROCESSES = 1


@dataclass
class Round:
    """What one strike, or several at once, came to."""

    name: str
    seed: int
    operations: int = 0
    under_way: int = 0
    """Of those: while the strike lasted."""
    accepted: int = 0
    """Jobs that users' requests have led to."""
    settled: int = 0
    failed: int = 0
    """Of those settled: with a reason."""
    recovery_seconds: float | None = None
    """From the strike's end until nothing was open."""
    spared: str = ""
    violations: list[Violation] = field(default_factory=list)

    def count(self, *kinds: Kind) -> int:
        """Violations of these kinds."""
        return sum(violation.kind in kinds for violation in self.violations)


class Campaign:
    """Rounds in one world, one after the other; what went before must not matter."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._seed = seed
        self._user = world.product.new_user(f"Campaign {uuid4()}")
        self._operations: list[Operation] = []
        self._checked: set[UUID] = set()
        self._processes = len(world.processes())

    def play(self, name: str, nemeses: Sequence[Nemesis]) -> Round:
        """Strike with these, in their order, under load; wait for rest; look at everything."""
        found = Round(name, self._seed)
        random = Random(f"{self._seed} {name}")
        before = self._count()
        load = Load(self._world.url, self._user, random)
        load.start()
        time.sleep(BEFORE_SECONDS)
        struck = time.monotonic()
        for nemesis in nemeses:
            try:
                nemesis.strike(self._world, random)
            except Spared as spared:
                found.spared = str(spared)
        healed = time.monotonic()
        time.sleep(AFTER_SECONDS)
        operations = load.stop()
        rest = invariants.await_rest(self._world.database.statements, REST_SECONDS)
        found.recovery_seconds = None if rest is None else self._last_end(healed)
        found.operations = len(operations)
        found.under_way = sum(each.began < healed and each.ended > struck for each in operations)
        self._operations += operations
        found.violations = [*self._violations(load)]
        after = self._count()
        found.accepted, found.settled, found.failed = (
            new - old for new, old in zip(after, before, strict=True)
        )
        return found

    def _last_end(self, healed: float) -> float:
        """How long after the strike the last of the jobs ended that were open at its end."""
        ago = healed - time.monotonic()
        healed_at = func.clock_timestamp() + text(f"interval '{ago} seconds'")
        struck = select(
            func.extract("epoch", func.max(Job.finished_at) - func.min(healed_at))
        ).where(Job.created_at < healed_at)
        with self._world.database.statements() as session:
            return max(0.0, float(session.scalar(struck) or 0))

    def _count(self) -> tuple[int, int, int]:
        """Users' jobs: all, those that ended, those that failed."""
        with self._world.database.statements() as session:
            states = session.scalars(select(Job.state).where(Job.parent_id.is_(None))).all()
        ended = [state for state in states if State(state).is_final]
        return len(states), len(ended), states.count(State.FAILED)

    def _violations(self, load: Load) -> Iterator[Violation]:
        if not comes_true(self._world.product.is_ready, REST_SECONDS):
            yield lost("the product does not get ready again by itself")
            return
        by_name = {each.name.removesuffix(".wav"): each for each in self._operations if each.name}
        with self._world.database.statements() as session:
            seen = Seen.read(session)
            yield from invariants.check_jobs(seen, most_attempts=MOST_ATTEMPTS)
            yield from invariants.check_uploads(seen, self._operations)
            yield from invariants.check_questions(seen, self._operations)
            for name, record in seen.records.items():
                if record.stored_at is not None and record.id not in self._checked:
                    self._checked.add(record.id)
                    operation = by_name.get(name)
                    yield from invariants.check_record(session, record, operation)
                    if operation is not None and operation.status == HTTPStatus.CREATED:
                        yield from invariants.check_link(operation, record)
        yield from self._leftovers({str(record.id) for record in seen.records.values()}, load.token)

    def _leftovers(self, ended: Collection[str], token: str) -> Iterator[Violation]:
        world = self._world
        yield from leftovers.uploads(world.uploads, ended)
        yield from leftovers.processes(world.processes, data=world.data, usual=self._processes)
        yield from leftovers.temporary_files(world.temporary)
        yield from leftovers.subscriptions(world.broker.client, usual=API_PROCESSES)
        with world.database.statements() as session:
            yield from leftovers.database_connections(session)
        yield from leftovers.secrets(world.data / "logs", token)
