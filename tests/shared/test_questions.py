"""Which questions count as the same, and how new ones are stored."""

import html
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select, text

from shared import questions
from shared.database import Database
from shared.models import Question, Source
from shared.questions import Candidate, clean, text_key


def make_candidate(
    number: int,
    question: str | None = None,
    *,
    source: str = "jservice",
    created_at: datetime | None = None,
) -> Candidate:
    return Candidate(
        source=source,
        source_id=str(number),
        question=question or f"What is the question number {number}?",
        answer="An answer",
        category="in the dictionary",
        created_at=created_at,
    )


def make_candidates(count: int, first: int = 1) -> list[Candidate]:
    return [make_candidate(number) for number in range(first, first + count)]


def stored_ids(database: Database) -> list[str]:
    """The source's ids in the order of ours."""
    with database.transaction() as session:
        return list(session.scalars(select(Question.source_id).order_by(Question.id)))


@contextmanager
def counted_statements(database: Database) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield statements
    event.remove(database.engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("Plain text", "Plain text"),
        ("", ""),
        ("<i>Hamlet</i>", "Hamlet"),
        ("un<b>believ</b>able", "unbelievable"),
        ("first<br />second<BR>third", "first second third"),
        ('<a href="http://x.org/?a=1&amp;b=2" target="_blank">here</a>', "here"),
        ("before<!-- a note -->after", "beforeafter"),
        ("AT&amp;T", "AT&T"),
        ("AT&amp;amp;T", "AT&T"),
        ("&lt;i&gt;Hamlet&lt;/i&gt;", "Hamlet"),
        ("&amp;lt;i&amp;gt;Hamlet", "Hamlet"),
        ("caf&eacute; &#8212; &#x2014;", "caf\u00e9 \u2014 \u2014"),
        ("cafe\u0301", "caf\u00e9"),
        (r"It\'s a \"quote\"", 'It\'s a "quote"'),
        (r"It\\\'s", "It's"),
        (r"it\&#39;s", "it's"),
        (r"C:\temp", r"C:\temp"),
        ("  two\u00a0 words\r\n\there\u3000", "two words here"),
        ("a\x00b\x07c\x7fd\x9be", "abcde"),
        ("half a pair \ud83d", "half a pair"),
        ("an emoji \U0001f600", "an emoji \U0001f600"),
        ("2 < 3 and 5 > 4", "2 < 3 and 5 > 4"),
        ("I <3 you", "I <3 you"),
        ("What is x\u00b2?", "What is x\u00b2?"),
        ("<" * 50_000, "<" * 50_000),
    ],
)
def test_cleaning_yields_what_a_reader_would_see(raw: str, plain: str) -> None:
    assert clean(raw) == plain


@given(st.text(alphabet=st.one_of(st.sampled_from("<>&;#\\'\" bi/apmltg"), st.characters())))
def test_clean_texts_are_one_trimmed_line_that_can_be_stored(raw: str) -> None:
    plain = clean(raw)

    assert plain == " ".join(plain.split())
    assert "\x00" not in plain.encode().decode()  # Which a lone surrogate would break.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Who wrote Hamlet?", "WHO WROTE HAMLET?"),
        ("Who wrote Hamlet?", "  who  wrote\n<i>Hamlet</i>? "),
        ("Who wrote Hamlet?", "Who&nbsp;wrote &lt;i&gt;Hamlet&lt;/i&gt;?"),
        ("Who wrote Hamlet?", "Who wrote\u00a0Ham\u00adlet?\u200b"),
        ('It\'s "new" - is it not...', "It\u2019s \u201cnew\u201d \u2013 is it not\u2026"),
        ("Stra\u00dfe", "STRASSE"),
        ("caf\u00e9", "CAFE\u0301"),
        ("\u00c5ngstr\u00f6m", "\u212bngstro\u0308m"),
    ],
)
def test_variants_of_a_text_are_the_same_question(one: str, other: str) -> None:
    assert text_key(one) == text_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is x\u00b2?", "What is x2?"),
        ("What is 2+2?", "What is 22?"),
        ("a b", "ab"),
        ("r\u00e9sum\u00e9", "resume"),
    ],
)
def test_different_texts_are_different_questions(one: str, other: str) -> None:
    assert text_key(one) != text_key(other)


words = st.lists(
    st.text(st.characters(categories=["L", "N"], max_codepoint=0x24F), min_size=1), min_size=1
)
spaces = st.text(" \t\n\u00a0", min_size=1)


@given(
    words=words, space=spaces, tag=st.sampled_from(["", "i", "b", "em"]), layers=st.integers(0, 3)
)
def test_markup_space_and_case_never_tell_questions_apart(
    words: list[str], space: str, tag: str, layers: int
) -> None:
    markup = space.join(f"<{tag}>{word}</{tag}>" if tag else word for word in words)
    for _ in range(layers):
        markup = html.escape(markup)

    assert text_key(space + markup) == text_key(" ".join(words).casefold())


def test_what_is_stored_or_repeated_is_not_unknown(database: Database) -> None:
    with database.transaction() as session:
        questions.add(session, [make_candidate(1, "Who wrote Hamlet?")], 1)
        same_id = make_candidate(1, "Another text")
        same_text = make_candidate(2, "WHO  wrote <i>Hamlet</i>?", source="bank")
        new = make_candidate(1, "New here", source="bank")
        repeated = make_candidate(3, "new  here")
        same_id_in_the_list = make_candidate(1, "New there", source="bank")

        found = questions.unknown(session, [same_id, same_text, new, repeated, same_id_in_the_list])

    assert found == [new]


