"""What there is to say of each kind of problem: for the pages behind `type`, and for /docs.

The texts are in `api/templates/problems.toml`. All else is taken from where it holds: statuses and
titles from `api/problems.py`, details from `shared/errors.py`, addresses from the OpenAPI document.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from api import problems
from api.problems import Kind
from shared import errors

TEXTS = Path(__file__).with_name("templates") / "problems.toml"

REQUEST_ID = "c7aa3414-4dc6-4997-af4c-0bdaa1d33ef0"


@dataclass(frozen=True)
class Explanation:
    """A kind of problem, and what is known of it."""

    kind: Kind
    causes: list[str]
    remedies: list[str]
    detail: str
    """In general; in truth it often says more."""
    sample: Mapping[str, Any]
    """Members of a problem object; if `instance` is one of them, of that path alone."""

    def is_sample_of(self, instance: str) -> bool:
        return bool(self.sample.get("instance", instance) == instance)

    def example(self, instance: str) -> dict[str, Any]:
        """A problem object, as a request to that path might get it."""
        return {
            "type": self.kind.uri,
            "title": self.kind.title,
            "status": self.kind.status.value,
            "detail": self.detail,
            "instance": instance,
            "request_id": REQUEST_ID,
            **(self.sample if self.is_sample_of(instance) else {}),
        }


@cache
def everything() -> Mapping[str, Explanation]:
    """Explanations by slug, in the order of the statuses."""
    texts = tomllib.loads(TEXTS.read_text("utf-8"))
    details = {kind.slug: kind().detail for kind in errors.QuaverError.kinds()}
    return {
        kind.slug: Explanation(
            kind,
            texts[kind.slug]["causes"],
            texts[kind.slug]["remedies"],
            details.get(kind.slug, texts[kind.slug]["causes"][0]),
            texts[kind.slug].get("sample", {}),
        )
        for kind in problems.kinds()
    }


def examples_in(document: Mapping[str, Any], kind: Kind) -> dict[str, dict[str, Any]]:
    """Problem objects of this kind, by operations such as `POST /record` that may answer them.

    None for what any request may meet with: an OpenAPI document says that once for all of them.
    """
    return {
        f"{method.upper()} {path}": examples[kind.slug]["value"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "head" and kind.slug in (examples := _examples(operation, kind.status))
    }


def _examples(operation: Mapping[str, Any], status: HTTPStatus) -> dict[str, Any]:
    content = operation["responses"].get(str(status.value), {}).get("content", {})
    found: dict[str, Any] = content.get(problems.MEDIA_TYPE, {}).get("examples", {})
    return found
