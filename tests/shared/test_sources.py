"""What is known of the sources, and what is said of wishes that none of them honours."""

import re

import pytest

from shared import sources
from shared.sources import KNOWN, Filters

SOME = ("jservice", "opentdb", "bank")


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (Filters(), "jservice opentdb trivia-api bank"),
        (Filters("history"), "opentdb trivia-api"),
        (Filters("SCIENCE"), "trivia-api"),
        (Filters("Physics"), "bank"),
        (Filters(difficulty="hard"), "opentdb trivia-api"),
        (Filters("geography", "easy"), "opentdb trivia-api"),
        (Filters("Physics", "easy"), ""),
        (Filters("Quidditch"), ""),
    ],
)
def test_some_sources_honour_a_wish(filters: Filters, names: str) -> None:
    assert [name for name, facts in KNOWN.items() if facts.honours(filters)] == names.split()


@pytest.mark.parametrize(
    "filters", [Filters(), Filters("art"), Filters("physics"), Filters("Art", "easy")]
)
def test_nothing_is_said_where_one_source_can(filters: Filters) -> None:
    assert sources.objections(filters, SOME) == {}


@pytest.mark.parametrize(
    ("filters", "names", "said"),
    [
        (Filters("Quidditch"), SOME, {"category": "opentdb has .*; bank has Animals, .*"}),
        (
            Filters("Physics", "easy"),
            SOME,
            {"category": "tells difficulty: opentdb has General .*Animations$"},
        ),
        (Filters("Physics", "easy"), ["bank"], {"difficulty": "with bank, only with opentdb, tri"}),
        (Filters("History"), ["jservice"], {"category": "jservice, only with opentdb, .* bank"}),
        (
            Filters("Quidditch", "easy"),
            ["jservice", "bank"],
            {"difficulty": "with jservice, bank, only", "category": "of a source: bank has"},
        ),
    ],
)
def test_what_none_can_is_said_of_each_filter_with_what_would_do(
    filters: Filters, names: list[str], said: dict[str, str]
) -> None:
    found = sources.objections(filters, names)

    assert found.keys() == said.keys()
    for name, pattern in said.items():
        assert re.search(pattern, found[name])
