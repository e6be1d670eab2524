import pytest
from fastapi import Request

from api import preferences
from api.preferences import Waiting


def wished(*headers: str) -> Waiting:
    raw = [(b"prefer", header.encode("latin-1")) for header in headers]
    request = Request({"type": "http", "headers": raw})
    return preferences.waiting(request, most_seconds=30)


@pytest.mark.parametrize(
    ("headers", "seconds", "applied"),
    [
        ([], 30, ""),
        (["respond-async"], 0, "respond-async"),
        (["Respond-Async"], 0, "respond-async"),
        (["wait=5"], 5, "wait=5"),
        (['wait="5"'], 5, "wait=5"),
        (["WAIT = 5; foo=bar"], 5, "wait=5"),
        (["wait=0"], 0, "wait=0"),
        (["wait=600"], 30, ""),
        (["wait=" + "9" * 5000], 30, ""),
        (["respond-async, wait=10"], 10, "respond-async, wait=10"),
        (["return=minimal", "respond-async"], 0, "respond-async"),
        (["wait=3, wait=7"], 3, "wait=3"),
        (["wait=0000000000005"], 5, "wait=5"),
        (['foo="a, respond-async, b"'], 30, ""),
        (['foo="\\", wait=0", wait=4'], 4, "wait=4"),
        (['foo="wait=0, '], 30, ""),
        (["wait=-1"], 30, ""),
        (["wait=1.5"], 30, ""),
        (["wait=\xb2"], 30, ""),
        (["wait"], 30, ""),
        ([",;=,"], 30, ""),
    ],
)
def test_a_client_may_shorten_its_wait(headers: list[str], seconds: float, applied: str) -> None:
    assert wished(*headers) == (seconds, applied)


def test_only_a_wish_is_confirmed() -> None:
    assert wished("respond-async").headers == {"Preference-Applied": "respond-async"}
    assert wished().headers == {}
