"""Counting what workers do, for the API to show."""

from bisect import bisect_left

from shared import tallies
from shared.tallies import BOUNDS_SECONDS, Outcome, Sums
from worker.board import Board


class Tallies:
    """Counts, in the life of the service. No method raises because of Redis."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def attempt(self, kind: str, outcome: Outcome, seconds: float) -> None:
        """A worker has let go of a job that it had for so long."""
        bound = BOUNDS_SECONDS[bisect_left(BOUNDS_SECONDS, seconds)]
        self._add({("attempts", kind, outcome, str(bound)): 1, ("seconds", kind, outcome): seconds})

    def expiry(self, kind: str) -> None:
        """A job lost its worker."""
        self._add({("expiries", kind): 1})

    def hint(self, kind: str) -> None:
        """A hint that may have been lost was sent again."""
        self._add({("hints", kind): 1})

    def _add(self, sums: Sums) -> None:
        self._board.ask(lambda redis: tallies.add(redis, sums), otherwise=lambda: None)
