"""What users see while something is away: every kind of request in every state of the world.

`python -m tests.faults.degradation` shows it as Markdown, and complains of what should not be.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from bench.figures import percentile
from bench.markdown import milliseconds, table
from tests import folders
from tests.faults.states import BY_NAME, STATES, WELL, State
from tests.faults.visitor import DOCS, JOB, LIVE, MP3, USERS, Seen, Visitor
from tests.faults.world import Spared, World, comes_true

SETTINGS = {"RECORD_WAIT_SECONDS": "900", "QUESTIONS_WAIT_SECONDS": "30"}
"""The product's own defaults: nobody may have to wait so long for what cannot come."""

TIMES = 4
"""Each request is sent so often in each state, at the same time as all others."""

NAMED_SECONDS = 30
WELL_SECONDS = 60

BURST = 200
BURST_CLIENTS = 8
P99_SECONDS = 1.0
BURSTS = {
    "all well": [LIVE, DOCS, MP3, JOB, USERS],
    "broker frozen": [LIVE, DOCS, MP3, JOB, USERS],
    "database frozen": [LIVE, DOCS],
}
"""What needs nothing that is frozen; and the same with all well, to compare."""


@dataclass
class Visit:
    """A state, and what was seen in it."""

    state: State
    seen: list[Seen] = field(default_factory=list)
    named_seconds: float | None = None
    """Until /health/ready said what is away; None if it never did."""
    well_seconds: float | None = None
    """After the state's end, until everything was well; None if it never was."""
    spared: str = ""

    def violations(self) -> Iterator[str]:
        if self.spared:
            return
        if self.named_seconds is None:
            yield f"/health/ready did not name {' and '.join(self.state.away) or 'nothing'}"
        yield from self.state.violations(self.seen)
        if self.well_seconds is None:
            yield "it did not get well again"


def visit(world: World, visitor: Visitor, state: State) -> Visit:
    """Bring a state about, ask for everything in it, and see all get well again."""
    found = Visit(state)
    try:
        with state.lasts(world):
            found.named_seconds = _time(lambda: visitor.what_is_away() == state.away, NAMED_SECONDS)
            found.seen = visitor.ask_at_once(visitor.requests * TIMES)
    except Spared as spared:
        found.spared = str(spared)
    found.well_seconds = _time(lambda: is_well(visitor), WELL_SECONDS)
    return found


def is_well(visitor: Visitor) -> bool:
    """Whether every request is answered as it should be when nothing is away."""
    seen = visitor.ask_at_once(visitor.requests)
    return not any([*WELL[each.request].some_time().check(each)] for each in seen)


def _time(condition: Callable[[], bool], seconds: float) -> float | None:
    """How long a condition took to come true; None if it did not."""
    began = time.monotonic()
    return time.monotonic() - began if comes_true(condition, seconds) else None


@dataclass
class Burst:
    """One request again and again, in one state."""

    state: State
    request: str
    seen: list[Seen]

    @classmethod
    def of(cls, visitor: Visitor, state: State, request: str) -> Self:
        return cls(state, request, visitor.ask_often(request, BURST, clients=BURST_CLIENTS))

    @property
    def figures(self) -> Sequence[float]:
        """Median, 99th percentile and slowest, in seconds."""
        seconds = [each.seconds for each in self.seen]
        return percentile(seconds, 50), percentile(seconds, 99), max(seconds)

    def violations(self) -> Iterator[str]:
        yield from self.state.violations(self.seen)
        if self.figures[1] > P99_SECONDS:
            yield f"{self.request}: one in a hundred takes more than {P99_SECONDS} s"


def bursts(world: World, visitor: Visitor) -> Iterator[Burst]:
    """All of them, one after the other."""
    for name, requests in BURSTS.items():
        state = BY_NAME[name]
        with state.lasts(world):
            yield from [Burst.of(visitor, state, request) for request in requests]
        comes_true(lambda: is_well(visitor), WELL_SECONDS)


def whole(visits: Sequence[Visit], bursts: Sequence[Burst]) -> str:
    """Both tables, as Markdown."""
    cells = f"Of each request the status, and the slowest of {TIMES} answers in seconds."
    return "\n\n".join([cells, matrix(visits), latencies(bursts)])


def matrix(visits: Sequence[Visit]) -> str:
    """A row for each state."""
    head = ["state", *WELL, "named after, s", "well after, s"]
    return table(head, [_row(each) for each in visits])


def _row(found: Visit) -> list[str]:
    if found.spared:
        return [f"{found.state.name} (spared: {found.spared})", *[""] * (len(WELL) + 2)]
    cells = [_cell([seen for seen in found.seen if seen.request == request]) for request in WELL]
    times = [
        "never" if seconds is None else f"{seconds:.1f}"
        for seconds in (found.named_seconds, found.well_seconds)
    ]
    return [found.state.name, *cells, *times]


def _cell(seen: Sequence[Seen]) -> str:
    statuses = {"none" if each.answer is None else str(each.answer.status_code) for each in seen}
    return f"{'/'.join(sorted(statuses))} {max(each.seconds for each in seen):.2f}"


def latencies(found: Sequence[Burst]) -> str:
    """A row for each burst."""
    rows = [[each.state.name, each.request, *map(milliseconds, each.figures)] for each in found]
    head = ["state", f"{BURST} requests, {BURST_CLIENTS} at a time", "p50", "p99", "slowest"]
    return table(head, rows)


def main() -> int:
    with folders.temporary() as folder, World(folder, **SETTINGS) as world:
        visitor = Visitor(world)
        visits = [visit(world, visitor, state) for state in STATES]
        found = [*bursts(world, visitor)]
    print(f"# What users see meanwhile\n\n{whole(visits, found)}")
    seen: list[Visit | Burst] = [*visits, *found]
    violations = [f"{each.state.name}, {what}" for each in seen for what in each.violations()]
    for violation in violations:
        print(f"VIOLATED: {violation}", file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
