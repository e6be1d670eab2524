"""Reading questions back: pages, words, numbers."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared import catalogue
from shared.catalogue import ROWS_PER_MATCH, Selection
from shared.database import Database
from tests.questions import store


def ids(
    session: Session, *, after: int | None = None, limit: int = 100, **wanted: str
) -> list[int]:
    return [
        row.id for row in catalogue.page(session, Selection(**wanted), after=after, limit=limit)
    ]


def test_a_page_has_the_newest_first(database: Database) -> None:
    with database.transaction() as session:
        stored = store(session, 5)

        assert ids(session, limit=3) == stored[:1:-1]
        assert ids(session, limit=3, after=stored[2]) == stored[1::-1]


def test_whatever_is_selected_is_true_of_what_is_found(database: Database) -> None:
    with database.transaction() as session:
        [one] = store(session, source="bank", category="Film", difficulty="easy")
        [other] = store(session, source="opentdb", category="FILM", difficulty="hard")
        store(session, source="bank", category=None)

        assert ids(session, category="fIlM") == [other, one]
        assert ids(session, category="film", source="bank") == [one]
        assert ids(session, difficulty="hard") == [other]
        assert ids(session, source="Bank") == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ship", "ship space"),
        ("SHIPS", "ship space"),
        ("space ship", "space"),
        ('"space ship"', "space"),
        ('"ship space"', ""),
        ("ship -space", "ship"),
        ("-ship", "cat"),
        ("cat or dog", "cat"),
        ("dog or -ship", "cat"),
        ("whiskers", "cat"),
        ("the", ""),
        ("'", ""),
        ("&|!():*<->\\%_", ""),
        ('"', ""),
        ('"unclosed ship', ""),
        ("ship'); DROP TABLE questions; --", ""),
        ("корабль", ""),
        ("\ud7ff\U0010ffff", ""),
    ],
)
def test_words_are_those_of_a_search_box(database: Database, words: str, found: str) -> None:
    with database.transaction() as session:
        numbers = {
            "ship": store(session, question="A ship of the line?")[0],
            "space": store(session, question="A space ship?")[0],
            "cat": store(session, question="A cat?", answer="Whiskers")[0],
        }

        expected = [numbers[name] for name in reversed(found.split())]
        assert ids(session, words=words) == expected


def test_a_word_is_found_wherever_it_is(database: Database) -> None:
    """Among the newest rows, in all others, or some here and some there."""
    with database.transaction() as session:
        old = store(session, 2, question="A ship?")
        store(session, 3 * ROWS_PER_MATCH, question="A cat?")
        [new] = store(session, question="A ship?")
        expected = [new, *reversed(old)]

        for limit in range(1, 5):
            assert ids(session, words="ship", limit=limit) == expected[:limit]
        assert ids(session, words="ship", limit=1, after=new) == expected[1:2]
        assert ids(session, words="ship", limit=1, after=old[1]) == expected[2:]
        assert ids(session, words="ship", limit=1, source="bank") == []


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Selection(), "pk_questions"),
        (Selection(category="Film"), "ix_questions_of_category"),
        (Selection(source="bank"), "ix_questions_of_source"),
        (Selection(words="ship"), "ix_questions_words"),
    ],
)
def test_each_kind_of_page_has_its_index(database: Database, wanted: Selection, index: str) -> None:
    """The one of words too where the planner would rather walk down the ids: all ships are old."""
    with database.transaction() as session:
        store(session, 20, question="A ship?")
        store(session, 180, question="A cat?")
        session.execute(text("ANALYZE questions"))
        session.execute(text("SET LOCAL enable_seqscan = off"))  # So small a table needs no index.
        before = scans(session, index)

        catalogue.page(session, wanted, after=None, limit=1)

        assert scans(session, index) == before + 1


def scans(session: Session, index: str) -> int:
    """How often this transaction has used an index."""
    statement = text("SELECT pg_stat_get_xact_numscans(cast(:index AS regclass)::oid)")
    return session.scalar(statement, {"index": index}) or 0


def test_a_question_comes_with_the_terms_of_its_source(database: Database) -> None:
    with database.transaction() as session:
        [number] = store(session, source="opentdb", difficulty="easy")
        session.execute(text("UPDATE sources SET licence = 'CC BY-SA 4.0', attribution = 'Them'"))

        found = catalogue.find(session, number)

        assert found is not None
        assert list(found)[-3:] == ["difficulty", "licence", "attribution"]
        assert list(found.values())[-3:] == ["easy", "CC BY-SA 4.0", "Them"]
        assert catalogue.find(session, number + 1) is None


def test_all_are_counted(database: Database) -> None:
    with database.transaction() as session:
        store(session, 3, source="bank", category="Film")
        store(session, 2, source="opentdb", category="film", difficulty="easy")
        store(session, 4, source="opentdb", category=None, difficulty="hard")

        counted = catalogue.statistics(session)

    assert counted["total"] == 9
    assert [(source["name"], source["count"]) for source in counted["sources"]] == [
        ("opentdb", 6),
        ("bank", 3),
    ]
    assert counted["categories"] == [
        {"category": "Film", "count": 5},
        {"category": None, "count": 4},
    ]
    assert counted["difficulties"] == [
        {"difficulty": "hard", "count": 4},
        {"difficulty": None, "count": 3},
        {"difficulty": "easy", "count": 2},
    ]


def test_of_many_categories_the_largest_are_counted(database: Database) -> None:
    with database.transaction() as session:
        for number in range(catalogue.MOST_CATEGORIES + 1):
            store(session, 1 + (number == 7), category=f"Category {number:02}")

        categories = catalogue.statistics(session)["categories"]

    assert len(categories) == catalogue.MOST_CATEGORIES
    assert categories[:2] == [
        {"category": "Category 07", "count": 2},
        {"category": "Category 00", "count": 1},
    ]


def test_without_questions_there_is_nothing_to_count(database: Database) -> None:
    with database.transaction() as session:
        counted = catalogue.statistics(session)

    assert counted == {"total": 0, "sources": [], "categories": [], "difficulties": []}
