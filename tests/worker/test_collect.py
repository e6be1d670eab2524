"""Collecting: exactly N new questions or none, whatever the sources and the others do."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update

from shared import errors, jobs, questions, signals
from shared.database import Database
from shared.models import Job, Question, State
from shared.questions import Candidate
from shared.sources import Facts, Filters
from tests import jservice
from tests.jservice import make_clue, make_clues
from tests.upstreams import opentdb
from worker.board import Board
from worker.breaker import Breaker
from worker.collect import MOST_FRUITLESS, collect
from worker.lease import Lease, LeaseLost
from worker.sources import Bank, JService, QuestionSource, SourceError, sources_from
from worker.upstream import Upstream

NewLease = Callable[..., Lease]

ANY = Filters()


class Shelf:
    """A source like the bank, of any size."""

    def __init__(self, size: int, name: str = "shelf") -> None:
        self.facts = Facts(name, None, None, "", most_per_request=1000)
        self.fetches = 0
        self.candidates = [
            Candidate(name, str(number), f"{name}, question {number}", "An answer", None, None)
            for number in range(size)
        ]

    def fetch(self, count: int, deadline: float, filters: Filters) -> list[Candidate]:  # noqa: ARG002
        self.fetches += 1
        return self.candidates[:count]


class Broken:
    """A source that fails."""

    facts = Facts("broken", None, None, "", most_per_request=10)

    def __init__(self) -> None:
        self.fetches = 0

    def fetch(self, count: int, deadline: float, filters: Filters) -> list[Candidate]:  # noqa: ARG002
        self.fetches += 1
        raise SourceError("is broken", retry_after_seconds=17)


@pytest.fixture
def server() -> Iterator[jservice.JService]:
    with jservice.JService(make_clues(1000), jservice.serve_in_order) as server:
        yield server


@pytest.fixture
def source(server: jservice.JService) -> Iterator[JService]:
    with closing(Upstream(server.url, response_seconds=0.3, backoff_seconds=0.01)) as upstream:
        yield JService(upstream)


@pytest.fixture
def breaker(redis_url: str) -> Iterator[Breaker]:
    client = signals.connect(redis_url)
    yield Breaker(Board(client))
    client.close()


@pytest.fixture
def run(database: Database, breaker: Breaker, new_lease: NewLease) -> Callable[..., Any]:
    """Does a new job to its end; returns its result."""

    def run(
        count: int,
        *sources: QuestionSource,
        seconds: float = 5,
        lease: Lease | None = None,
        filters: Filters = ANY,
    ) -> Any:
        lease = lease or new_lease(jobs.COLLECT, count=count)
        collect(
            lease,
            count=count,
            filters=filters,
            sources=sources,
            database=database,
            breaker=breaker,
            deadline_seconds=seconds,
        )
        with database.transaction() as session:
            job = jobs.get(session, lease.job_id)
            assert (job.state, job.progress) == (State.DONE, 1)
            return job.result

    return run


def stored(database: Database) -> Sequence[Question]:
    with database.transaction() as session:
        return session.scalars(select(Question).order_by(Question.id)).all()


def stored_count(database: Database) -> int:
    with database.transaction() as session:
        return session.scalar(select(func.count()).select_from(Question)) or 0


def store(database: Database, candidates: list[Candidate]) -> None:
    with database.transaction() as session:
        questions.add(session, candidates, len(candidates))


def test_the_result_is_the_question_that_was_newest_before(
    run: Callable[..., Any], source: JService, database: Database
) -> None:
    first = run(3, source)
    second = run(2, source)

    assert first == {}
    assert second == questions.to_json(stored(database)[2])
    assert [question.source_id for question in stored(database)] == ["1", "2", "3", "4", "5"]


def test_a_hundred_questions_take_one_round_trip(
    run: Callable[..., Any], source: JService, server: jservice.JService
) -> None:
    server.behave = jservice.serve_after(0.1)
    started = time.monotonic()

    run(100, source)

    assert server.counts == [100]
    assert time.monotonic() - started < 2


def test_what_is_known_already_is_replaced_in_few_round_trips(
    run: Callable[..., Any], source: JService, server: jservice.JService, database: Database
) -> None:
    run(50, source)
    server.clues = make_clues(200)
    server.counts.clear()

    run(100, source)

    assert server.counts == [100, 100]
    assert stored_count(database) == 150


def test_clues_that_cannot_be_asked_are_replaced(
    run: Callable[..., Any], source: JService, server: jservice.JService, database: Database
) -> None:
    server.clues = [make_clue(1, answer=1984), *make_clues(30)]

    run(10, source)

    assert server.counts == [10, 100]
    assert stored_count(database) == 10


def test_other_spellings_of_a_question_are_not_new(
    run: Callable[..., Any], source: JService, server: jservice.JService, database: Database
) -> None:
    spellings = ["Who wrote Hamlet?", "who  wrote <i>Hamlet</i>?", "Who wrote &quot;X&quot;?"]
    server.clues = [make_clue(number, text) for number, text in enumerate(spellings)]

    run(2, source)

    assert [question.question for question in stored(database)] == [
        "Who wrote Hamlet?",
        'Who wrote "X"?',
    ]


def test_jobs_side_by_side_store_exactly_their_number_each(
    run: Callable[..., Any], source: JService, server: jservice.JService, database: Database
) -> None:
    server.clues = make_clues(250)
    server.behave = jservice.serve

    with ThreadPoolExecutor(20) as threads:
        results = list(threads.map(lambda _: run(10, source), range(20)))

    ids = [question.id for question in stored(database)]
    assert len(ids) == 200
    assert {result.get("id") for result in results} == {None, *ids[9:-1:10]}


def test_jobs_side_by_side_share_a_source_to_its_last_question(
    run: Callable[..., Any], database: Database
) -> None:
    shelf = Shelf(200)

    with ThreadPoolExecutor(20) as threads:
        results = list(threads.map(lambda _: run(10, shelf), range(20)))

    assert stored_count(database) == 200
    assert len({result.get("id") for result in results}) == 20


def test_no_connection_is_held_while_a_source_is_asked(
    run: Callable[..., Any], database: Database
) -> None:
    held = []

    class Watching(Shelf):
        def fetch(self, count: int, deadline: float, filters: Filters) -> list[Candidate]:
            held.append(database.engine.pool.checkedout())  # type: ignore[attr-defined]
            return super().fetch(min(count, 5 * (1 + self.fetches)), deadline, filters)

    run(6, Watching(10))

    assert held == [0, 0]


def test_too_few_new_questions_store_nothing_and_as_many_as_found_then_do(
    run: Callable[..., Any], source: JService, server: jservice.JService, database: Database
) -> None:
    server.clues = make_clues(30)
    server.behave = jservice.serve
    run(7, source)

    with pytest.raises(errors.QuestionsExhausted) as caught:
        run(50, source)
    count_after_failure = stored_count(database)
    run(23, source)

    assert caught.value.members == {"found": 23}
    assert caught.value.retry_after_seconds == 60
    assert "jservice has nothing more that is new" in caught.value.detail
    assert (count_after_failure, stored_count(database)) == (7, 30)


def test_a_failed_job_keeps_its_lease(
    run: Callable[..., Any], new_lease: NewLease, database: Database
) -> None:
    lease = new_lease(jobs.COLLECT)

    with pytest.raises(errors.QuestionsExhausted):
        run(11, Shelf(10), lease=lease)
    lease.fail(errors.QuestionsExhausted(found=10))

    with database.transaction() as session:
        assert jobs.get(session, lease.job_id).state == State.FAILED


def test_a_source_that_repeats_itself_is_given_up(
    run: Callable[..., Any], source: JService, server: jservice.JService
) -> None:
    server.behave = jservice.serve_always([make_clue(1)])

    with pytest.raises(errors.QuestionsExhausted) as caught:
        run(3, source)

    assert caught.value.members == {"found": 1}
    assert len(server.counts) == 1 + MOST_FRUITLESS


def test_the_next_source_brings_what_is_missing(
    run: Callable[..., Any], source: JService, server: jservice.JService, database: Database
) -> None:
    server.clues = make_clues(4)

    run(10, source, Shelf(10))

    sources = [question.source for question in stored(database)]
    assert sources == ["jservice"] * 4 + ["shelf"] * 6


def test_what_was_found_before_a_failure_counts(
    run: Callable[..., Any], source: JService, server: jservice.JService
) -> None:
    server.behave = jservice.in_turn(
        jservice.serve_always(make_clues(4)), jservice.serve_always(jservice.PARKED)
    )

    with pytest.raises(errors.QuestionsExhausted) as caught:
        run(10, source)

    assert caught.value.members == {"found": 4}
    assert "jservice sent something that is not JSON" in caught.value.detail


def test_sources_without_a_single_question_are_unavailable(
    run: Callable[..., Any], database: Database
) -> None:
    with pytest.raises(errors.QuestionSourceUnavailable) as caught:
        run(3, Broken(), Shelf(0))

    assert caught.value.retry_after_seconds == 17
    assert "broken is broken; shelf has no more questions" in caught.value.detail
    assert stored_count(database) == 0


def test_with_one_source_down_and_the_other_used_up_the_questions_are_exhausted(
    run: Callable[..., Any],
) -> None:
    shelf = Shelf(10)
    run(10, shelf)

    with pytest.raises(errors.QuestionsExhausted) as caught:
        run(1, Broken(), shelf)

    assert caught.value.members == {"found": 0}
    assert caught.value.retry_after_seconds == 17
    assert "broken is broken; shelf has nothing more that is new" in caught.value.detail


def test_a_hanging_source_leaves_the_next_one_its_time(
    run: Callable[..., Any], server: jservice.JService, database: Database
) -> None:
    server.behave = jservice.hang
    started = time.monotonic()

    with closing(Upstream(server.url)) as patient:
        run(3, JService(patient), Shelf(10), seconds=1)

    assert 0.5 <= time.monotonic() - started < 1
    assert stored(database)[0].source == "shelf"


def test_a_slow_source_is_left_in_time_and_not_taken_for_broken(
    run: Callable[..., Any], server: jservice.JService, breaker: Breaker
) -> None:
    server.behave = jservice.in_turn(jservice.serve_after(0.4), jservice.hang)
    server.clues = make_clues(4)

    with closing(Upstream(server.url)) as patient:
        run(10, JService(patient), Shelf(10), seconds=1.4)

    assert len(server.counts) == 1
    assert breaker.outages(["jservice"]) == {}


def rob_once(
    monkeypatch: pytest.MonkeyPatch, lease: Lease, database: Database, loot: list[Candidate]
) -> None:
    """Store the loot after the job has looked it up, and before the job stores it."""
    hauls = [loot]

    def report(progress: float) -> None:
        if hauls:
            store(database, hauls.pop())

    monkeypatch.setattr(lease, "report", report)


def test_others_that_were_faster_are_made_up_for(
    run: Callable[..., Any],
    new_lease: NewLease,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf, lease = Shelf(20), new_lease(jobs.COLLECT)
    rob_once(monkeypatch, lease, database, shelf.fetch(4, 0, ANY))

    run(10, shelf, lease=lease)

    assert [int(question.source_id) for question in stored(database)] == list(range(14))


def test_what_others_took_is_not_said_to_be_found(
    run: Callable[..., Any],
    new_lease: NewLease,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf, lease = Shelf(10), new_lease(jobs.COLLECT)
    rob_once(monkeypatch, lease, database, shelf.fetch(4, 0, ANY))

    with pytest.raises(errors.QuestionsExhausted) as caught:
        run(10, shelf, lease=lease)

    assert caught.value.members == {"found": 6}


def test_a_job_that_was_taken_over_stores_nothing(
    run: Callable[..., Any], new_lease: NewLease, database: Database
) -> None:
    lease = new_lease(jobs.COLLECT)
    with database.transaction() as session:
        session.execute(update(Job).values(lease_token=uuid4()))

    with pytest.raises(LeaseLost):
        run(3, Shelf(10), lease=lease)

    assert stored_count(database) == 0


def test_a_job_whose_lease_is_known_to_be_lost_asks_nobody(
    run: Callable[..., Any], new_lease: NewLease
) -> None:
    shelf, lease = Shelf(10), new_lease(jobs.COLLECT)
    lease._lost.set()

    with pytest.raises(LeaseLost):
        run(3, shelf, lease=lease)

    assert shelf.fetches == 0


def test_a_source_that_failed_is_passed_over_while_another_suffices(
    run: Callable[..., Any],
) -> None:
    broken, shelf = Broken(), Shelf(10)

    for _ in range(3):
        run(3, broken, shelf)

    assert broken.fetches == 1


def test_a_source_that_was_passed_over_is_asked_when_no_other_suffices(
    run: Callable[..., Any], source: JService, breaker: Breaker
) -> None:
    breaker.trip("jservice", "failed")

    run(10, source, Shelf(3))

    assert breaker.outages(["jservice"]) == {}


def test_a_source_that_another_job_probes_counts_as_down_for_the_known_reason(
    run: Callable[..., Any], breaker: Breaker
) -> None:
    broken = Broken()
    breaker.trip("broken", "was broken before")

    with (
        breaker.probe("broken", seconds=10),
        pytest.raises(errors.QuestionSourceUnavailable) as caught,
    ):
        run(3, broken)

    assert broken.fetches == 0
    assert "broken was broken before" in caught.value.detail
    assert caught.value.retry_after_seconds == 5


def test_a_source_that_works_again_is_used_at_once(
    run: Callable[..., Any], source: JService, server: jservice.JService, database: Database
) -> None:
    server.behave = jservice.status(500)
    with pytest.raises(errors.QuestionSourceUnavailable):
        run(3, source)

    server.behave = jservice.serve
    run(3, source)

    assert stored_count(database) == 3


@pytest.fixture
def opentdb_server() -> Iterator[opentdb.OpenTDB]:
    with opentdb.OpenTDB(opentdb.make_questions(20), interval_seconds=5) as server:
        yield server


@pytest.fixture
def opentdb_source(opentdb_server: opentdb.OpenTDB, redis_url: str) -> Iterator[QuestionSource]:
    """One that keeps the limit of the real one."""
    with closing(signals.connect(redis_url)) as client:
        yield sources_from({"opentdb": opentdb_server.base}, Board(client))[0]


def test_a_source_whose_turn_comes_too_late_leaves_it_to_the_next_and_did_not_fail(
    run: Callable[..., Any],
    opentdb_server: opentdb.OpenTDB,
    opentdb_source: QuestionSource,
    breaker: Breaker,
    database: Database,
) -> None:
    started = time.monotonic()
    for _ in range(3):
        run(3, opentdb_source, Shelf(10))

    assert time.monotonic() - started < 4
    assert {question.source for question in stored(database)} == {"shelf"}
    assert opentdb_server.codes == [0]
    assert breaker.outages(["opentdb"]) == {}


def test_a_source_that_is_busy_says_when_it_is_not(
    run: Callable[..., Any], opentdb_source: QuestionSource
) -> None:
    with pytest.raises(errors.QuestionSourceUnavailable) as caught:
        run(3, opentdb_source)

    assert "opentdb is asked as often as it allows" in caught.value.detail
    assert caught.value.retry_after_seconds == 6


def test_only_sources_that_honour_the_filters_are_asked(
    run: Callable[..., Any], source: JService, server: jservice.JService, database: Database
) -> None:
    run(5, source, Bank(), filters=Filters("wORLD hISTORY"))

    assert server.counts == []
    assert {question.category for question in stored(database)} == {"World history"}


def test_only_questions_that_fit_the_filters_are_stored(
    run: Callable[..., Any], database: Database
) -> None:
    kinds = [("Art", "easy"), ("Art", "hard"), ("Art", None), (None, "easy"), ("Ar", "easy")]
    careless = Shelf(0)
    careless.facts = Facts("shelf", None, None, "", 50, categories=("Art",), tells_difficulty=True)
    careless.candidates = [
        Candidate("shelf", str(number), f"Question {number}", "An answer", category, None, level)
        for number, (category, level) in enumerate(kinds * 2)
    ]

    run(2, careless, filters=Filters("art", "easy"))

    assert [question.source_id for question in stored(database)] == ["0", "5"]


def test_a_category_without_new_questions_is_exhausted(run: Callable[..., Any]) -> None:
    with pytest.raises(errors.QuestionsExhausted) as caught:
        run(100, Bank(), filters=Filters("Physics"))

    assert caught.value.members == {"found": 24}
