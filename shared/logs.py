"""What the processes say about their work: lines for people, or JSON for machines.

Every line says of what request and job it is, for as long as the block of `about` lasts. What is
begun there goes along to wherever the context does: to asyncio's tasks, to anyio's threads, and
through a job's row to the workers. A thread of another making needs `contextvars.copy_context`.

Nobody's name, token or file name belongs here, and no query: who has a link's may listen.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Literal
from uuid import uuid4

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

_subject: ContextVar[Mapping[str, Any]] = ContextVar("subject", default=MappingProxyType({}))
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def configure(form: Format, level: Level) -> None:
    """Have this process, and those it forks, write their lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)


def begin(**subject: Any) -> None:
    """Say what all lines are about from here on, in this context: a request has one of its own."""
    _subject.set({**_subject.get(), **subject})


@contextmanager
def about(**subject: Any) -> Iterator[None]:
    """Say what the lines of a block are about."""
    token = _subject.set({**_subject.get(), **subject})
    try:
        yield
    finally:
        _subject.reset(token)


def request_id() -> str | None:
    """Of the request that this work comes of."""
    return _subject.get().get("request_id")


def new_request_id(wish: str = "") -> str:
    """The client's own, if it can be shown anywhere; else a new one."""
    return wish if _SANE_REQUEST_ID.fullmatch(wish) else str(uuid4())


def _known() -> dict[str, Any]:
    return {name: value for name, value in _subject.get().items() if value is not None}


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s%(subject)s")

    def format(self, record: logging.LogRecord) -> str:
        pairs = " ".join(f"{name}={value}" for name, value in _known().items())
        record.subject = f"  [{pairs}]" if pairs else ""
        return super().format(record)


class _Json(logging.Formatter):
    """One object a line; a line's own `extra={"fields": …}` are members of it."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_known(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
