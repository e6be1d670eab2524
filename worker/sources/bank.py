"""The questions that come with the package."""

import csv
import functools
import importlib.resources
import io
import random

from shared.questions import Candidate
from shared.sources import BANK, Filters


class Bank:
    """It never fails, and it ends."""

    facts = BANK

    def fetch(self, count: int, deadline: float, filters: Filters) -> list[Candidate]:  # noqa: ARG002
        """A random choice, so that jobs at work side by side rarely get the same."""
        candidates = [each for each in _bank() if filters.admit(each.category, each.difficulty)]
        return random.sample(candidates, min(count, len(candidates)))


@functools.cache
def _bank() -> tuple[Candidate, ...]:
    text = (importlib.resources.files("worker") / "bank.csv").read_text("utf-8")
    return tuple(
        Candidate(
            BANK.name,
            row["id"],
            row["question"],
            row["answer"],
            row["category"] or None,
            created_at=None,
        )
        for row in csv.DictReader(io.StringIO(text))
    )
