"""The Open Trivia Database.

It has no ids: the text is what a question is known by. A session token keeps it from repeating
itself; all workers share one. Every request takes a turn, of which there is one in five seconds,
so the steps on the way to questions are few:

1. with the known token, or a new one, ask for as many as are wanted, 50 at most;
2. if the token is unknown by now, get a new one and ask again;
3. if the token has had all there are, reset it and ask again. What it was given need not have been
   stored: jobs keep all or nothing, and whoever was told that k are left must find these k;
4. if there are fewer than asked for, ask for half as many, and keep to that until the next reset.
"""

import re
from typing import Any, NamedTuple
from urllib.parse import unquote

from shared import questions
from shared.questions import Candidate
from shared.sources import OPENTDB, Filters
from worker.board import Board
from worker.sources import items
from worker.upstream import SourceError, TooFast, Upstream

_FIRST_CATEGORY_ID = 9

_TOKEN_KEY = f"quaver:source:{OPENTDB.name}:token"
_TOKEN_SECONDS = 6 * 3600
"""After so long without a request the server forgets a token."""

_TOKEN = re.compile(r"[0-9A-Za-z]{1,200}")

_FEWEST = 3
"""A good many questions make no sense without their choices; three are rarely all such."""

_MOST_STEPS = 8
"""Enough for all of them, and for 50 to be halved to one."""

# Its response codes.
OK, TOO_FEW, BAD_PARAMETER, UNKNOWN_TOKEN, TOKEN_USED_UP, TOO_FAST = range(6)


class _Reply(NamedTuple):
    code: int
    candidates: list[Candidate]


class OpenTDB:
    """`GET /api.php?amount=N&token=…`, and `/api_token.php` for the token."""

    facts = OPENTDB

    def __init__(self, upstream: Upstream, board: Board) -> None:
        self._upstream = upstream
        self._board = board
        self._token: bytes | None = None
        """What this process knows without the board."""
        self._most: dict[Filters, int] = {}
        """How many there are to be asked for, where that is fewer than it gives at a time."""

    def fetch(self, count: int, deadline: float, filters: Filters) -> list[Candidate]:
        most = self._most.get(filters, OPENTDB.most_per_request)
        amount = min(max(count, _FEWEST), most)
        is_reset = False
        for _ in range(_MOST_STEPS):
            token = self._known_token() or self._new_token(deadline)
            reply = self._ask(amount, token, filters, deadline)
            if reply.code == OK:
                return reply.candidates
            if reply.code == UNKNOWN_TOKEN:
                self._forget()
            elif reply.code == TOKEN_USED_UP and not is_reset:
                self._reset(token, deadline)
                self._most.pop(filters, None)
                is_reset = True
            elif amount == 1:
                return []
            else:
                amount = self._most[filters] = amount // 2
        raise SourceError("forgets its own session tokens")

    def _ask(self, amount: int, token: str, filters: Filters, deadline: float) -> _Reply:
        params: dict[str, str | int] = {
            "amount": amount,
            "type": "multiple",
            "encode": "url3986",
            "token": token,
        }
        if filters.category is not None:
            params["category"] = _category_id(filters.category)
        if filters.difficulty is not None:
            params["difficulty"] = filters.difficulty
        return self._upstream.get(params, read=_read, deadline=deadline, path="/api.php")

    def _new_token(self, deadline: float) -> str:
        token = self._upstream.get(
            {"command": "request"}, read=_read_token, deadline=deadline, path="/api_token.php"
        )
        self._keep(token)
        return token

    def _reset(self, token: str, deadline: float) -> None:
        """Let the server forget what it gave for this token."""
        self._upstream.get(
            {"command": "reset", "token": token},
            read=_code,  # Should it have forgotten the token too, the next request tells.
            deadline=deadline,
            path="/api_token.php",
        )

    def _known_token(self) -> str | None:
        token = self._board.ask(
            lambda redis: redis.getex(_TOKEN_KEY, ex=_TOKEN_SECONDS), otherwise=lambda: self._token
        )
        return token.decode() if isinstance(token, bytes) else None

    def _keep(self, token: str) -> None:
        """Let all workers use this token."""
        self._token = token.encode()
        self._board.ask(
            lambda redis: redis.set(_TOKEN_KEY, token, ex=_TOKEN_SECONDS), otherwise=lambda: None
        )

    def _forget(self) -> None:
        self._token = None
        self._board.ask(lambda redis: redis.delete(_TOKEN_KEY), otherwise=lambda: None)


def _category_id(category: str) -> int:
    names = [name.casefold() for name in OPENTDB.categories]
    return _FIRST_CATEGORY_ID + names.index(category.casefold())


def _code(answer: Any) -> int:
    """The response code, in every answer. Raises: SourceError."""
    match answer:
        case {"response_code": int(code)} if OK <= code <= TOO_FAST:
            pass
        case _:
            raise SourceError("sent something other than an answer with its code")
    if code == TOO_FAST:
        raise TooFast("was asked too often")
    if code == BAD_PARAMETER:
        raise SourceError("did not understand what it was asked")
    return code


def _read_token(answer: Any) -> str:
    code = _code(answer)
    match answer:
        case {"token": str(token)} if code == OK and _TOKEN.fullmatch(token):
            return token
        case _:
            raise SourceError("gave no session token")


def _read(answer: Any) -> _Reply:
    code = _code(answer)
    match answer:
        case {"results": list(results)} if code == OK:
            return _Reply(code, items.usable(OPENTDB.name, results, _candidate))
        case _ if code == OK:
            raise SourceError("sent something other than a list of questions")
        case _:
            return _Reply(code, [])


def _candidate(item: Any) -> Candidate | None:
    """An item, if it can be asked without its choices, which "true or false?" cannot."""
    match item:
        case {"type": "multiple", "question": str(question), "correct_answer": str(answer)}:
            texts = items.texts(_decoded(question), _decoded(answer))
        case _:
            return None
    if texts is None or items.needs_choices(texts[0]):
        return None
    category = item.get("category")
    return Candidate(
        OPENTDB.name,
        questions.text_key(texts[0]).hex(),
        *texts,
        items.category(_decoded(category)) if isinstance(category, str) else None,
        created_at=None,
        difficulty=items.difficulty(item.get("difficulty")),
    )


def _decoded(text: str) -> str:
    """Without its percent signs; empty if that is no UTF-8."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return ""