def test_exactly_the_first_new_ones_are_stored_in_their_order(database: Database) -> None:
    with database.transaction() as session:
        questions.add(session, make_candidates(2), 2)

    with database.transaction() as session:
        questions.add(session, make_candidates(200)[::-1], 150)

    numbers = [int(number) for number in stored_ids(database)]
    assert numbers == [1, 2, *range(200, 50, -1)]


def test_the_answer_is_what_was_newest_before(database: Database) -> None:
    with database.transaction() as session:
        first = questions.add(session, make_candidates(3), 3)
    with database.transaction() as session:
        second = questions.add(session, make_candidates(3, first=4), 3)

    assert first == {}
    assert second["source_id"] == "3"


def test_too_few_new_ones_store_nothing(database: Database) -> None:
    with database.transaction() as session:
        questions.add(session, make_candidates(4), 4)

    with pytest.raises(questions.TooFewNew) as caught, database.transaction() as session:
        questions.add(session, make_candidates(10), 7)

    assert caught.value.found == 6
    assert len(stored_ids(database)) == 4


def test_a_thousand_questions_take_five_statements(database: Database) -> None:
    candidates = make_candidates(1000)

    with counted_statements(database) as statements, database.transaction() as session:
        questions.add(session, candidates, 1000)

    assert len(statements) == 5
    assert stored_ids(database) == [candidate.source_id for candidate in candidates]


def test_side_by_side_the_answers_form_a_chain(database: Database) -> None:
    def add(first: int) -> str | None:
        with database.transaction() as session:
            previous = questions.add(session, make_candidates(10, first), 10)
            return previous.get("source_id")

    with ThreadPoolExecutor(20) as threads:
        previous = list(threads.map(add, range(0, 200, 10)))

    ids = stored_ids(database)
    assert len(ids) == 200
    assert set(previous) == {None, *ids[9:-1:10]}


def test_times_of_saving_rise_with_the_ids(database: Database) -> None:
    """Also when the later one's transaction began earlier, and waited."""
    with database.transaction() as late:
        late.execute(text("SELECT now()"))
        with database.transaction() as early:
            questions.add(early, make_candidates(1), 1)
        questions.add(late, make_candidates(1, first=2), 1)

    with database.transaction() as session:
        times = session.scalars(select(Question.saved_at).order_by(Question.id)).all()
    assert times[0] < times[1]


def test_a_second_add_waits_for_the_first_to_end(database: Database) -> None:
    has_added = threading.Event()
    may_end = threading.Event()

    def add_and_wait() -> None:
        with database.transaction() as session:
            questions.add(session, make_candidates(1), 1)
            has_added.set()
            assert may_end.wait(10)

    with ThreadPoolExecutor(1) as threads, database.transaction() as session:
        first = threads.submit(add_and_wait)
        assert has_added.wait(10)
        lock = text("SELECT pg_try_advisory_xact_lock(:key)").bindparams(key=questions.LOCK_KEY)
        is_free_during = session.scalar(lock)
        may_end.set()
        first.result(timeout=10)

        assert (is_free_during, session.scalar(lock)) == (False, True)


def test_the_public_shape_is_that_of_the_contract(database: Database) -> None:
    question = Question(
        id=17,
        source="jservice",
        source_id="18663",
        question="A question",
        text_key=b"",
        answer="An answer",
        category="in the dictionary",
        created_at=datetime(2022, 12, 30, 18, 45, 16, 26_000, tzinfo=UTC),
        saved_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
    )

    assert questions.to_json(question) == {
        "id": 17,
        "question": "A question",
        "answer": "An answer",
        "created_at": "2022-12-30T18:45:16.026000Z",
        "saved_at": "2026-11-23T12:00:00Z",
        "source": "jservice",
        "source_id": "18663",
        "category": "in the dictionary",
    }
    assert questions.to_json(None) == {}


def test_a_question_without_a_date_was_created_when_it_was_saved(database: Database) -> None:
    written = datetime(2012, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
    with database.transaction() as session:
        candidates = [make_candidate(1), make_candidate(2, created_at=written)]
        questions.add(session, candidates, 2)

    with database.transaction() as session:
        dateless, dated = session.scalars(select(Question).order_by(Question.id)).all()
    assert dateless.created_at == dateless.saved_at
    assert dated.created_at == written


def test_the_terms_of_a_source_are_stored_and_brought_up_to_date(database: Database) -> None:
    with database.transaction() as session:
        session.add_all([Source(name="bank"), Source(name="jservice", attribution="Somebody")])
        session.flush()

        questions.add(session, [make_candidate(1), make_candidate(2, source="bank")], 2)

    with database.transaction() as session:
        stored = session.execute(select(Source.name, Source.licence, Source.attribution))
        assert set(map(tuple, stored)) == {
            ("bank", "MIT", "Quaver"),
            ("jservice", None, "J! Archive, https://j-archive.com"),
        }


def test_the_difficulty_is_stored(database: Database) -> None:
    with database.transaction() as session:
        questions.add(session, [replace(make_candidate(1), difficulty="hard")], 1)
        newest = questions.newest(session)

    assert newest is not None
    assert newest.difficulty == "hard"
