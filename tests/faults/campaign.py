"""The campaign: under a steady load one fault after another, and after each all that must hold."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from uuid import UUID, uuid4

import psutil
from sqlalchemy import func, select, text

from shared.models import Job, State
from tests.faults import invariants
from tests.faults.invariants import Seen
from tests.faults.load import Load, Operation
from tests.faults.nemeses import Nemesis
from tests.faults.world import LEASE_SECONDS, Spared, World, comes_true
from worker.sweep import STALE_SECONDS

BEFORE_SECONDS, AFTER_SECONDS = 1.5, 1.0
"""Of load around a strike."""

REST_SECONDS = 90
MOST_ATTEMPTS = 3
MOST_MEMORY_BYTES = 300 << 20
"""Of each process: one that leaked in each round would get there."""

MOST_CONNECTIONS = 100


@dataclass
class Round:
    """What one strike, or several at once, came to."""

    name: str
    seed: int
    operations: int = 0
    accepted: int = 0
    """Jobs that users' requests have led to."""
    settled: int = 0
    failed: int = 0
    """Of those settled: with a reason."""
    recovery_seconds: float | None = None
    """From the strike's end until nothing was open."""
    spared: str = ""
    violations: list[str] = field(default_factory=list)


class Campaign:
    """Rounds in one world, one after the other; what went before must not matter."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._seed = seed
        self._user = world.product.new_user(f"Campaign {uuid4()}")
        self._operations: list[Operation] = []
        self._checked: set[UUID] = set()

    def play(self, name: str, nemeses: Sequence[Nemesis]) -> Round:
        """Strike with these, in their order, under load; wait for rest; look at everything."""
        found = Round(name, self._seed)
        random = Random(f"{self._seed} {name}")
        before = self._count()
        load = Load(self._world.url, self._user, random)
        load.start()
        time.sleep(BEFORE_SECONDS)
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

    def _violations(self, load: Load) -> Iterator[str]:
        by_name = {each.name.removesuffix(".wav"): each for each in self._operations if each.name}
        with self._world.database.statements() as session:
            seen = Seen.read(session)
            yield from invariants.check_jobs(seen, most_attempts=MOST_ATTEMPTS)
            yield from invariants.check_uploads(seen, self._operations)
            yield from invariants.check_questions(seen, self._operations)
            for name, record in seen.records.items():
                if record.stored_at is not None and record.id not in self._checked:
                    self._checked.add(record.id)
                    yield from invariants.check_record(session, record, by_name.get(name))
        yield from self._files(seen)
        yield from self._processes()
        yield from self._logs(load.token)

    def _files(self, seen: Seen) -> Iterator[str]:
        """An upload is there as long as its job is open, and one without a job not for ever."""
        known = {str(record.id) for record in seen.records.values()}

        def left() -> list[str]:
            return [file.name for file in self._world.uploads.iterdir() if file.name in known]

        if not comes_true(lambda: not left(), LEASE_SECONDS):
            yield f"uploads of ended jobs are left: {left()}"
        for file in self._world.uploads.iterdir():
            if time.time() - file.stat().st_mtime > STALE_SECONDS + LEASE_SECONDS:
                yield f"upload {file.name} is older than any that is arriving"

    def _processes(self) -> Iterator[str]:
        for process in self._world.processes():
            try:
                size = process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            if size > MOST_MEMORY_BYTES:
                yield f"{' '.join(process.cmdline()[-3:])} takes {size >> 20} MiB"
        idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'quaver %'"
        with self._world.database.statements() as session:
            connections = session.scalar(text(idle)) or 0
        if connections > MOST_CONNECTIONS:
            yield f"there are {connections} connections to the database"

    def _logs(self, token: str) -> Iterator[str]:
        for log in (self._world.data / "logs").glob("*.log"):
            if token in log.read_text(errors="replace"):
                yield f"{log.name} tells a user's token"
