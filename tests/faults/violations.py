"""What a check says of something that does not hold, by what it means for a user."""

from enum import StrEnum
from functools import partial
from typing import NamedTuple


class Kind(StrEnum):
    LOST = "lost"
    """Something accepted never ended, or is not there as it should be."""
    DOUBLED = "doubled"
    """Something happened more often than it was asked for."""
    UNTRUE = "untrue"
    """A client was told what is not so."""
    LEFT = "left over"
    """What nobody needs any more, or too much of it, is still there."""


class Violation(NamedTuple):
    kind: Kind
    sentence: str

    def __str__(self) -> str:
        return self.sentence


lost = partial(Violation, Kind.LOST)
doubled = partial(Violation, Kind.DOUBLED)
untrue = partial(Violation, Kind.UNTRUE)
left_over = partial(Violation, Kind.LEFT)
