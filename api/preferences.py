"""`Prefer`: how long a client wants to wait for a job (RFC 7240)."""

import re
from typing import NamedTuple

from fastapi import Request

RESPOND_ASYNC, WAIT = "respond-async", "wait"

_ITEM = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*"?)+')
"""Commas within quotes are no separators."""


class Waiting(NamedTuple):
    """How long to wait, and what of the client's wishes that is."""

    seconds: float
    applied: str
    """For `Preference-Applied`; empty if nothing was wished for."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Preference-Applied": self.applied} if self.applied else {}


def waiting(request: Request, *, most_seconds: float) -> Waiting:
    """`wait=N` shortens the wait; `respond-async` alone means not to wait at all.

    What cannot be understood counts as not said, as the RFC has it.
    """
    wishes = _preferences(", ".join(request.headers.getlist("prefer")))
    applied = []
    seconds = most_seconds
    if RESPOND_ASYNC in wishes:
        applied.append(RESPOND_ASYNC)
        seconds = 0
    wish = re.fullmatch("0*([0-9]{1,9})", wishes.get(WAIT, ""))
    if wish and int(wish[1]) <= most_seconds:
        applied.append(f"{WAIT}={int(wish[1])}")
        seconds = int(wish[1])
    return Waiting(seconds, ", ".join(applied))


def _preferences(header: str) -> dict[str, str]:
    """Names and values; of those named more than once the first counts."""
    found: dict[str, str] = {}
    for item in _ITEM.findall(header):
        name, _, value = item.partition(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found
