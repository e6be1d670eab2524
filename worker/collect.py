"""Collect questions: ask the sources until N of what they gave is new, then store exactly N."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from shared import errors, questions, tracing
from shared.database import Database
from shared.outages import Outage
from shared.questions import Candidate
from shared.sources import Filters
from worker.breaker import Breaker
from worker.lease import Lease
from worker.sources import QuestionSource
from worker.upstream import SourceBusy, SourceError

MOST_FRUITLESS = 8
"""After so many batches in a row without anything new, a source counts as exhausted."""

ASK_AGAIN_SECONDS = 60
"""What `Retry-After` says when every source works and none has anything new."""

log = logging.getLogger(__name__)


def collect(
    lease: Lease,
    *,
    count: int,
    filters: Filters,
    sources: Sequence[QuestionSource],
    database: Database,
    breaker: Breaker,
    deadline_seconds: float,
) -> None:
    """Store `count` new questions and settle the job with the question that was newest before.

    Sources that cannot honour the filters are not asked.

    The sources are asked in order. Those that failed a moment ago come last: with the others
    sufficing, nobody waits for them. Each has an equal share of the time that is left, so that
    one which hangs leaves the next ones theirs. No transaction is open while a source is asked.

    Raises:
        QuestionsExhausted: `found`, and no more, are new; nothing was stored.
        QuestionSourceUnavailable: no source gave a single question, old or new.
        LeaseLost: the job is somebody else's now.
    """
    search = _Search(lease, count, filters, database)
    sources = [source for source in sources if source.facts.honours(filters)]
    outages = breaker.outages(source.facts.name for source in sources)
    answers = []
    for source, seconds in _shares(sources, outages, deadline_seconds):
        answer = _ask(search, source, breaker, outages.get(source.facts.name), seconds)
        if search.is_settled:
            return
        answers.append(answer)
    raise _too_few(search, answers)


def _shares(
    sources: Sequence[QuestionSource], outages: dict[str, Outage], deadline_seconds: float
) -> Iterator[tuple[QuestionSource, float]]:
    """The sources in the order to be asked, each with the seconds it may take."""
    end = time.monotonic() + deadline_seconds
    ordered = sorted(sources, key=lambda source: source.facts.name in outages)  # Stable.
    for position, source in enumerate(ordered):
        yield source, max(0, end - time.monotonic()) / (len(ordered) - position)


class _Answer(NamedTuple):
    """Why a source did not bring enough, and after how many seconds that may change."""

    source: str
    reason: str
    retry_after_seconds: int | None = None


def _ask(
    search: "_Search",
    source: QuestionSource,
    breaker: Breaker,
    outage: Outage | None,
    seconds: float,
) -> _Answer:
    """Have `search` use a source; one that is being passed over, only if no other job does."""
    name = source.facts.name
    if outage is None:
        return _use(search, source, breaker, seconds)
    with breaker.probe(name, seconds=seconds) as is_free:
        if is_free:
            return _use(search, source, breaker, seconds)
        return _Answer(name, *outage)


def _use(search: "_Search", source: QuestionSource, breaker: Breaker, seconds: float) -> _Answer:
    """Have `search` use a source, and let the other workers know how it did."""
    name, deadline = source.facts.name, time.monotonic() + seconds
    try:
        reason = search.use(source, deadline)
    except SourceBusy as error:
        return _Answer(name, error.reason, error.retry_after_seconds)
    except SourceError as error:
        wish = error.retry_after_seconds or 0
        closed_for = breaker.trip(name, error.reason, at_least_seconds=wish)
        return _Answer(name, error.reason, closed_for)
    breaker.reset(name)
    return _Answer(name, reason)


class _Search:
    """What one job has found so far."""

    def __init__(self, lease: Lease, count: int, filters: Filters, database: Database) -> None:
        self.count = count
        self.filters = filters
        self.new: list[Candidate] = []
        self.is_anything_usable = False
        self.is_settled = False
        self._lease = lease
        self._database = database

    def use(self, source: QuestionSource, deadline: float) -> str:
        """Fetch from a source, at least once, until the job is settled; else returns what stopped.

        First as many as are missing. If that was not enough, the source repeats itself or others
        were faster: from then on it is asked for all it gives at a time, which finds the last new
        ones of a small source in a few batches; what is too much is kept as spares.

        Raises: SourceError.
        """
        wanted = self.count - len(self.new)
        fruitless = 0
        while fruitless < MOST_FRUITLESS:
            self._lease.check()
            started = time.monotonic()
            count = min(wanted, source.facts.most_per_request)
            with tracing.span(f"ask {source.facts.name}", kind="CLIENT"):
                batch = source.fetch(count, deadline, self.filters)
            if not batch:
                return "has no more questions"
            self.is_anything_usable = True
            fruitless = 0 if self._keep_new(batch) else fruitless + 1
            self._settle_if_enough()
            if self.is_settled:
                return "brought enough"
            now = time.monotonic()
            # A batch that cannot be expected to end in time would be cut off, and look like a
            # failure of the source.
            if now + (now - started) >= deadline:
                return "was too slow to bring more"
            wanted = source.facts.most_per_request
        return "has nothing more that is new"

    def _keep_new(self, batch: Sequence[Candidate]) -> bool:
        """Keep of all candidates those that nobody has stored; whether the batch had any wanted."""
        had = set(self.new)
        wanted = [each for each in batch if self.filters.admit(each.category, each.difficulty)]
        with self._database.statements() as session:
            self.new = questions.unknown(session, [*self.new, *wanted])
        self._lease.report(min(1, len(self.new) / self.count))
        return not had.issuperset(self.new)

    def _settle_if_enough(self) -> None:
        """Try to settle. When others were faster, nothing is stored and the search goes on."""
        if len(self.new) < self.count:
            return
        try:
            with self._lease.settle() as settlement:
                settlement.result = questions.add(settlement.session, self.new, self.count)
        except questions.TooFewNew as error:
            log.info("%d of %d questions left", error.found, len(self.new))
            self._keep_new([])
        else:
            self.is_settled = True


def _too_few(search: _Search, answers: Sequence[_Answer]) -> errors.QuaverError:
    waits = [a.retry_after_seconds for a in answers if a.retry_after_seconds is not None]
    seconds = min(waits, default=ASK_AGAIN_SECONDS)
    reasons = "; ".join(f"{answer.source} {answer.reason}" for answer in answers)
    reasons = reasons or "none can be asked for such ones"
    if not search.is_anything_usable:
        return errors.QuestionSourceUnavailable(
            f"No source gave any question: {reasons}. "
            f"Nothing was stored. Try again in {seconds} s.",
            retry_after_seconds=seconds,
        )
    found = len(search.new)
    advice = f"Ask for at most {found}, or try" if found else "Try"
    return errors.QuestionsExhausted(
        f"Of {search.count} questions only {found} would be new: {reasons}. "
        f"Nothing was stored. {advice} again in {seconds} s.",
        found=found,
        retry_after_seconds=seconds,
    )
