"""What every problem object must be, whatever went wrong."""

import re

import httpx

INTERNALS = re.compile(
    r"Traceback|psycopg|sqlalchemy|pydantic|redis|celery|/usr|/home|/tmp|\.py|0x[0-9a-f]|Error\(",
    re.IGNORECASE,
)
"""What no user may be told."""


def problem(answer: httpx.Response) -> tuple[int, str]:
    """The status and the slug of an answer that is a whole and harmless problem object."""
    found = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert found["status"] == answer.status_code
    assert found["instance"] == answer.request.url.path
    assert found["request_id"] == answer.headers["x-request-id"]
    assert found["title"]
    assert found["detail"].endswith(".")
    assert not INTERNALS.search(answer.text)
    return answer.status_code, found["type"].removeprefix("/problems/")
