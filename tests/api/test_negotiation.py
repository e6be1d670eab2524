"""Which media type an Accept header asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.negotiation import preferred

OFFERS = ["application/json", "text/csv", "application/jsonl"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv; charset=utf-8; header=present", "text/csv"),
        ("text/csv;q=0.9, application/json;q=0.8", "text/csv"),
        ("text/csv;q=0.8, application/json;q=0.9", "application/json"),
        ("application/*;q=0.5, application/jsonl", "application/jsonl"),
        ("*/*, application/json;q=0", "text/csv"),
        ("*/*;q=0.1, application/*;q=0.2", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("text/html, image/gif, *; q=.2, */*; q=.2", "application/json"),
        (" text/csv ; q=1.000 ,, ", "text/csv"),
        ("text/csv;q=high, application/jsonl;q=2, application/json;q=nan", "application/json"),
        ("garbage", "application/json"),
        ("text/html", None),
        ("text/csv;q=0", None),
        ("text/html, text/csv;q=0.0", None),
        ("application", "application/json"),
    ],
)
def test_what_the_client_likes_best_is_offered(accept: str, expected: str | None) -> None:
    assert preferred(accept, OFFERS) == expected


@given(st.text(alphabet='textcsvq/*;,=0.1 \t"applicationjson'))
def test_no_header_is_too_odd(accept: str) -> None:
    assert preferred(accept, OFFERS) in {*OFFERS, None}
