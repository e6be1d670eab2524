"""The catalogue: stored questions as they are read back, newest first, and counted.

A page goes on below the last id of the one before. Ids rise in the order of the commits, so that
no insert ever shifts a page: whoever follows them sees what there was when he began.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, literal_column, select
from sqlalchemy.orm import Session

from shared.models import WORDS, Question, Source

SHAPE = (
    Question.id,
    Question.question,
    Question.answer,
    Question.created_at,
    Question.saved_at,
    Question.source,
    Question.source_id,
    Question.category,
)
"""What a list tells of a question, in the contract's order."""

NAMES = tuple(column.key for column in SHAPE)

MOST_CATEGORIES = 20
"""As many as are counted: the largest ones."""

ROWS_PER_MATCH = 10
"""How many rows are read for each question that is wanted before the index of words is asked."""


@dataclass(frozen=True)
class Selection:
    """Which questions are wanted: those for which all that is given here is true."""

    words: str | None = None
    """What a user types into a search box: `ship -"space ship"`, `cat or dog`."""
    category: str | None = None
    """Whatever its case."""
    source: str | None = None
    difficulty: str | None = None


def page(
    session: Session, selection: Selection, *, after: int | None, limit: int
) -> Sequence[Row[Any]]:
    """At most `limit` of the selected questions: the newest of those whose ids are below `after`.

    Looking for words takes up to two statements. In the index of words a match has no order: all
    matches are read and sorted, 100 ms for a word that 13 % of a million questions have. Against
    the order of the ids rows are parsed until enough are found, 9 µs each: 10 s for a word of the
    oldest ones alone. PostgreSQL has to guess, and guesses wrong. So some of the newest rows are
    parsed, where a frequent word is found, and only then the index is asked, for a seldom one.
    """
    rest = _newest_first(selection, after)
    if selection.words is None:
        return session.execute(rest.limit(limit)).all()
    matches = WORDS.bool_op("@@")(
        func.websearch_to_tsquery(literal_column("'english'"), selection.words)
    )
    newest = rest.limit(ROWS_PER_MATCH * limit).subquery()
    among_newest = select(newest).where(matches).order_by(newest.c.id.desc()).limit(limit)
    found = session.execute(among_newest).all()
    if len(found) == limit:
        return found
    # A sum has no index: the one of the ids is out of the question.
    among_all = rest.where(matches).order_by(None).order_by((Question.id + 0).desc()).limit(limit)
    return session.execute(among_all).all()


def _newest_first(selection: Selection, after: int | None) -> Select[*tuple[Any, ...]]:
    """All that are selected but for their words."""
    statement = select(*SHAPE).order_by(Question.id.desc())
    if after is not None:
        statement = statement.where(Question.id < after)
    if selection.category is not None:
        statement = statement.where(func.lower(Question.category) == func.lower(selection.category))
    if selection.source is not None:
        statement = statement.where(Question.source == selection.source)
    if selection.difficulty is not None:
        statement = statement.where(Question.difficulty == selection.difficulty)
    return statement


def find(session: Session, question_id: int) -> dict[str, Any] | None:
    """All that may be told of a question, the terms of its source included."""
    statement = (
        select(*SHAPE, Question.difficulty, Source.licence, Source.attribution)
        .join(Source, Source.name == Question.source)
        .where(Question.id == question_id)
    )
    found = session.execute(statement).mappings().one_or_none()
    return None if found is None else dict(found)


def statistics(session: Session) -> dict[str, Any]:
    """How many questions there are, by source and difficulty, and of the largest categories.

    It reads the whole table twice: 0.4 s for a million questions.
    """
    grouped = (
        select(
            Question.source,
            Question.difficulty,
            func.count().label("count"),
            func.max(Question.saved_at).label("newest"),
        )
        .group_by(Question.source, Question.difficulty)
        .subquery()
    )
    statement = select(Source, grouped).join(grouped, grouped.c.source == Source.name)
    sources: dict[str, dict[str, Any]] = {}
    difficulties: Counter[str | None] = Counter()
    for source, _, difficulty, number, newest in session.execute(statement):
        of_source = sources.setdefault(
            source.name,
            {
                "name": source.name,
                "licence": source.licence,
                "attribution": source.attribution,
                "count": 0,
                "newest_saved_at": newest,
            },
        )
        of_source["count"] += number
        of_source["newest_saved_at"] = max(newest, of_source["newest_saved_at"])
        difficulties[difficulty] += number
    return {
        "total": difficulties.total(),
        "sources": sorted(sources.values(), key=lambda source: -source["count"]),
        "categories": _largest_categories(session),
        "difficulties": [
            {"difficulty": name, "count": number} for name, number in difficulties.most_common()
        ],
    }


def _largest_categories(session: Session) -> list[dict[str, Any]]:
    """One that is written in several ways is counted as one."""
    number = func.count().label("count")
    statement = (
        select(func.min(Question.category).label("category"), number)
        .group_by(func.lower(Question.category))
        .order_by(number.desc(), "category")
        .limit(MOST_CATEGORIES)
    )
    return [dict(row) for row in session.execute(statement).mappings()]
