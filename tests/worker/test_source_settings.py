"""From the setting to the sources."""

import csv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import worker
from shared import signals
from shared.sources import BANK, KNOWN
from worker.board import Board
from worker.sources import _is_here, sources_from


@pytest.fixture
def board() -> Iterator[Board]:
    with closing(signals.connect("redis://127.0.0.1:1")) as client:
        yield Board(client)


def test_sources_come_in_the_order_of_the_setting(board: Board) -> None:
    made = sources_from({"bank": None, "jservice": "http://127.0.0.1:1/api/random"}, board)

    assert [source.facts.name for source in made] == ["bank", "jservice"]


def test_every_known_source_can_be_made(board: Board) -> None:
    made = sources_from(dict.fromkeys(KNOWN), board)

    assert [source.facts for source in made] == list(KNOWN.values())


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1:9000/api/random", True),
        ("http://localhost/api/random", True),
        ("http://[::1]:9000/", True),
        ("https://jservice.io/api/random", False),
        ("http://10.0.0.1/", False),
        ("nonsense", False),
        ("http://[::1/", False),
    ],
)
def test_a_server_on_this_machine_is_told_from_others(url: str, *, is_here: bool) -> None:
    assert _is_here(url) == is_here


def test_the_categories_of_the_bank_are_those_of_its_questions() -> None:
    text = (Path(worker.__file__).parent / "bank.csv").read_text("utf-8")

    assert set(BANK.categories) == {row["category"] for row in csv.DictReader(text.splitlines())}
