"""Questions that are stored already, made for those who read them back."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared.models import Question, Source
from shared.questions import text_key

_numbers = itertools.count(1)


def store(session: Session, count: int = 1, **columns: Any) -> Sequence[int]:
    """Store questions that have these columns; returns their ids, which rise."""
    questions = [make_question(**columns) for _ in range(count)]
    names = {question.source for question in questions}
    session.execute(
        insert(Source).values([{"name": name} for name in names]).on_conflict_do_nothing()
    )
    session.add_all(questions)
    session.flush()
    return [question.id for question in questions]


def make_question(**columns: Any) -> Question:
    number = next(_numbers)
    text = columns.get("question") or f"What is the question number {number}?"
    return Question(
        **{
            "source": "jservice",
            "source_id": str(number),
            "question": text,
            "text_key": text_key(f"{text} {number}"),
            "answer": "An answer",
            "category": "in the dictionary",
            "created_at": datetime(2022, 12, 30, 18, 45, 16, 26_000, UTC),
        }
        | columns
    )
