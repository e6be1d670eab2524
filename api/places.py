"""How many uploads may arrive at once.

An upload has no place before it is known whose it is: until then it costs no more than any other
connection. Only where the file comes before its user's token it needs one earlier, and of those
there are few, so that nobody who has no token can keep out all who have.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared import errors

STRANGERS_SHARE = 4
"""One in so many places may be a stranger's."""


@dataclass
class Places:
    """The places of one process."""

    most: int
    taken: int = 0
    strangers: int = 0
    """Those of the taken ones whose users are not known yet."""

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """One that is still to be taken, and is given back in the end."""
        place = Place(self)
        try:
            yield place
        finally:
            place.give_back()


class Place:
    """What an upload holds, if it has taken it."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._is_taken = False
        self._is_strangers = False

    def take(self, *, is_known: bool) -> None:
        """Once; to learn later whose it is changes nothing. Raises: TooManyRequests."""
        if self._is_taken:
            return
        places = self._places
        strangers_most = max(1, places.most // STRANGERS_SHARE)
        if places.taken >= places.most or not (is_known or places.strangers < strangers_most):
            raise errors.TooManyRequests(
                f"{places.taken} uploads are under way, and this service takes no more of this "
                "kind at once. Try again in a moment.",
                retry_after_seconds=5,
            )
        places.taken += 1
        places.strangers += not is_known
        self._is_taken, self._is_strangers = True, not is_known

    def give_back(self) -> None:
        self._places.taken -= self._is_taken
        self._places.strangers -= self._is_strangers
        self._is_taken = self._is_strangers = False
