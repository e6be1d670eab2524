"""What sources send, item by item: what can be asked with words alone, and what is left out."""

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from shared.questions import Candidate, clean
from shared.sources import DIFFICULTIES
from worker.upstream import SourceError

LONGEST_TEXT = 4000
"""Characters. No quiz question comes near; what is longer is a mistake or an attack."""

# Clues that make no sense without their picture, sound or film.
_NEEDS_MEDIA = re.compile(
    r"""\b (?:seen|heard|shown|pictured) \s+ here \b
      | \b (?:audio|video|picture) \s+ clue \b
      | \b href \s* = [^>]* \. (?:jpe?g|png|gif|mp3|wav|wmv|mp4) \b""",
    re.IGNORECASE | re.VERBOSE,
)

# Questions that make no sense without the answers to choose from: those that point to them, and
# those that ask for what is not so, which is nearly everything.
_NEEDS_CHOICES = re.compile(
    r"""\b (?:of|from|among|amongst|between) \s+ (?:all \s+)? (?:the \s+ following|these) \b
      | \b which \s+ (?:one \s+)? (?:the \s+)? following \b
      | \b (?:one|all|none|which|what) \s+ of \s+ those \b
      | \b which \s+ (?:statement|spelling|answer|option) \b
      | \b odd \s+ one \s+ out \b
      | ^ (?! .* \b only \b) (?=.* \b (?:which|what|who) \b) .*
        (?: \b (?:is|are|was|were|does|do|did|has|have|had|can|could|will|would) \s+ not \b
          | n['\u2019]t \b | \b except \b )""",
    re.IGNORECASE | re.VERBOSE,
)

log = logging.getLogger(__name__)


def usable(
    source: str, items: Sequence[Any], candidate_of: Callable[[Any], Candidate | None]
) -> list[Candidate]:
    """The items as candidates, without those that `candidate_of` finds nothing to ask in.

    Raises:
        SourceError: there are items, and not one that is of use. Once, that is bad luck when a
            single question was asked for; so it is called passing.
    """
    candidates = [candidate for item in items if (candidate := candidate_of(item))]
    skipped = len(items) - len(candidates)
    if skipped:
        log.info("%d of %d items from %s cannot be asked", skipped, len(items), source)
    if items and not candidates:
        raise SourceError("sent nothing usable", is_passing=True)
    return candidates


def texts(question: str, answer: str) -> tuple[str, str] | None:
    """Both, clean; None if they cannot be asked: empty, endless, or in need of a picture."""
    if max(len(question), len(answer)) > LONGEST_TEXT:
        return None
    cleaned = clean(question), clean(answer)
    if not all(cleaned) or _NEEDS_MEDIA.search(question) or _NEEDS_MEDIA.search(cleaned[0]):
        return None
    return cleaned


def needs_choices(question: str) -> bool:
    """Whether a clean question of a multiple-choice quiz cannot be asked without its choices."""
    return _NEEDS_CHOICES.search(question) is not None


def category(name: Any) -> str | None:
    """A category's name, clean; None for anything else."""
    return clean(name) or None if isinstance(name, str) and len(name) <= LONGEST_TEXT else None


def difficulty(level: Any) -> str | None:
    return level if level in DIFFICULTIES else None
