"""The one table from errors to HTTP, and what users are told of each."""

import ast
from collections import Counter
from http import HTTPStatus
from pathlib import Path

import pytest

from api import problems
from shared import errors
from tests.stack import ROOT

KINDS = errors.QuaverError.kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_status_a_title_and_a_default_detail(
    kind: type[errors.QuaverError],
) -> None:
    status = problems.status_of(kind)

    assert 400 <= status < 600
    assert kind.slug == kind.slug.lower().replace(" ", "-")
    assert kind.title[0].isupper()
    assert kind().detail.endswith(".")


def test_every_leaf_of_the_tree_has_a_slug() -> None:
    leaves = {kind for kind in _everything(errors.QuaverError) if not kind.__subclasses__()}

    assert leaves <= set(KINDS)


def test_no_slug_means_two_things() -> None:
    slugs = Counter(kind.slug for kind in KINDS)

    assert slugs.most_common(1)[0][1] == 1


def test_an_error_without_a_status_is_found_out() -> None:
    with pytest.raises(LookupError):
        problems.status_of(errors.QuaverError)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_the_same_after_it_was_stored(kind: type[errors.QuaverError]) -> None:
    error = kind("Why.", retry_after_seconds=7, found=3)

    read = errors.QuaverError.from_json(error.to_json())

    assert (type(read), read.detail, read.retry_after_seconds) == (kind, "Why.", 7)
    assert read.members == {"found": 3}


@pytest.mark.parametrize(
    "path", [p for room in ("shared", "worker") for p in (ROOT / room).rglob("*.py")]
)
def test_nobody_but_the_api_speaks_of_http_statuses(path: Path) -> None:
    statuses = {status.name for status in HTTPStatus}

    names = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}

    assert not names & statuses
    assert "HTTPStatus" not in path.read_text()


def _everything(kind: type[errors.QuaverError]) -> set[type[errors.QuaverError]]:
    return {kind}.union(*(_everything(below) for below in kind.__subclasses__()))
