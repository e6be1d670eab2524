"""What a line of a log says, and what it is about."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest

from shared import logs

Lines = Callable[[], list[str]]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[logs.Format], Lines]]:
    """Sets logging up as in a process of its own; what it returns reads what was written."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # Else they are closed, and pytest needs its own once more.

    def configure(form: logs.Format) -> Lines:
        stderr = io.StringIO()
        monkeypatch.setattr("sys.stderr", stderr)
        logs.configure(form, "info")
        return lambda: stderr.getvalue().splitlines()

    yield configure
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def written(configured: Callable[[logs.Format], Lines]) -> Callable[[], list[dict[str, Any]]]:
    lines = configured("json")
    return lambda: [json.loads(line) for line in lines()]


log = logging.getLogger("test")


def test_a_line_for_machines_is_one_object(written: Callable[[], list[dict[str, Any]]]) -> None:
    log.info("%d bytes\nin", 3, extra={"fields": {"route": "/record"}})

    (line,) = written()
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "logger": "test", "message": "3 bytes\nin", "route": "/record"}


def test_a_failure_is_told_in_the_same_object(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    try:
        int("odd")
    except ValueError:
        log.exception("broke off")

    (line,) = written()
    assert line["exception"].endswith("with base 10: 'odd'")


def test_a_line_for_people_ends_with_what_it_is_about(
    configured: Callable[[logs.Format], Lines],
) -> None:
    lines = configured("text")

    with logs.about(request_id="r", job="j", kind=None):
        log.warning("slow")

    assert lines()[0].endswith("WARNING test: slow  [request_id=r job=j]")


def test_less_than_the_level_is_not_written(configured: Callable[[logs.Format], Lines]) -> None:
    lines = configured("text")

    log.debug("detail")

    assert lines() == []


def test_blocks_add_to_what_lines_are_about(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    with logs.about(request_id="r"):
        with logs.about(job="j"):
            log.info("inner")
        log.info("outer")
    log.info("outside")

    about = [{key: line.get(key) for key in ("request_id", "job")} for line in written()]
    assert about == [
        {"request_id": "r", "job": "j"},
        {"request_id": "r", "job": None},
        {"request_id": None, "job": None},
    ]


def test_a_thread_is_about_what_its_context_is(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    with logs.about(job="j"):
        threads = [
            threading.Thread(target=log.info, args=("alone",)),
            threading.Thread(target=copy_context().run, args=(log.info, "along")),
        ]
    for thread in threads:
        thread.start()
        thread.join()

    assert [line.get("job") for line in written()] == [None, "j"]
