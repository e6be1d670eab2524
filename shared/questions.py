"""Questions: what makes two of them the same, and how new ones are stored.

Texts are plain Unicode: a source's HTML and escapes are resolved (`clean`) before anything is
compared or stored.
"""

import hashlib
import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Select, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared import sources
from shared.models import Question, Source

LOCK_KEY = 0x51554553  # "QUES"

_MOST_ROUNDS = 5
"""How many layers of escaping `clean` takes off; one or two are what sources produce."""

_TAG = re.compile(r"<(?:!|/?([a-zA-Z][a-zA-Z0-9]*))[^<>]*>")
_BREAKING_TAGS = frozenset({"br", "div", "hr", "li", "ol", "p", "table", "td", "th", "tr", "ul"})
_ESCAPED_QUOTE = re.compile(r"\\+(['\"])")

_TYPEWRITTEN = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | {"\u2026": "..."}
)
"""Curly quotes, dashes and the ellipsis, as a typewriter has them."""


class TooFewNew(Exception):
    """Others stored some of the candidates meanwhile; `found` of them are still new."""

    def __init__(self, found: int) -> None:
        self.found = found
        super().__init__(f"only {found} candidates are new")


@dataclass(frozen=True)
class Candidate:
    """A question that a source offers, its texts already clean."""

    source: str
    source_id: str
    question: str
    answer: str
    category: str | None
    created_at: datetime | None
    """When it was written, by its source's word."""
    difficulty: str | None = None
    """One of `sources.DIFFICULTIES`."""

    @cached_property
    def text_key(self) -> bytes:
        return text_key(self.question)

    @property
    def origin(self) -> tuple[str, str]:
        return self.source, self.source_id


def clean(text: str) -> str:
    """The text as plain Unicode: what a reader of the source's web page would see, on one line.

    Layers come off until nothing changes, since `&amp;lt;i&amp;gt;` is a tag escaped twice.
    """
    for _ in range(_MOST_ROUNDS):
        plainer = _resolve(text)
        if plainer == text:
            break
        text = plainer
    return text


def _resolve(text: str) -> str:
    text = "".join(filter(_is_text, html.unescape(text)))
    text = _TAG.sub(_space_of_tag, text)
    text = _ESCAPED_QUOTE.sub(r"\1", text)
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _is_text(character: str) -> bool:
    """Neither a control character nor half a surrogate pair, which PostgreSQL would refuse."""
    return character.isspace() or unicodedata.category(character) not in {"Cc", "Cs"}


def _space_of_tag(tag: re.Match[str]) -> str:
    """A line break parts two words; `un<i>believable</i>` is one."""
    return " " if (tag[1] or "").lower() in _BREAKING_TAGS else ""


def text_key(text: str) -> bytes:
    """SHA-256 that is equal for two texts exactly if they are the same question.

    Folded are HTML, white space, case, canonical equivalents, invisible format characters, and
    the typographic forms of quotes, dashes and dots. Compatibility forms are not: x² is not x2.
    """
    # Unicode's canonical caseless match (section 3.13, D145).
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", clean(text)).casefold())
    visible = (
        char for char in folded.translate(_TYPEWRITTEN) if unicodedata.category(char) != "Cf"
    )
    return hashlib.sha256(" ".join("".join(visible).split()).encode()).digest()


def newest(session: Session) -> Question | None:
    return session.scalar(select(Question).order_by(Question.id.desc()).limit(1))


def unknown(session: Session, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that are neither stored nor a repetition of an earlier one in the list, in order."""
    if not candidates:
        return []
    stored = session.execute(_stored_like(candidates)).all()
    texts = {row.text_key for row in stored}
    origins = {(row.source, row.source_id) for row in stored}
    new = []
    for candidate in candidates:
        if candidate.text_key not in texts and candidate.origin not in origins:
            texts.add(candidate.text_key)
            origins.add(candidate.origin)
            new.append(candidate)
    return new


def _stored_like(candidates: Sequence[Candidate]) -> Select[str, str, bytes]:
    """The stored questions that share their text or their origin with a candidate.

    The ids are listed source by source: such a list is one scan of the index, while a thousand
    pairs would be a thousand.
    """
    ids: dict[str, list[str]] = {}
    for candidate in candidates:
        ids.setdefault(candidate.source, []).append(candidate.source_id)
    same_text = Question.text_key.in_([candidate.text_key for candidate in candidates])
    same_origin = (
        (Question.source == source) & Question.source_id.in_(of_source)
        for source, of_source in ids.items()
    )
    return select(Question.source, Question.source_id, Question.text_key).where(
        or_(same_text, *same_origin)
    )


def add(session: Session, candidates: Sequence[Candidate], count: int) -> dict[str, Any]:
    """Store the first `count` of the candidates that are new; returns what was newest before them.

    From here to its end the transaction is the only one that adds questions: ids rise in the order
    of the commits and of the candidates, and each `add` answers with the last question of the one
    before. Keep the rest of the transaction short.

    Raises:
        TooFewNew: fewer are new. The transaction must then be rolled back.
    """
    session.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
    previous = to_json(newest(session))
    chosen = unknown(session, candidates)[:count]
    if len(chosen) < count:
        raise TooFewNew(len(chosen))
    stored = _insert(session, chosen)
    if stored < count:  # Somebody wrote without taking the lock.
        raise TooFewNew(stored)
    return previous


def _insert(session: Session, candidates: Sequence[Candidate]) -> int:
    """How many were stored. One statement for a thousand rows.

    The clock is read when the statement starts, under the lock: the transaction's own time is from
    before the wait for it, and would let `saved_at` go backwards while ids rise.
    """
    _note_sources(session, {candidate.source for candidate in candidates})
    now = func.statement_timestamp()
    statement = (
        insert(Question)
        .values(created_at=func.coalesce(bindparam("written_at"), now), saved_at=now)
        .on_conflict_do_nothing()
        .returning(Question.id)
    )
    rows = [
        {
            "source": candidate.source,
            "source_id": candidate.source_id,
            "question": candidate.question,
            "text_key": candidate.text_key,
            "answer": candidate.answer,
            "category": candidate.category,
            "difficulty": candidate.difficulty,
            "written_at": candidate.created_at,
        }
        for candidate in candidates
    ]
    return len(session.connection().execute(statement, rows).all())


def _note_sources(session: Session, names: set[str]) -> None:
    """See that these sources are stored, on the terms that are known now."""
    terms = insert(Source).values([{"name": name, **sources.terms(name)} for name in sorted(names)])
    is_other = or_(
        Source.licence.is_distinct_from(terms.excluded.licence),
        Source.attribution.is_distinct_from(terms.excluded.attribution),
    )
    session.execute(
        terms.on_conflict_do_update(
            index_elements=[Source.name],
            set_={"licence": terms.excluded.licence, "attribution": terms.excluded.attribution},
            where=is_other,
        )
    )


def to_json(question: Question | None) -> dict[str, Any]:
    """The public shape; `{}` when there is none."""
    if question is None:
        return {}
    return {
        "id": question.id,
        "question": question.question,
        "answer": question.answer,
        "created_at": _iso(question.created_at),
        "saved_at": _iso(question.saved_at),
        "source": question.source,
        "source_id": question.source_id,
        "category": question.category,
    }


def _iso(moment: datetime) -> str:
    """Such as 2022-12-30T18:45:16.026000Z, or 2026-11-23T12:00:00Z on the full second."""
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
